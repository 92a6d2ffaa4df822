"""A decoder that reads numbers instead of words: it learns functions in context   (book section
3.1.2; Garg et al. 2022).

    x_1, (y_1, 0, .., 0), x_2, (y_2, 0, .., 0), .., x_k  ->  prediction of y_k at x_k

Inputs and values are vectors of d numbers and enter the blocks of a GPT by a linear map in place of
the embedding of tokens; another map reads a number at every x. All predictions of a prompt are
trained at once, so one prompt of K examples is K tasks. Read next:
induction.py.
"""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor, mean
from tinylm.backend import DType, Random, to_device
from tinylm.errors import ShapeError
from tinylm.models import GPT, GPTConfig
from tinylm.nn.linear import Linear
from tinylm.nn.module import Module


class RealDecoder(Module):
    """Predictions of values from examples.

    d         width of x
    points    most examples of a prompt
    settings  of GPTConfig, for the blocks: n_layer, n_head, d_model, ..
    """

    def __init__(
        self, d: int, points: int, seed: int = 0, dtype: DType = np.float32, **settings: Any
    ) -> None:
        self.d = d
        self.trunk = GPT(GPTConfig(1, context=2 * points, **settings), seed, dtype)
        self.trunk.tokens = None  # vectors come in, and numbers out
        D, rng = self.trunk.config.d_model, Random(seed, "real decoder")
        self.enter = Linear(d, D, rng.child("enter"), std=d**-0.5, dtype=dtype)
        self.leave = Linear(D, 1, rng.child("leave"), dtype=dtype)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> Tensor:
        """Predictions of every y_k from (x_1, y_1), .., (x_{k-1}, y_{k-1}) and x_k.

        x        (B, K, d);  y  (B, K)
        returns  (B, K) Tensor
        raises   ShapeError for other shapes, or more examples than there are positions
        Check: tinylm gradcheck prompt.RealDecoder
        """
        tokens = interleaved(x, y)  # (B, 2 K, d)
        T = tokens.shape[1] - 1  # the last value has nothing after it
        if tokens.shape[2] != self.d or T >= self.trunk.config.context:
            raise ShapeError(
                f"RealDecoder: x {np.shape(x)}, needs (B, K, {self.d}) with K at most "
                f"{self.trunk.config.context // 2}"
            )
        positions = to_device(np.arange(T), self.enter.weight.device)
        vectors = self.enter(_constant(tokens[:, :T], self))  # (B, 2 K - 1, D)
        h = self.trunk.add_positions(vectors, positions)
        h = self.trunk.transform(h, positions)
        return self.leave(h[:, ::2])[..., 0]  # the positions of x: (B, K)


def small_decoder(d: int, points: int, seed: int = 0) -> RealDecoder:
    """A RealDecoder of two layers that learns functions of a few numbers in minutes on a CPU.

    The feed-forward layer is no wider than the model.
    """
    model = RealDecoder(
        d, points, seed, n_layer=2, n_head=4, d_model=64, d_hidden=64, norm="rms", bias=False
    )
    # A value alone would be +-1 after the norm: beside a position it keeps its size.
    model.trunk.positions.table.weight.data *= 25
    # GPT-2's 0.02 is made for a width of 768.
    for block in model.trunk.blocks:
        for parameter in block.parameters():
            if parameter.ndim == 2:
                parameter.data *= 4
    return model


def interleaved(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x_1, y_1, x_2, y_2, .. as vectors of width d, values in the first place: (B, 2 K, d)."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 3 or y.shape != x.shape[:2]:
        raise ShapeError(f"interleaved: x {x.shape} and y {y.shape}, needs (B, K, d) and (B, K)")
    B, K, d = x.shape
    tokens = np.zeros((B, 2 * K, d), x.dtype)
    tokens[:, ::2] = x
    tokens[:, 1::2, 0] = y
    return tokens


def squared_error(model: RealDecoder, x: np.ndarray, y: np.ndarray) -> Tensor:
    """The mean over prompts and examples of (prediction - y)^2: scalar Tensor.

    x  (B, K, d);  y  (B, K)
    Check: tinylm gradcheck prompt.squared_error
    """
    errors = model(x, y) - _constant(y, model)  # (B, K)
    return mean(errors * errors)


def _constant(array, model):
    """Numbers as a Tensor with the dtype and on the device of a RealDecoder."""
    weight = model.enter.weight
    return Tensor(np.asarray(array).astype(weight.dtype), device=weight.device)
