"""Hyper-parameters of fine-tuning, by trying them: learning rate, batch size, number of steps
(book section 2.1.3)

Fine-tuning starts near where it ends, so it is short and can be repeated; what suits one model and
data set does not suit the next. Every setting is tried from the same start with several orders of
the examples, and the spread over these says which differences are none. Read first: fitting.py.
"""

import itertools

import numpy as np

from tinylm.errors import ConfigError
from tinylm.finetune.fitting import evaluate, fit


def grid_search(start, task, train, held, grid, seeds=(0,), measure="accuracy", **settings):
    """Fine-tune with every combination of settings.

    start     function () -> a model as it was before tuning, anew each time
    task      as fit() takes;  train, held  examples to learn from, and to be measured on
    grid      {argument of fit: values to try}
    seeds     of the order of the examples
    measure   name in what task.measure returns; more is better
    settings  of fit that all have in common
    returns   list of dicts {argument: value ..., "mean", "lowest", "highest"}, best mean first; of
              equals the first tried
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
        rows.append(
            {**chosen, "mean": float(np.mean(found)), "lowest": min(found), "highest": max(found)}
        )
    return sorted(rows, key=lambda row: -row["mean"])
