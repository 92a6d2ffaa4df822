"""Pairs of answers, and settings of a short run, for the tests of `tinylm align`."""

import json

PAIRS = [
    {"prompt": "Who sat?", "chosen": "the cat", "rejected": "a dog"},
    {"prompt": "Where?", "chosen": "on the mat", "rejected": "on the log"},
    {"prompt": "And?", "chosen": "yes", "rejected": "no"},
    {"prompt": "Or?", "chosen": "yes it is", "rejected": "no"},
    {"prompt": "Why?", "chosen": "so", "rejected": "because"},
    {"prompt": "How?", "chosen": "well", "rejected": "not at all"},
]
SMALL = ["--epochs=1", "--batch-size=2", "--val-fraction=0.34", "--lr=0.01"]  # 4 pairs, 2 steps


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)
