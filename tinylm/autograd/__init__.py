"""Reverse-mode automatic differentiation from scratch, in five packages, each on those before it.

engine      Tensor, the tape, the backward walk, how an operation is defined
primitives  operations with one line of forward and one derivative per argument
kernels     fused operations, derived by hand on arrays, and the same composed of primitives
sublayers   half a block of a transformer in one operation, made of the kernels
check       gradients compared with differences, and wrong gradients that the check must reject

Start with engine/tensor.py. methods.py gives Tensors their operators; registry.py lists what is
checked.
"""

from tinylm.autograd import methods
from tinylm.autograd.check.gradcheck import assert_gradients, gradcheck
from tinylm.autograd.engine.backward import grad
from tinylm.autograd.engine.operation import fused, primitive
from tinylm.autograd.engine.profile import count_operations, find_nonfinite
from tinylm.autograd.engine.recompute import checkpoint
from tinylm.autograd.engine.tensor import (
    Array,
    Tensor,
    TensorLike,
    first_order_only,
    is_recording,
    no_grad,
)
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.activations import (
    dropout,
    geglu,
    gelu,
    gelu_sigmoid,
    gelu_tanh,
    glu,
    silu,
    swiglu,
    swish,
)
from tinylm.autograd.kernels.attention import attention, self_attention
from tinylm.autograd.kernels.linear import add_embedding, embedding, linear, unembedding
from tinylm.autograd.kernels.losses import cross_entropy, log_softmax, soft_cross_entropy, softmax
from tinylm.autograd.kernels.norms import layer_norm, rms_norm
from tinylm.autograd.kernels.rotary import rotary
from tinylm.autograd.kernels.tiled_attention import tiled_attention
from tinylm.autograd.kernels.tree_attention import tree_attention
from tinylm.autograd.primitives.elementwise import (
    abs,
    add,
    astype,
    ceil,
    clip,
    cos,
    div,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    maximum,
    minimum,
    mul,
    neg,
    power,
    relu,
    round,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    sub,
    tanh,
    weigh,
    where,
)
from tinylm.autograd.primitives.indexing import getitem, scatter_add, sort, take_along_axis, topk
from tinylm.autograd.primitives.products import einsum, matmul
from tinylm.autograd.primitives.reductions import (
    argmax,
    argmin,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    prod,
    sum,
)
from tinylm.autograd.primitives.shaping import (
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    pad,
    ravel,
    repeat,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
    tril,
    triu,
)
from tinylm.autograd.primitives.statistics import norm, std, var
from tinylm.autograd.sublayers.attention import attention_sublayer
from tinylm.autograd.sublayers.feed_forward import feed_forward_sublayer, gated_sublayer

__all__ = [
    "Tensor",
    "abs",
    "add",
    "add_embedding",
    "argmax",
    "argmin",
    "assert_gradients",
    "astype",
    "attention",
    "attention_sublayer",
    "broadcast_to",
    "ceil",
    "checkpoint",
    "clip",
    "concatenate",
    "cos",
    "count_operations",
    "cross_entropy",
    "cumsum",
    "div",
    "dropout",
    "einsum",
    "embedding",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "feed_forward_sublayer",
    "find_nonfinite",
    "first_order_only",
    "flip",
    "floor",
    "fused",
    "gated_sublayer",
    "geglu",
    "gelu",
    "gelu_sigmoid",
    "gelu_tanh",
    "getitem",
    "glu",
    "grad",
    "gradcheck",
    "is_recording",
    "layer_norm",
    "linear",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mul",
    "neg",
    "no_grad",
    "norm",
    "pad",
    "power",
    "primitive",
    "prod",
    "ravel",
    "relu",
    "repeat",
    "reshape",
    "rms_norm",
    "roll",
    "rotary",
    "round",
    "scatter_add",
    "self_attention",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "soft_cross_entropy",
    "softmax",
    "softplus",
    "sort",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "swapaxes",
    "swiglu",
    "swish",
    "take_along_axis",
    "tanh",
    "tiled_attention",
    "topk",
    "transpose",
    "tree_attention",
    "tril",
    "triu",
    "unembedding",
    "var",
    "weigh",
    "where",
]
