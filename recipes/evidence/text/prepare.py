"""python3 recipes/evidence/text/prepare.py GSM8K/train.jsonl SST5/train.jsonl OUT SEED…

Data of every seed in OUT/gsm8k/SEED and OUT/sst5/SEED, of which no two sets share an example: `train-clean.jsonl`, `train-noisy.jsonl`, the
same where a share of the answers is another one (`planted` says which), `reference.jsonl` and `held-out.jsonl`, which nobody alters.
"""
import json
import random
import sys
from pathlib import Path

WORDS = ["terrible", "bad", "okay", "good", "great"]


def write(folder, name, records):
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def gsm8k(path):
    """Short ones, in the words of the data set."""
    for line in open(path, encoding="utf-8"):
        row = json.loads(line)
        if len(row["question"]) + len(row["answer"]) <= 400:
            yield {"prompt": f"Question: {row['question']}\nAnswer:", "completion": " " + row["answer"]}


def sst5(path):
    for line in open(path, encoding="utf-8"):
        row = json.loads(line)
        sentence, label = row["sentence"].strip('"'), int(row["label"])
        if len(sentence) <= 160:
            yield {"prompt": f"Review: {sentence}\nSentiment:", "completion": " " + WORDS[label], "choices": WORDS, "gold": label}


def prepare(rows, folder, seed, sizes, noise, other):
    """Sets of the given sizes (to train on, of the reference, held out); `other` is a wrong answer for a place of the first."""
    random.Random(seed).shuffle(rows)
    train, reference, held = (rows[sum(sizes[:i]):sum(sizes[:i + 1])] for i in range(3))
    folder.mkdir(parents=True, exist_ok=True)
    planted = round(noise * len(train))
    noisy = [{**r, "completion": other(train, i) if i < planted else r["completion"], "planted": i < planted} for i, r in enumerate(train)]
    write(folder, "train-clean", train)
    write(folder, "train-noisy", noisy)
    write(folder, "reference", reference)
    write(folder, "held-out", held)


if __name__ == "__main__":
    for number in sys.argv[4:]:
        seed, out = int(number), Path(sys.argv[3])
        labels = random.Random(seed)
        prepare(list(gsm8k(sys.argv[1])), out / "gsm8k" / number, seed, (200, 100, 100), 0.3,
                lambda train, i: train[(i + 91) % len(train)]["completion"])
        prepare(list(sst5(sys.argv[2])), out / "sst5" / number, seed, (800, 300, 300), 0.4,
                lambda train, i: " " + labels.choice([w for w in WORDS if w not in train[i]["completion"]]))
