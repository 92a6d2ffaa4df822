"""Reverse-mode automatic differentiation, from scratch.

Read in this order: graph.py and walk.py (tensors, the tape, going backwards), operation.py (how an operation is
defined), primitives.py and its neighbors (the rules), composed.py beside linear.py and its neighbors (the plain
twins of the fast operations, and these), check.py (why any of it should be believed).
"""
from tinylm.autograd import composed, methods
from tinylm.autograd.activations import dropout, geglu, gelu, gelu_tanh, silu, swiglu
from tinylm.autograd.attention import attention, rotary, self_attention
from tinylm.autograd.check import assert_gradients, gradcheck
from tinylm.autograd.checkpoint import checkpoint
from tinylm.autograd.gates import gelu_sigmoid, glu, swish
from tinylm.autograd.graph import Tensor, first_order_only, is_recording, no_grad
from tinylm.autograd.indexing import getitem, scatter_add, sort, take_along_axis, topk
from tinylm.autograd.linear import embedding, linear, unembedding
from tinylm.autograd.losses import cross_entropy, log_softmax, soft_cross_entropy, softmax
from tinylm.autograd.norms import layer_norm, rms_norm
from tinylm.autograd.operation import fused, primitive
from tinylm.autograd.primitives import (
                                        abs,
                                        add,
                                        astype,
                                        clip,
                                        cos,
                                        div,
                                        erf,
                                        exp,
                                        log,
                                        maximum,
                                        minimum,
                                        mul,
                                        neg,
                                        power,
                                        relu,
                                        sigmoid,
                                        sin,
                                        sqrt,
                                        sub,
                                        tanh,
                                        where,
)
from tinylm.autograd.products import einsum, matmul
from tinylm.autograd.profile import count_operations, find_nonfinite
from tinylm.autograd.reductions import cumsum, logsumexp, max, mean, min, std, sum, var
from tinylm.autograd.shaping import (
                                        broadcast_to,
                                        concatenate,
                                        expand_dims,
                                        flip,
                                        pad,
                                        reshape,
                                        roll,
                                        split,
                                        squeeze,
                                        stack,
                                        swapaxes,
                                        transpose,
)
from tinylm.autograd.tiled_attention import tiled_attention
from tinylm.autograd.walk import grad
