#!/bin/sh
# Makes the reward models of the study into a folder. Interrupted, it goes on; what is there is not made again.
#   sh recipes/prm/make.sh [FOLDER] [SMOLLM2, its transformers folder]
set -eu
out=${1:-runs/prm}
smollm=${2:-}
mkdir -p "$out"
tiny=ponder/models/tiny-reasoner
tasks=lab:modular:links=3-7,lab:addition:digits=2-4,lab:algebra:variables=4-5,steps=1-3,lab:directional:actions=6-10,lab:arithmetic:level=1
drawn="--model $tiny --questions 60 --samples 3 --threads 1"

# Heads of steps and of outcomes, from the same replies.
[ -d "$out/tiny" ] ||
    ponder train prm "$tasks" $drawn --replies "$out/tiny.jsonl" --plot "$out/tiny.svg" --out "$out/tiny" --json >"$out/tiny.json"
[ -d "$out/outcome" ] ||
    ponder train prm "$tasks" $drawn --replies "$out/tiny.jsonl" --outcome --out "$out/outcome" --json >"$out/outcome.json"

# A model that votes, from thousands of questions, and what its votes are worth.
many=lab:modular:links=4-6,lab:addition:digits=2-4,lab:algebra:steps=2-3,lab:directional:actions=7-10
votes="$many --model $tiny --questions 1500 --samples 2 --temperature 0.8 --max-tokens 320 --threads 1 --held-out 0.05
    --replies $out/many.jsonl --form tokens --tag ; --out $out/votes.jsonl"
[ -d "$out/voter" ] || {
    ponder train prm $votes
    ponder train sft --model $tiny --full --data "$out/votes.jsonl" --epochs 4 --batch 32 --lr 2e-3 --threads 1 --out "$out/voter"
}
ponder train prm $votes --engine prm="$out/voter" --judge 'prm:layout=tags,tag=;,delimiter=\n' --json >"$out/voter.json"

# Labels by completions, beside the exact ones.
ponder train prm lab:modular:links=3-7 --labels rollouts --rollouts 4 --model $tiny --questions 40 --samples 1 --max-tokens 256 \
    --threads 1 --replies "$out/rolled.jsonl" --form tokens --out "$out/rolled.votes.jsonl"
python recipes/prm/rollouts.py "$out/rolled.jsonl" lab:modular:links=3-7 --questions 40

# SmolLM2, by completions alone.
[ -z "$smollm" ] || [ -d "$out/smollm2" ] ||
    ponder train prm arithmetic:level=1 --labels rollouts --rollouts 4 --model "$smollm" --questions 32 --samples 2 --max-tokens 96 \
        --temperature 0.7 --held-out 0.3 --threads 1 --replies "$out/smollm2.jsonl" --out "$out/smollm2" --json >"$out/smollm2.json"
