#!/bin/sh
# What `make bench` does: get a small model, ask it 60 questions in four ways, print the table and write the report.
# LIMIT (questions of each task), TOKENS (all generated tokens together) and MODEL may be set from outside.
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
exec $ponder bench gsm8k,svamp,arithmetic:level=1-2 --methods sample,concise_cot:cot=false,chain_of_draft,no_thinking \
    --model "$MODEL" --limit "${LIMIT:-20}" --max-tokens 272 --max-tokens-total "${TOKENS:-25000}" \
    --slots 24 --context 1024 --out "runs/bench-$MODEL"
