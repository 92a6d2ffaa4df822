"""Every setting is tried from the same start, and the best comes first."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import END, TOKENIZER, examples, model
from tinylm.errors import ConfigError
from tinylm.finetune import search
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.search import grid_search

TASK = InstructionTuning(tokenizer=TOKENIZER, end=END, max_tokens=4)


def test_all_combinations_are_tried_from_the_start_and_sorted():
    starts = []

    def start():
        starts.append(model(np.float32))
        return starts[-1]

    grid = {"learning_rate": [1e-9, 2e-2], "steps": [1, 25]}
    rows = grid_search(start, TASK, examples(), examples(), grid, seeds=(0, 1), batch_size=3)
    assert len(starts) == 2 * 2 * 2 and {(row["learning_rate"], row["steps"]) for row in rows} == {
        (rate, steps) for rate in (1e-9, 2e-2) for steps in (1, 25)
    }
    means = [row["mean"] for row in rows]
    assert means == sorted(means, reverse=True) and all(
        row["lowest"] <= row["mean"] <= row["highest"] for row in rows
    )
    assert (rows[0]["learning_rate"], rows[0]["steps"]) == (2e-2, 25)  # the only one that trains
    assert means[0] > means[1]


def test_the_spread_of_a_setting_is_that_of_its_seeds(monkeypatch):
    # accuracies by (learning rate, seed); the model is its own record of how it was tuned
    scores = {(1, 0): 0.5, (1, 1): 0.75, (1, 2): 0.25, (2, 0): 0.5, (2, 1): 1.0, (2, 2): 0.75}
    monkeypatch.setattr(
        search,
        "fit",
        lambda model, task, examples, seed, learning_rate: model.append((learning_rate, seed)),
    )
    monkeypatch.setattr(
        search, "evaluate", lambda model, task, examples: {"accuracy": scores[model[0]]}
    )
    rows = grid_search(list, None, [], [], {"learning_rate": [1, 2]}, seeds=(0, 1, 2))
    assert rows == [
        {"learning_rate": 2, "mean": 0.75, "lowest": 0.5, "highest": 1.0},
        {"learning_rate": 1, "mean": 0.5, "lowest": 0.25, "highest": 0.75},
    ]


def test_an_empty_grid_is_refused():
    for grid, seeds in (({}, (0,)), ({"steps": []}, (0,)), ({"steps": [1]}, ())):
        with pytest.raises(ConfigError, match="nothing to try"):
            grid_search(model, TASK, [], [], grid, seeds)
