"""What training and its laws take unless told otherwise, and records that cannot be changed."""

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import tinylm.train
from tinylm.optim import SGD
from tinylm.train.experiments.compare import report
from tinylm.train.patience import Patience
from tinylm.train.run.rows import TwoStages
from tinylm.train.scaling import chinchilla, intervals, laws
from tinylm.train.scaling.broken import three_phases
from tinylm.train.scaling.double_descent import measured_risk
from tinylm.train.scaling.fits import descend, fit_law
from tinylm.train.scaling.fits_bent import broken_law
from tinylm.train.scaling.sweep import train_one
from tinylm.train.step import train_step
from tinylm.train.trainer import Trainer

# Kaplan et al. 2020, section 1.2: the four constants of L(N) and L(D). Hoffmann et al. 2022, D.2:
# delta 0.001 of Huber's loss. Six operations for a parameter and a token: two forward, four back.
# Nothing is clipped, split or left out unless asked for; every drawing begins with seed 0.
DEFAULTS = [
    (
        laws.kaplan_loss,
        {
            "N": np.inf,
            "D": np.inf,
            "alpha_N": 0.076,
            "alpha_D": 0.095,
            "N_c": 8.8e13,
            "D_c": 5.4e13,
        },
    ),
    (laws.power_law, {"floor": 0.0}),
    (laws.Parametric, {"E": 0.0}),
    (fit_law, {"delta": 1e-3, "starts": None, "steps": 300, "keep": 8}),
    (descend, {"delta": 1e-3, "steps": 300, "weights": None}),
    (chinchilla.fit_parametric, {"delta": 1e-3}),
    (chinchilla.compute_optimal, {"law": laws.CHINCHILLA, "per_token": 6.0}),
    (chinchilla.minimal_compute, {"law": laws.CHINCHILLA, "per_token": 6.0}),
    (chinchilla.tokens_to_reach, {"law": laws.CHINCHILLA}),
    (chinchilla.envelope, {"per_token": 6.0}),
    (intervals.confidence, {"level": 0.95}),
    (intervals.prediction, {"level": 0.95, "runs": 1}),
    (intervals.bootstrap, {"resamples": 200, "seed": 0, "groups": None, "steps": 150}),
    (intervals.bootstrap_prediction, {"level": 0.95, "seed": 0}),
    (broken_law, {"breaks": 1}),
    (three_phases, {"sharpness": 0.5}),
    (measured_risk, {"tests": 400}),
    (train_one, {"seed": 0, "points": 16, "probe": None}),
    (Trainer, {"clip": 0.0, "micro_batch": 0, "seed": 0, "comm": None}),
    (SGD, {"lr": 0.1, "weight_decay": 0.0}),
    (train_step, {"clip": 0.0, "micro_batch": 0, "stop": None}),
    (TwoStages.batch, {"start": 0, "stop": None}),
    (report, {"single": False}),
]


@pytest.mark.parametrize(
    "made, expected", DEFAULTS, ids=lambda value: getattr(value, "__qualname__", "")
)
def test_defaults_are_those_of_the_papers(made, expected):
    parameters = inspect.signature(made).parameters
    assert {name: parameters[name].default for name in expected} == expected


def test_a_new_count_of_validations_has_seen_none():
    patience = Patience(1)
    assert (patience.best_loss, patience.best_step, patience.waited) == (None, None, 0)
    assert not patience.lost


def _dataclasses():
    """Every dataclass defined in a module of tinylm.train."""
    found = set()
    for info in pkgutil.walk_packages(tinylm.train.__path__, "tinylm.train."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            here = getattr(value, "__module__", None) == module.__name__
            if isinstance(value, type) and dataclasses.is_dataclass(value) and here:
                found.add(value)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


@pytest.mark.parametrize("cls", _dataclasses(), ids=lambda cls: cls.__name__)
def test_results_and_settings_cannot_be_changed_afterwards(cls):
    if cls.__name__ == "TrainConfig":
        return  # the command line fills it in
    some = object.__new__(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(some, dataclasses.fields(cls)[0].name, 1)
