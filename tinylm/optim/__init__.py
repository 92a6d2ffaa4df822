"""Optimizers and schedules. Read flat.py first: all of them update the one buffer made there."""

from typing import NoReturn

from tinylm.autograd.engine import habits
from tinylm.optim import schedule
from tinylm.optim.adam import Adam, AdamW
from tinylm.optim.average import Averaged
from tinylm.optim.flat import FlatParameters, clip_grad_norm, grad_norm
from tinylm.optim.muon import Muon
from tinylm.optim.sgd import SGD, Momentum

__all__ = [
    "Adam",
    "AdamW",
    "Averaged",
    "FlatParameters",
    "Momentum",
    "Muon",
    "SGD",
    "clip_grad_norm",
    "grad_norm",
    "schedule",
]


def __getattr__(name: str) -> NoReturn:
    # Python calls this for names that are missing here: optim.lr_scheduler leads to schedule.
    message = f"module 'tinylm.optim' has no attribute {name!r}"
    raise AttributeError(habits.missing(message, habits.OPTIM.get(name)))
