"""Training: from a configuration to a run directory that can always be resumed.

Read step.py (the mathematics of one update), trainer.py (the loop), checkpoint.py (what is kept,
and how it survives), evaluation.py. run/ is the job of `tinylm train` around it: settings, families
of models, data, files. scaling/ fits scaling laws. compare.py holds comparisons of runs to the same
tokens and several seeds.
"""

from tinylm.train.checkpoint import Checkpoint
from tinylm.train.evaluation import bits_per_byte, evaluate, perplexity
from tinylm.train.run.config import TrainConfig
from tinylm.train.run.families import Family, family_of
from tinylm.train.run.run import Run, load_run, prepare_run, train_run
from tinylm.train.step import Step, train_step
from tinylm.train.trainer import Trainer

__all__ = [
    "Checkpoint",
    "Family",
    "Run",
    "Step",
    "TrainConfig",
    "Trainer",
    "bits_per_byte",
    "evaluate",
    "family_of",
    "load_run",
    "perplexity",
    "prepare_run",
    "train_run",
    "train_step",
]
