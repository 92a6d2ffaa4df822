"""Runs of the command, compared: what tests of layouts and of mpiexec have in common."""

import json

import numpy as np

from tinylm.train import checkpoint

SETTINGS = (
    "--tokenizer chars --n-layer 2 --n-head 2 --d-model 16 --context 8 --batch-size 4 --steps 4"
    " --dropout 0.1 --dtype float64 --schedule constant --eval-every 2 --eval-batches 2"
).split()


def losses(run):
    """[(event, step, loss)] of the steps and validations in a log."""
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        (e["event"], e["step"], e["loss"]) for e in events if e["event"] in ("step", "validation")
    ]


def weights(run):
    return checkpoint.load(checkpoint.latest(run), files=("model",)).arrays["model"]


def assert_same(run, single):
    found, expected = losses(run), losses(single)
    assert [line[:2] for line in found] == [line[:2] for line in expected]
    np.testing.assert_allclose(
        [line[2] for line in found], [line[2] for line in expected], rtol=1e-9
    )
    for name, array in weights(single).items():
        np.testing.assert_allclose(weights(run)[name], array, rtol=0, atol=1e-8)
