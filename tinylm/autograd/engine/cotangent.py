"""What a backward pass begins with: the cotangent that the caller gives, or 1.

Read next: backward.py, which walks from there.
"""

import numpy as np

from tinylm import backend
from tinylm.autograd.engine.tensor import Tensor, TensorLike
from tinylm.errors import ShapeError


def cotangent_of(output: Tensor, cotangent: TensorLike | None) -> Tensor:
    """The cotangent of `output` as a Tensor of its shape; 1 for a scalar if None is given."""
    if cotangent is None:
        if output.size != 1:
            raise ShapeError(
                f"backward: the output has shape {output.shape}; pass a cotangent of that shape, "
                "or reduce to a scalar first"
            )
        return Tensor(np.ones_like(output.data))
    if isinstance(cotangent, Tensor):
        g = cotangent
    else:
        if np.isscalar(cotangent) and type(output.data) is not np.ndarray and output.ndim == 0:
            return Tensor(np.full_like(output.data, cotangent))  # written there, nothing is sent
        g = Tensor(cotangent)
        written_out = not backend.is_array(cotangent)
        if written_out:  # a number or a list: in the output's dtype, on its device
            g = Tensor(np.asarray(cotangent, output.dtype), device=output.device)
    if g.shape != output.shape:
        raise ShapeError(f"backward: the cotangent has shape {g.shape}, the output {output.shape}")
    return g
