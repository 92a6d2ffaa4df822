"""Attention whose scores overflow: q k^T may pass float32's 3e38 where a softmax over it is finite.

Read next: attention.py.
"""

import functools

import numpy as np


class ScoresOverflow(Exception):
    """Finite queries and keys have scores beyond float32, though their softmax is finite."""


def in_float64_on_overflow(kernel):
    """Decorator: an attention kernel whose scores overflow in float32 is run again in float64."""

    @functools.wraps(kernel)
    def checked(*arrays, **options):
        try:
            return kernel(*arrays, **options)
        except ScoresOverflow:
            dtype = arrays[0].dtype
        wide = [a if a is None else a.astype(np.float64) for a in arrays]
        out, backward = kernel(*wide, **options)

        def narrow(d):
            if callable(d):  # a gradient that is computed only where it is needed
                return lambda out: d(None).astype(dtype)
            if d is None:
                return d
            return d.astype(dtype)

        def narrow_backward(g):
            return [narrow(d) for d in backward(g.astype(np.float64))]

        return out.astype(dtype), narrow_backward

    return checked
