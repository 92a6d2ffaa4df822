"""Modules: the parts a model is put together from.

Read module.py first, then linear.py, norm.py, feedforward.py, experts.py, and the rooms attention/,
position/, memory/ (book section 2.3.3), recurrence/; block.py puts parts together.
"""

from tinylm.nn.attention.multi_head import (
    CrossAttention,
    SelfAttention,
    capped_attention,
    merge_heads,
    projected,
    split_heads,
)
from tinylm.nn.block import Block, ParallelBlock
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
