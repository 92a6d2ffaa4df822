"""Gradient checks of whole decoders: tiny ones, each with parts that the others do not have."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.registry import call, register
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.models.early.cases import ready, seed
from tinylm.nn.module import Module

IDS = np.array([[1, 4, 2], [3, 0, 4]])
ONCE = "its parts are checked to second order one by one; whole, that would only take long"
SIZES = dict(vocab_size=5, context=3, n_layer=2, n_head=2, d_model=4, d_hidden=3)
LLAMA = dict(norm="rms", activation="swiglu", positions="rope", n_kv_head=1, bias=False, tied=False)

VARIANTS = {
    "gpt2": {},
    "llama": LLAMA,
    # Three layers in groups of two: the last group has one layer.
    "kv_sharing": LLAMA | dict(n_layer=3, kv_sharing=2, qk_norm="head"),
}


def small(rng: np.random.Generator, **changes: Any) -> Any:
    """A tiny GPT with weights large enough for every derivative to show."""
    return ready(GPT(GPTConfig(**SIZES | changes), seed(rng), np.float64).eval())


def read(model: Module, ids: np.ndarray, memory: Sequence[np.ndarray]) -> Any:
    """The second segment of a text, after a memory that is a constant: gradients stop there."""
    return model.read(ids, [Tensor(states) for states in memory])[0]


register(
    "models.GPT.read",
    read,
    lambda rng: [
        call(
            small(rng, segment_memory=2, context=5, **changes),
            IDS,
            memory=rng.normal(size=(2, 2, 2, 4)),  # L, B, M, D
        )
        for changes in (LLAMA, dict(positions="alibi", norm_placement="post"))
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="Dai et al. 2019",
)

for _name, _changes in VARIANTS.items():
    register(
        f"models.GPT({_name})",
        lambda model, ids: model(ids),
        lambda rng, changes=_changes: [call(small(rng, **changes), IDS)],
        order=1,
        reason=ONCE,
        covers=(),
        source="book section 2.1.1",
    )
