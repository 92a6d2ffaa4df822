"""Dropout as a module, for models that are put together from parts. Read next: sequential.py."""

from tinylm.autograd import Tensor, dropout
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn.module import Module
from tinylm.nn.own_stream import OWN, own_stream


class Dropout(Module):
    """While training, zero each value with probability p, scale the rest by 1/(1-p); after eval()
    return the input   (Srivastava et al. 2014).

    p       in [0, 1)
    rng     tinylm.Random that the masks are drawn from; unless given, a stream of its own
            (own_stream.py)
    raises  ConfigError for another p

    Check: tinylm gradcheck nn.Dropout
    """

    def __init__(self, p: float = 0.5, rng: Random = OWN) -> None:
        if not 0 <= p < 1:
            raise ConfigError(f"Dropout: p = {p} is not in [0, 1)")
        self.p, self.rng = p, own_stream(rng)

    def __call__(self, x: Tensor) -> Tensor:
        """(...) -> (...), x itself unless training."""
        if not self.training:
            return x
        return dropout(x, self.p, self.rng)
