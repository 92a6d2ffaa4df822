"""Optimizers and schedules. Read flat.py first: all of them update the one buffer made there."""

from tinylm.optim import schedule
from tinylm.optim.adam import Adam, AdamW
from tinylm.optim.average import Averaged
from tinylm.optim.flat import FlatParameters, clip_grad_norm, grad_norm
from tinylm.optim.muon import Muon
from tinylm.optim.sgd import SGD, Momentum
