#!/bin/sh
# What `make bench` does: get two small models, ask them in four ways, print the tables and write the reports.
# LIMIT (questions of each task), TOKENS (generated tokens of the larger model) and MODEL (the larger one) may be set.
set -eu
cd "$(dirname "$0")/.."
ponder=.venv/bin/ponder

if [ -z "${MODEL:-}" ]; then
    MODEL=qwen2.5-coder-0.5b-instruct
    if ! $ponder model get "$MODEL" --catalogue benchmarks/mirrors.toml; then
        MODEL=smollm2-135m-instruct
        echo "$MODEL stands in; it is too weak to reason, so what follows shows that everything runs and is no claim about accuracy"
        $ponder model get "$MODEL"
    fi
fi

# 272 new tokens, easy sums, and conciseness without step by step keep two cores within ten minutes; 24 replies at once are
# what two cores write fastest.
$ponder bench gsm8k,svamp,arithmetic:level=1-2 --methods sample,concise_cot:cot=false,chain_of_draft,no_thinking \
    --model "$MODEL" --limit "${LIMIT:-20}" --max-tokens 272 --max-tokens-total "${TOKENS:-25000}" \
    --slots 24 --context 1024 --out "runs/bench-$MODEL"

echo
echo "Prompted and trained, side by side: a model that thinks too long, and the same one trained to be short."
$ponder model get smol-thinker
small="bench arithmetic:level=1-5,language=mix --limit ${LIMIT:-20} --max-tokens 512 --slots 20 --context 1024"
$ponder $small --methods sample --model smol-thinker-short --no-report --out runs/bench-smol-thinker-short
exec $ponder $small --methods sample,concise_cot:cot=false,chain_of_draft,no_thinking --model smol-thinker \
    --beside runs/bench-smol-thinker-short --out runs/bench-smol-thinker
