"""Grid search over hyper-parameters of fine-tuning   (book section 2.1.3)

Learning rate, batch size and number of steps that suit one model and data set do not suit the next,
and fine-tuning is short, so it can be repeated. Every setting is tried from the same start with
several orders of the examples; differences smaller than the spread over these mean nothing. Read
first: fitting.py.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.finetune.fitting import evaluate, fit
from tinylm.finetune.instruct.conversations import Encoded


def grid_search(
    start: Callable,
    task: Any,
    train: Sequence[Encoded],
    held: Sequence,
    grid: dict[str, list[float]],
    seeds: tuple[int, ...] = (0,),
    measure: str = "accuracy",
    **settings: int,
) -> list[dict[str, float]]:
    """Fine-tune with every combination of settings.

    start     function () -> a fresh model as it was before tuning
    task      as for fit();  train, held  examples to learn from, and to be measured on
    grid      {argument of fit: values to try}
    seeds     of the order of the examples
    measure   key of the result of task.measure; larger is better
    settings  further arguments of fit, the same for all
    returns   list of dicts {argument: value ..., "mean", "lowest", "highest"}, best mean first;
              equal means in the order of trial
    raises    ConfigError if the grid is empty
    """
    if not grid or not all(len(values) for values in grid.values()) or not len(seeds):
        raise ConfigError(f"grid_search: nothing to try in {grid} with seeds {list(seeds)}")
    rows = []
    for values in itertools.product(*grid.values()):
        chosen, found = dict(zip(grid, values)), []
        for seed in seeds:
            model = start()
            fit(model, task, train, seed=seed, **{**settings, **chosen})
            found.append(evaluate(model, task, held)[measure])
        spread = {"mean": float(np.mean(found)), "lowest": min(found), "highest": max(found)}
        rows.append({**chosen, **spread})
    return sorted(rows, key=lambda row: -row["mean"])  # stable: ties stay in order
