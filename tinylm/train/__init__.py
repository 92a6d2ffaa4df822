"""Training: from a configuration to a run directory that can always be resumed.

Read step.py (the mathematics of one update), trainer.py (the loop), checkpoint.py (the files, and
how they survive a crash), evaluation.py. run/ is the job of `tinylm train` around it: settings,
models, data, files. scaling/ fits scaling laws; experiments/ judges claims
by runs of several seeds.
"""

from tinylm.train.checkpoint import Checkpoint
from tinylm.train.evaluation import bits_per_byte, evaluate, perplexity_of_loss
from tinylm.train.run.config import TrainConfig
from tinylm.train.run.run import Run, prepare_run, train_run
from tinylm.train.run.saved import load_run
from tinylm.train.step import Step, train_step
from tinylm.train.trainer import Trainer

__all__ = [
    "Checkpoint",
    "Run",
    "Step",
    "TrainConfig",
    "Trainer",
    "bits_per_byte",
    "evaluate",
    "load_run",
    "perplexity_of_loss",
    "prepare_run",
    "train_run",
    "train_step",
]
