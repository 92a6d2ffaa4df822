"""`tinylm bench batches`: every objective can be measured; the figures themselves are a matter of
the machine.
"""

import json

from tinylm.cli import main
from tinylm.cli.measure.bench_batches import HEAD, batches, line, verdict
from tinylm.pretrain.objectives import OBJECTIVES

TINY = dict(n_layer=1, n_head=1, d_model=4, context=12, batch_size=2)


def test_every_objective_is_measured():
    found = list(batches(1, **TINY))
    assert [row["objective"] for row in found] == list(OBJECTIVES)
    assert all(row["make_batch"] > 0 and row["step"] > 0 and 0 < row["share"] < 1 for row in found)


def test_a_row_says_how_long_a_batch_and_a_step_take_and_what_is_above_the_target():
    row = {"objective": "masked", "make_batch": 0.002, "step": 0.018, "share": 0.1}
    assert line(row).split() == ["masked", "2.000", "18.0", "10.00%", "above", "the", "target"]
    assert "above" not in line({**row, "share": 0.05}) and "make_batch ms" in HEAD
    assert verdict([row, {**row, "share": 0.05}]) == "  1 of 2 take at most 5% of the time of both"


def test_the_verb_prints_them(monkeypatch, capsys):
    monkeypatch.setattr(
        "tinylm.cli.measure.bench_batches.batches",
        lambda rounds: iter(
            [{"objective": "masked", "make_batch": 1e-3, "step": 0.1, "share": 0.0099}]
        ),
    )
    assert main(["bench", "batches"]) == 0
    assert "masked" in capsys.readouterr().out
    assert main(["bench", "batches", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["objective"] == "masked"
    assert main(["bench", "W9"]) == 1
    assert "or batches, operations, prompting or align alone" in capsys.readouterr().err
