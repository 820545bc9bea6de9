#!/bin/sh
# Makes the adapters `smol-thinker-short` and `smol-thinker`: some four hours on a quiet core. Interrupted, it goes on.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-runs/smol-thinker}
mkdir -p "$out/last"

sft() {
    ponder train sft --model smollm2-135m-instruct --chat-template "$here/chat_template.jinja" --lora 16 --alpha 32 \
        --batch 8 --save-every 25 --save-as float16 "$@"
}

ponder model get smollm2-135m-instruct
# Drills teach the reckoning: nearly every token is a fact. Questions teach when to use it.
ponder data lab reckoning:level=2-5 arithmetic:level=1-5,language=mix --count 10400 --seed 1 --minimal --out "$out/short.jsonl"
ponder data lab arithmetic:level=1-5,language=mix --count 6000 --seed 2 --passes 1.3 --slips 0.3 --out "$out/long.jsonl"
# More of the same, hard questions twice as often, and a quarter of drills, so that no sum is forgotten for the sake of length.
ponder data lab arithmetic:level=1-5,language=mix arithmetic:level=3-5,language=mix --count 1800 --seed 3 --passes 1.3 --slips 0.3 \
    --out "$out/longer.jsonl"
ponder data lab reckoning:level=2-5 --count 600 --seed 3 --minimal --out "$out/drills.jsonl"
# And of the hardest once more.
ponder data lab arithmetic:level=1-5,language=mix arithmetic:level=4-5,language=mix --count 600 --seed 4 --passes 1.3 --slips 0.3 \
    --out "$out/longest.jsonl"
ponder data lab reckoning:level=3-5 --count 200 --seed 4 --minimal --out "$out/last/drills.jsonl"
[ -e "$out/short/train.toml" ] && [ ! -d "$out/short/checkpoints" ] ||
    sft --data "$out/short.jsonl" --steps 1300 --lr 1e-3 --seed 1 --threads 1 --out "$out/short"
[ -e "$out/long/train.toml" ] && [ ! -d "$out/long/checkpoints" ] ||
    sft --data "$out/long.jsonl" --adapter "$out/short" --steps 96 --lr 5e-4 --seed 2 --threads 2 --out "$out/long"
[ -e "$out/longer/train.toml" ] && [ ! -d "$out/longer/checkpoints" ] ||
    sft --data "$out/longer.jsonl" --data "$out/drills.jsonl" --adapter "$out/long" --steps 280 --lr 4e-4 --seed 3 --threads 1 \
        --out "$out/longer"
[ -e "$out/longest/train.toml" ] && [ ! -d "$out/longest/checkpoints" ] ||
    sft --data "$out/longest.jsonl" --data "$out/last/drills.jsonl" --adapter "$out/longer" --steps 100 --lr 3e-4 --seed 4 --threads 1 \
        --out "$out/longest"
for name in short longest; do
    ponder shrink export "$out/$name" --base "$(ponder model path smollm2-135m-instruct)" --out "$out/$name/adapter.gguf"
done
