"""Adapters: small layers put between those of a frozen model   (book section 3.3.2.2, Fig. 3.7 d;
Houlsby et al. 2019)

    a(h) = h + sigma(h W_down + b_down) W_up + b_up
           W_down (D, r), W_up (r, D): 2 D r + r + D numbers

W_up and b_up begin at zero, so before training a is the identity to the bit. Houlsby et al. put one
after attention and one after the feed-forward, before each is added to the residual stream;
Pfeiffer et al. (2021) keep only the second. The bend in the middle cannot be folded into weights:
unlike LoRA, an adapter costs time at inference. Read next: lora.py.
"""

from typing import Any

from tinylm.autograd import Array
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import freeze
from tinylm.finetune.wrap import places, put
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import ACTIVATIONS, Block, Linear, Module, ParallelBlock

# Standard deviation of W_down: Houlsby et al. 2019, section 3.6, found any value up to this good.
DOWN_STD = 1e-2


class Adapter(Module):
    """h + sigma(h W_down + b_down) W_up + b_up, the identity at first.

    d_model  D;  r the width of the middle;  activation one of ACTIVATIONS
    """

    def __init__(
        self, d_model: int, r: int, rng: Random, activation: str = "gelu", dtype: DType = "float32"
    ) -> None:
        if r < 1 or activation not in ACTIVATIONS:
            raise ConfigError(
                f"Adapter: width {r} must be at least 1, "
                f"activation {activation!r} one of {', '.join(ACTIVATIONS)}"
            )
        self.activation = ACTIVATIONS[activation]
        # W_up = 0, so that the residual branch starts at 0 whatever W_down is
        self.down = Linear(d_model, r, rng, std=DOWN_STD, dtype=dtype)
        self.up = Linear(r, d_model, rng, std=0.0, dtype=dtype)

    def __call__(self, h: Array) -> Array:
        return h + self.up(self.activation(self.down(h)))  # (..., D) -> (..., r) -> (..., D)


class Adapted(Module):
    """A module with an adapter behind it: adapter(base(...)), for any arguments."""

    def __init__(self, base: Module, adapter: Adapter) -> None:
        self.base, self.adapter = base, adapter

    def __call__(self, *args: Any, **options: Any) -> Array:
        return self.adapter(self.base(*args, **options))


def houlsby(model: Module, r: int, activation: str = "gelu", seed: int = 0) -> GPT:
    """Freeze a model and put adapters behind every attention and feed-forward, in place.

    r        width of the middle
    returns  the model
    """
    return _adapt(model, ("attention", "feed_forward"), r, activation, seed)


def pfeiffer(model: Module, r: int, activation: str = "gelu", seed: int = 0) -> GPT:
    """Freeze a model and put adapters behind every feed-forward alone; as houlsby()."""
    return _adapt(model, ("feed_forward",), r, activation, seed)


def _adapt(model, sub_layers, r, activation, seed):
    """Freeze a model and put adapters behind the named sub-layers of every block, in place."""
    weight, width = model.tokens.weight, model.config.d_model
    blocks = places(model, (Block, ParallelBlock))
    if not blocks:
        raise ConfigError(
            f"adapters: a {type(model).__name__} has no Block to put them into, "
            "so nothing would be trained: take lora()"
        )
    freeze(model)
    for name, _, _, block in blocks:
        for part in sub_layers:
            rng = Random(seed, "adapter", name, part)
            adapter = Adapter(width, r, rng, activation, weight.dtype).to(weight.device)
            put(block, part, Adapted(getattr(block, part), adapter))
    return model
