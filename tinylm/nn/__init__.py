"""Modules: the parts a model is put together from. Read module.py first, then one file per part."""
from tinylm.nn.attention import CrossAttention, SelfAttention, capped_attention, merge_heads, split_heads
from tinylm.nn.block import Block, ParallelBlock
from tinylm.nn.feedforward import ACTIVATIONS, GATES, FeedForward, GatedFeedForward, feed_forward
from tinylm.nn.linear import INIT_STD, Embedding, Linear, normal_parameter
from tinylm.nn.module import Module, evaluating
from tinylm.nn.norm import NORMS, PLACEMENTS, LayerNorm, RMSNorm, branch_norm, post_norm, pre_norm, sandwich_norm
from tinylm.nn.position import LearnedPositions, rotary_angles
