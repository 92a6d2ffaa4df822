"""A feed-forward, plain or gated, with norm and residual sum, in one operation   (book eqs. 2.4,
2.25-2.30).

Read next: attention.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels.activations import geglu, gelu, gelu_tanh, silu, swiglu
from tinylm.autograd.kernels.linear import linear
from tinylm.autograd.sublayers import composed
from tinylm.autograd.sublayers.around import formed, sublayer
from tinylm.errors import ConfigError

ACTIVATIONS = {"gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu}
PRODUCTS = {"swiglu": swiglu, "geglu": geglu}


def _chosen(operation, table, name):
    if name not in table:
        raise ConfigError(f"{operation}: {name!r} is not one of {', '.join(table)}")
    return table[name].kernel


@fused(composed.feed_forward_sublayer)
def feed_forward_sublayer(
    x: np.ndarray,
    gain: np.ndarray,
    shift: np.ndarray | None,
    hidden: np.ndarray,
    hidden_bias: np.ndarray | None,
    out: np.ndarray,
    out_bias: np.ndarray | None,
    *,
    norm: str = "layer",
    eps: float = 1e-5,
    placement: str = "pre",
    activation: str = "gelu",
    keep: bool,
) -> tuple[np.ndarray, Callable]:
    """x + W_out sigma(W_hidden norm(x)), or norm(x + W_out sigma(W_hidden x))

    x           (..., D)  the stream
    gain        (D,)  of the norm;  shift  (D,), or None
    hidden      (D, F), with its bias (F,) or None;  out  (F, D), with its bias (D,) or None
    norm        "layer" or "rms", with eps;  placement  "pre" or "post"
    activation  sigma, one of ACTIVATIONS
    returns     (..., D)
    raises      as the parts; ConfigError for another norm, placement or activation

    Plain twin: composed.feed_forward_sublayer. Check: tinylm gradcheck feed_forward_sublayer
    """
    name = "feed_forward_sublayer"
    sigma = _chosen(name, ACTIVATIONS, activation)

    def branch(h):
        h, hidden_back = linear.kernel(h, hidden, hidden_bias, keep=keep)  # (..., D) -> (..., F)
        h, sigma_back = sigma(h, keep=keep)
        y, out_back = linear.kernel(h, out, out_bias, keep=keep)  # (..., F) -> (..., D)

        def backward(g):
            by_active, by_out, by_out_bias = out_back(g)
            (by_hidden,) = sigma_back(formed(by_active))
            return *hidden_back(formed(by_hidden)), by_out, by_out_bias

        return y, backward

    return sublayer(name, branch, x, gain, shift, norm, eps, placement, keep)


@fused(composed.gated_sublayer)
def gated_sublayer(
    x: np.ndarray,
    gain: np.ndarray,
    shift: np.ndarray | None,
    gate: np.ndarray,
    gate_bias: np.ndarray | None,
    up: np.ndarray,
    up_bias: np.ndarray | None,
    out: np.ndarray,
    out_bias: np.ndarray | None,
    *,
    norm: str = "rms",
    eps: float = 1e-6,
    placement: str = "pre",
    product: str = "swiglu",
    keep: bool,
) -> tuple[np.ndarray, Callable]:
    """x + W_out (sigma(W_gate norm(x)) * W_up norm(x)), or with the norm outside

    gate, up  (D, F) each, with their biases (F,) or None
    product   sigma(a) * b, one of PRODUCTS;  others as of feed_forward_sublayer
    returns   (..., D)

    Plain twin: composed.gated_sublayer. Check: tinylm gradcheck gated_sublayer
    """
    name = "gated_sublayer"
    gated = _chosen(name, PRODUCTS, product)

    def branch(h):
        a, gate_back = linear.kernel(h, gate, gate_bias, keep=keep)  # (..., D) -> (..., F)
        b, up_back = linear.kernel(h, up, up_bias, keep=keep)  # (..., D) -> (..., F)
        h, gated_back = gated(a, b, keep=keep)
        y, out_back = linear.kernel(h, out, out_bias, keep=keep)  # (..., F) -> (..., D)

        def backward(g):
            by_gated, by_out, by_out_bias = out_back(g)
            by_a, by_b = map(formed, gated_back(formed(by_gated)))
            by_h, *by_gate = gate_back(by_a)
            by_h_too, *by_up = up_back(by_b)

            def by_input(_):  # two maps read the input
                d = formed(by_h_too)
                d += formed(by_h)
                return d

            return by_input, *by_gate, *by_up, by_out, by_out_bias

        return y, backward

    return sublayer(name, branch, x, gain, shift, norm, eps, placement, keep)
