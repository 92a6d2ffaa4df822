"""Linear maps and token embeddings, with their initialization. Read next: norm.py."""

import numpy as np

from tinylm.autograd import Array, Tensor, embedding, linear
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError
from tinylm.nn.module import Module
from tinylm.nn.own_stream import OWN, own_stream
from tinylm.nn.promised import Promised, promise, promising, scaled

# Standard deviation of GPT-2's initial weights (Radford et al. 2019); for width 768 close to
# 1/sqrt(3 * 768).
INIT_STD = 0.02


def normal_parameter(
    shape: tuple[int, ...], rng: Random | None, std: float, dtype: DType = np.float32
) -> Tensor:
    """A parameter drawn from the normal distribution with mean 0 and standard deviation `std`.

    rng      tinylm.Random; None gives a placeholder of that shape that takes no memory, for a model
             whose weights are loaded afterwards. Within promised() it is drawn later: promised.py
    returns  Tensor of `shape`
    """
    if rng is None:
        # A single zero seen from every index: all strides are 0.
        placeholder = np.broadcast_to(np.zeros((), dtype), shape)
        return Tensor(placeholder, requires_grad=True)
    if not hasattr(rng, "bernoulli"):  # a NumPy generator has none
        message = (
            f"rng must be a stream of random numbers, tinylm.Random(seed), or None, not {rng!r}"
        )
        if isinstance(rng, bool):
            message += f"; a bias is switched by name, bias={rng}"
        raise ConfigError(message)
    if promising():
        parameter = Tensor(np.zeros((), dtype), requires_grad=True)
        parameter.data = promise(shape, rng, std, dtype)
        return parameter
    values = rng.normal(shape, np.dtype(dtype)) * std
    return Tensor(values.astype(dtype), requires_grad=True)


def undecayed(parameter: Tensor) -> Tensor:
    """Exempt a parameter of two or more axes from weight decay, and return it.

    It is for what is neither a map nor an embedding. optim.flat.decays reads the mark.
    """
    parameter.decays = False
    return parameter


def fit_to_width(module: Module, d_model: int) -> Module:
    """Scale the initial matrices of a narrow model by sqrt(768 / D), and return the module.

    INIT_STD is meant for D = 768. A narrow model that starts from it stays longer at the loss of
    one that has only learned how frequent each token is.
    """
    # An entry of x W is a sum of D products, so for inputs of variance 1 its variance is D std^2:
    # to keep it, a narrow model needs a larger std, in proportion to 1/sqrt(D).
    factor = (768 / d_model) ** 0.5
    for p in module.parameters():
        if getattr(p, "decays", p.ndim >= 2):  # a map or an embedding
            values = scaled(p.data, factor)
            if isinstance(values, Promised):
                p.data = values
            else:
                p.assign_(values)
    return module


class Linear(Module):
    """x W + b, with W (d_in, d_out): the orientation of the book's h W.

    rng   tinylm.Random that W is drawn from; unless given, a stream of its own (own_stream.py)
    std   of the initial weights; residual projections use std / sqrt(2 L), so that the sum over L
          blocks of two branches each keeps its variance   (Radford et al. 2019)
    bias  False leaves it out   (book eq. 2.31)
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        rng: Random | None = OWN,
        bias: bool = True,
        std: float = INIT_STD,
        dtype: DType = np.float32,
    ) -> None:
        self.weight = normal_parameter((d_in, d_out), own_stream(rng), std, dtype)
        self.bias = None
        if bias:
            self.bias = Tensor(np.zeros(d_out, dtype), requires_grad=True)

    def __call__(self, x: Array) -> Tensor:
        return linear(x, self.weight, self.bias)  # (..., d_in) -> (..., d_out)


class Embedding(Module):
    """A table of vectors, one row per token   (book section 2.1.1).

    rng  tinylm.Random that it is drawn from; unless given, a stream of its own (own_stream.py)
    """

    def __init__(
        self,
        rows: int,
        d_model: int,
        rng: Random | None = OWN,
        std: float = INIT_STD,
        dtype: DType = np.float32,
    ) -> None:
        self.weight = normal_parameter((rows, d_model), own_stream(rng), std, dtype)

    def __call__(self, ids: np.ndarray) -> Tensor:
        return embedding(ids, self.weight)  # (...) -> (..., D)


def hidden_matrices(module: Module) -> list[str]:
    """The names of the weights of a module's linear maps, among its named_parameters().

    These are what Muon updates (optim/muon.py): not embeddings, output tables, gains and biases.
    """
    maps = {id(part.weight) for part in module.modules() if isinstance(part, Linear)}
    return [name for name, p in module.named_parameters().items() if id(p) in maps]
