"""Supervised fine-tuning: what alignment adds to finetune/instruct   (book section 4.2.1).

sft.py            the loss as a function of log-probabilities; token means and sequence means
turns.py          a conversation of K answers: K passes, or one
response_only.py  answers without instructions; text as in pre-training
mitigations.py    against overfitting and forgetting: an anchor, early stopping, replay
"""

from tinylm.align.supervised.mitigations import Tuned, tune
from tinylm.align.supervised.response_only import plain_text
from tinylm.align.supervised.sft import sft_loss
from tinylm.align.supervised.turns import encode_turns, one_answer_each

__all__ = [
    "Tuned",
    "encode_turns",
    "one_answer_each",
    "plain_text",
    "sft_loss",
    "tune",
]
