"""Training: from a configuration to a run directory that can always be gone on from.

Read step.py (the mathematics of one update), trainer.py (the loop), checkpoint.py (what is kept, and how it survives),
run.py (configuration, data and files), families.py (what model and ids an objective takes); settings.py and config.py
hold every knob.
"""
from tinylm.train.checkpoint import Checkpoint
from tinylm.train.config import TrainConfig
from tinylm.train.evaluate import bits_per_byte, evaluate, perplexity
from tinylm.train.families import Family, family_of
from tinylm.train.run import Run, load_run, prepare_run, train_run
from tinylm.train.step import Step, train_step
from tinylm.train.trainer import Trainer

__all__ = ["Checkpoint", "Family", "Run", "Step", "TrainConfig", "Trainer", "bits_per_byte", "evaluate", "family_of",
           "load_run", "perplexity", "prepare_run", "train_run", "train_step"]
