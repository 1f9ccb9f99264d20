#!/bin/sh
# sh recipes/unlearning/tofu.sh DATA OUT
#
# TOFU on a model of 260,000 parameters: ten authors to forget, and the same authors' questions asked of a model that never learnt them.
# DATA has stories260K (a Hugging Face folder),
# forget05_perturbed.json and retain_perturbed.json with a task_id in the first, real_authors_perturbed.json and
# world_facts_perturbed.json. OUT receives everything, and
# OUT/figures.jsonl a line for each model. Given again, it keeps the models that are done. It wants jq and some ten minutes of one core;
# docs/unlearning.md has the table.
set -eu
data=$1 out=$2
recipes=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out/eval"

pairs() { jq -c '{prompt: ("Question: " + .question + "\nAnswer:"), completion: .answer}' "$1"; }

# A model that breaks is a result here: code 3 says that a run diverged.
diverged() { [ "$1" -eq 3 ]; }

# The first task is to be forgotten, the second is never learnt.
jq -c 'select(.task_id == "1")' "$data/forget05_perturbed.json" > "$out/eval/forget05_perturbed.json"
cp "$data/retain_perturbed.json" "$data/real_authors_perturbed.json" "$data/world_facts_perturbed.json" "$out/eval"
pairs "$out/eval/forget05_perturbed.json" > "$out/forget.jsonl"
pairs "$out/eval/retain_perturbed.json" > "$out/retain.jsonl"
jq -c 'select(.task_id == "2")' "$data/forget05_perturbed.json" > "$out/second.json"
pairs "$out/second.json" > "$out/holdout.jsonl"
cat "$out/forget.jsonl" "$out/retain.jsonl" > "$out/all.jsonl"
head -40 "$out/forget.jsonl" > "$out/relearn.jsonl"
tail -160 "$out/forget.jsonl" > "$out/rest.jsonl"

# The model that knows all, and the one that never learnt what is to be forgotten.
for known in all retain; do
    [ -f "$out/$known/summary.json" ] || forgetting tune --model "$data/stories260K" --data "$out/$known.jsonl" --out "$out/$known" \
        --method full --lora-rank 0 --epochs 20 --batch-size 8 --learning-rate 0.004 --lr-schedule cosine
done

for recipe in answers tokens; do
    forgetting run "$recipes/$recipe.yaml" --model "$out/all/model" --forget-data "$out/forget.jsonl" \
        --retain-data "$out/retain.jsonl" --out "$out/$recipe" || diverged $?
done
[ -f "$out/ascent-alone/summary.json" ] || forgetting tune --method unlearn --objective token --model "$out/all/model" \
    --forget-data "$out/forget.jsonl" --out "$out/ascent-alone" --lora-rank 0 --epochs 5 --batch-size 8 --learning-rate 0.0005 \
    || diverged $?

# measure NAME RUN leaves OUT/measured/NAME.json.
measure() {
    [ ! -s "$out/measured/$1.json" ] || return 0
    rm -rf "$out/eval-$1" "$out/relearn-$1"
    forgetting eval --model "$2/model" --tasks tofu --data-dir "$out/eval" --out "$out/eval-$1" --log-samples --template plain \
        --retain-results "$out/eval-retain" --json > "$out/eval-$1.json"
    forgetting membership --model "$2/model" --data "$out/forget.jsonl" --holdout-data "$out/holdout.jsonl" --template plain --json \
        > "$out/membership-$1.json"
    forgetting tune --model "$2/model" --data "$out/relearn.jsonl" --valid-data "$out/rest.jsonl" --out "$out/relearn-$1" --method full \
        --lora-rank 0 --steps 20 --batch-size 8 --learning-rate 0.0005 --lr-schedule constant --eval-every 5 || diverged $?
    jq -c --arg model "$1" --slurpfile membership "$out/membership-$1.json" --slurpfile relearnt "$out/relearn-$1/metrics.jsonl" \
        --slurpfile valid "$out/relearn-$1/summary.json" '
        def of($task; $metric): .results[$task][$metric + ",none"];
        {model: $model,
         forget_probability: of("tofu_forget_probability"; "probability"), forget_rouge: of("tofu_forget_rouge"; "rougeL_recall"),
         extraction_strength: of("tofu_forget_extraction_strength"; "extraction_strength"),
         exact_memorization: of("tofu_forget_extraction_strength"; "exact_memorization"),
         forget_quality: of("tofu"; "forget_quality"), model_utility: of("tofu"; "model_utility"),
         retain_probability: of("tofu_retain_probability"; "probability"), retain_rouge: of("tofu_retain_rouge"; "rougeL_recall"),
         auc: $membership[0] | map_values(.auc),
         relearning: ([{step: 0, loss: $valid[0].valid.change.from}]
             + [$relearnt[] | select(.evaluation) | {step, loss: .evaluation["valid/loss"]}])}' "$out/eval-$1.json" > "$out/$1.json"
    mv "$out/$1.json" "$out/measured/$1.json"
}

mkdir -p "$out/measured"
forgetting eval --model "$out/retain/model" --tasks tofu_forget --data-dir "$out/eval" --out "$out/eval-retain" --log-samples \
    --template plain
measure all "$out/all"
measure never-learnt "$out/retain"
for objective in npo simnpo idkdpo rmu; do
    measure $objective "$out/answers/objective=$objective"
done
measure npo-kl "$out/answers/objective=npo,retain-kl=true"
measure graddiff "$out/tokens/ascent=ascent"
measure kl-minimisation "$out/tokens/ascent=ascent,retain-kl=true"
measure belief "$out/tokens/ascent=belief"
measure unlikelihood "$out/tokens/ascent=unlikelihood"
measure ascent-alone "$out/ascent-alone"
for name in all never-learnt npo npo-kl simnpo idkdpo rmu graddiff kl-minimisation belief unlikelihood ascent-alone; do
    cat "$out/measured/$name.json"
done > "$out/figures.jsonl"
