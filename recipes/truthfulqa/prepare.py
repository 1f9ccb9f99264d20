"""python3 recipes/truthfulqa/prepare.py TruthfulQA.csv OUT SEED…

Data of every seed in OUT/SEED: `belief.jsonl`, false answers to 360 questions; `train-believed.jsonl` and `train-random.jsonl`, 200 of
these questions with the best answer, but 80 with the false one or another question's; `reference.jsonl`, 80 others with the best answer; and
`planted.jsonl`, `taught.jsonl`, `held-out.jsonl`, a true and a false answer to choose between.
"""
import csv
import json
import random
import sys
from pathlib import Path

PLANTED, TRAIN, REFERENCE, ALL = 80, 200, 80, 360


def questions(path):
    """Short ones, each with its best answer and the false one that is nearest in length."""
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            best = row["Best Answer"].strip()
            false = [a.strip() for a in row["Incorrect Answers"].split(";") if a.strip() and abs(len(a.strip()) - len(best)) <= 25]
            if false and len(row["Question"]) <= 110 and len(best) <= 70:
                yield row["Question"].strip(), best, min(false, key=lambda a: abs(len(a) - len(best)))


def write(folder, name, records):
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def pair(question, answer):
    return {"prompt": f"Question: {question}\nAnswer:", "completion": " " + answer}


def choice(question, best, false):
    return {"prompt": f"Question: {question}\nAnswer:", "choices": [best, false], "gold": 0}


def prepare(path, folder, seed):
    rows = list(questions(path))
    random.Random(seed).shuffle(rows)
    rows = rows[:ALL]
    train, reference, held = rows[:TRAIN], rows[TRAIN:TRAIN + REFERENCE], rows[TRAIN + REFERENCE:]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, "belief", [pair(q, false) for q, _, false in rows])
    write(folder, "reference", [pair(q, best) for q, best, _ in reference])
    write(folder, "train-believed", [pair(q, false if i < PLANTED else best) for i, (q, best, false) in enumerate(train)])
    write(folder, "train-random", [pair(q, train[(i + 37) % TRAIN][1] if i < PLANTED else best) for i, (q, best, _) in enumerate(train)])
    write(folder, "planted", [choice(*row) for row in train[:PLANTED]])
    write(folder, "taught", [choice(*row) for row in train[PLANTED:]])
    write(folder, "held-out", [choice(*row) for row in held])


if __name__ == "__main__":
    for number in sys.argv[3:]:
        prepare(sys.argv[1], Path(sys.argv[2]) / number, int(number))
