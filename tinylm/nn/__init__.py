"""Modules: the parts a model is put together from.

Read module.py first, then linear.py, norm.py, feedforward.py, experts.py, and the rooms attention/,
position/, memory/ (book section 2.3.3), recurrence/; block.py and sequential.py put parts together.
A module that draws numbers takes a generator; own_stream.py says what it does without one.
"""

from typing import NoReturn

from tinylm.autograd.engine import habits
from tinylm.nn.attention.multi_head import (
    CrossAttention,
    SelfAttention,
    capped_attention,
    merge_heads,
    projected,
    split_heads,
)
from tinylm.nn.block import Block, ParallelBlock
from tinylm.nn.dropout import Dropout
from tinylm.nn.feedforward import ACTIVATIONS, GATES, FeedForward, GatedFeedForward, feed_forward
from tinylm.nn.linear import INIT_STD, Embedding, Linear, normal_parameter
from tinylm.nn.module import Module, evaluating
from tinylm.nn.norm import (
    NORMS,
    PLACEMENTS,
    LayerNorm,
    RMSNorm,
    branch_norm,
    post_norm,
    pre_norm,
    sandwich_norm,
)
from tinylm.nn.position.learned import LearnedPositions
from tinylm.nn.position.rotary import rotary_angles
from tinylm.nn.sequential import Sequential

__all__ = [
    "ACTIVATIONS",
    "Block",
    "CrossAttention",
    "Dropout",
    "Embedding",
    "FeedForward",
    "GATES",
    "GatedFeedForward",
    "INIT_STD",
    "LayerNorm",
    "LearnedPositions",
    "Linear",
    "Module",
    "NORMS",
    "PLACEMENTS",
    "ParallelBlock",
    "RMSNorm",
    "SelfAttention",
    "Sequential",
    "branch_norm",
    "capped_attention",
    "evaluating",
    "feed_forward",
    "merge_heads",
    "normal_parameter",
    "post_norm",
    "pre_norm",
    "projected",
    "rotary_angles",
    "sandwich_norm",
    "split_heads",
]


def __getattr__(name: str) -> NoReturn:
    # Python calls this for names that are missing here: nn.ReLU is answered with tl.relu.
    message = f"module 'tinylm.nn' has no attribute {name!r}"
    raise AttributeError(habits.missing(message, habits.NN.get(name)))
