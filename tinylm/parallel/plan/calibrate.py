"""Estimating constants from measured runs, and the error on runs not used for it.

The constants are fitted to log(measured / predicted), so errors are relative; by Huber's loss runs
that went wrong count linearly (Levenberg-Marquardt of train/scaling/fits.py). A constant moves
between its bounds as low + (high - low) sigmoid(z), pulled weakly to where it was. Half of the
runs, drawn at random, are fitted, the others are predicted. Read next: search.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.parallel.plan.constants import FIELDS, UNCALIBRATED, Constants
from tinylm.parallel.plan.measured import Runs
from tinylm.parallel.plan.step import step_cost
from tinylm.train.scaling.fits import Law, descend

DELTA = 0.05  # relative errors above 5 % count linearly
MOVE = 1e-4  # of z, for derivatives by differences
PULL = 0.03  # error that counts as much as moving z by 1


def predict(runs: Runs, constants: Constants) -> Any:
    """Seconds of a step of every run, (n,)."""
    return step_cost(runs.shape, runs.layout, runs.hardware, constants).seconds


def errors(runs: Runs, constants: Constants) -> np.ndarray:
    """predicted / measured - 1 of every run, (n,)."""
    return predict(runs, constants) / runs.seconds - 1


def _span(names):
    return np.array([[FIELDS[n].metadata["low"], FIELDS[n].metadata["high"]] for n in names]).T


def _constants(names, z, base):
    low, high = _span(names)
    values = low + (high - low) / (1 + np.exp(-z))
    return replace(base, **dict(zip(names, map(float, values))))


def fit(
    tables: Sequence[Runs], names: tuple[str, ...], base: Constants = UNCALIBRATED, steps: int = 60
) -> Constants:
    """Estimate constants from runs.

    tables   list of Runs, whose means of Huber's loss count alike
    names    of the constants to estimate, others stay as in `base`
    returns  Constants
    raises   ConfigError if there are fewer runs than constants
    """
    n = sum(map(len, tables))
    if n < len(names):
        raise ConfigError(f"{n} runs cannot determine {len(names)} constants: add runs")
    y = np.concatenate([np.log(runs.seconds) for runs in tables])[None]
    # A run of a small table weighs more, so that a large one does not decide alone.
    weights = np.concatenate([np.full(len(r), n / len(tables) / len(r)) for r in tables])[None]

    low, high = _span(names)
    start = np.array([getattr(base, name) for name in names])
    place = np.clip((start - low) / (high - low), 0.02, 0.98)
    origin = np.log(place / (1 - place))
    # What the rows do not determine stays where it was: a weak pull, as of P more rows.
    y = np.concatenate([y, PULL * origin[None]], axis=1)
    weights = np.concatenate([weights, np.ones((1, len(names)))], axis=1)

    def values(z):
        constants = _constants(names, z, base)
        seconds = [np.log(predict(runs, constants)) for runs in tables]
        return np.concatenate([*seconds, PULL * z])

    def log_loss(theta, _):
        here = np.array([values(z) for z in theta])  # (S, n + P)
        moved = [[values(z + MOVE * direction) for direction in np.eye(len(names))] for z in theta]
        J = (np.array(moved) - here[:, None]) / MOVE  # (S, P, n + P)
        return here, J.swapaxes(1, 2)

    law = Law(tuple(names), log_loss, None, None)
    z, _ = descend(law, origin[None], y.T, y, DELTA, steps, weights, 1e-7)
    return _constants(names, z[0], base)


@dataclass(frozen=True)
class Split:
    """One random half: constants fitted to it, and errors (n,) of the other half of each table."""

    constants: object
    held: tuple
    errors: tuple


def halves(
    tables: Sequence[Runs],
    names: tuple[str, ...],
    splits: int = 5,
    seed: int = 0,
    base: Constants = UNCALIBRATED,
) -> list[Split]:
    """Fit on a random half of every table and predict the other, several times.

    returns  list of Split; `held` are the indices of the predicted rows of each table
    """
    found = []
    for split in range(splits):
        rng = np.random.default_rng((seed, split))
        orders = [rng.permutation(len(runs)) for runs in tables]
        fitted = [runs.take(order[: len(runs) // 2]) for runs, order in zip(tables, orders)]
        held = tuple(order[len(order) // 2 :] for order in orders)
        constants = fit(fitted, names, base)
        wrong = tuple(errors(runs.take(rows), constants) for runs, rows in zip(tables, held))
        found.append(Split(constants, held, wrong))
    return found


def constant_guess(runs: Runs, fitted: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Errors (n,) of the guess that every GPU reaches one rate, the median of the fitted rows.

    Operations are those of the model, without recomputation: three forward passes a token.
    """
    tokens = runs.layout.batch * runs.shape.context
    work = 3 * runs.shape.forward_operations * tokens / runs.layout.gpus
    rate = np.median(work[fitted] / runs.seconds[fitted])
    return work[held] / rate / runs.seconds[held] - 1
