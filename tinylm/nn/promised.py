"""Initial weights that are drawn when they are needed: for a process that keeps a part of a model.

    with promised():
        model = GPT(config, seed)      takes the memory of its vectors alone
    kept(model.blocks[3].mlp.weight)   the array it would have had

A stream of random numbers is a counter, so a draw can be put off: the stream goes on as if it had
happened, and the draw remembers where it began. Read next: parallel/together.py.
"""

import contextlib
from collections.abc import Iterator

import numpy as np

from tinylm.backend import DType, Random, to_cpu

_promising = [False]


class Promised(np.ndarray):
    """A placeholder: one zero seen from every index.

    draw  function: makes the array
    key   of what it will hold: seed, path, counter, standard deviation
    """

    draw = key = None


@contextlib.contextmanager
def promised() -> Iterator[None]:
    """A context in which normal_parameter() promises its values rather than drawing them."""
    before = _promising[0]
    _promising[0] = True
    try:
        yield
    finally:
        _promising[0] = before


def promising() -> bool:
    """Whether a promised() is open."""
    return _promising[0]


def promise(shape: tuple[int, ...], rng: Random, std: float, dtype: DType) -> np.ndarray:
    """What normal_parameter would draw from a stream, to be drawn later; the stream goes on.

    returns  Promised of that shape
    """
    start = rng.counter
    with rng.rows(0, shape[0]):  # none of its rows
        rng.normal((0, *shape[1:]), np.dtype(dtype))

    def draw():
        stream = Random(rng.seed, *rng.path)
        stream.counter = start
        return (stream.normal(shape, np.dtype(dtype)) * std).astype(dtype)

    placeholder = np.broadcast_to(np.zeros((), dtype), shape).view(Promised)
    placeholder.draw, placeholder.key = draw, (rng.seed, *rng.path, start, float(std))
    return placeholder


def kept(array: np.ndarray) -> np.ndarray:
    """The array itself, or what was promised."""
    if isinstance(array, Promised) and array.draw is not None:
        return array.draw()
    return array


def scaled(array: np.ndarray, factor: float) -> np.ndarray:
    """An array times a number; of a promise, the promise of that."""
    if not isinstance(array, Promised) or array.draw is None:
        return array * factor
    placeholder = np.broadcast_to(np.zeros((), array.dtype), array.shape).view(Promised)
    placeholder.draw = lambda: array.draw() * factor
    placeholder.key = (*array.key, float(factor))
    return placeholder


def described(array: np.ndarray) -> bytes:
    """Bytes that are equal for equal initial weights, without drawing them."""
    if isinstance(array, Promised) and array.draw is not None:
        return repr(array.key).encode()
    return np.ascontiguousarray(to_cpu(array)).tobytes()
