"""Gradient-check cases of smaller models: losses of distillation, weights under masks, exits,
shortened encoders.

`straight_through` deliberately does not return the derivative of its value. It is checked where the
two agree, when the value is the argument itself (as with infinitely many bits); its tests cover the
rest.
"""

import numpy as np

from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import Random, device_of, to_cpu
from tinylm.finetune.compress.distill_losses import (
    cosine_loss,
    hidden_loss,
    logit_matching,
    mixed_loss,
    relation_loss,
    soft_loss,
)
from tinylm.finetune.compress.early_exit import EarlyExit, exit_loss
from tinylm.finetune.compress.length_adaptive import shortened
from tinylm.finetune.compress.prune import Mask
from tinylm.finetune.compress.reweight import Reweighted, straight_through
from tinylm.finetune.compress.structured import gated
from tinylm.finetune.compress.token_exit import TokenExit, TokenExitTask
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.early.cases import ready
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.nn import Linear
from tinylm.nn.module import Module

# Operations whose backward is not the derivative of their forward, and why.
NOT_DERIVATIVES = {
    "straight_through": (
        "the cotangent passes unchanged; its own derivative would be 0 almost everywhere"
    )
}

TINY = EncoderConfig(
    vocab_size=7,
    context=5,
    n_layer=2,
    n_head=2,
    d_model=4,
    d_hidden=6,
    head=None,
    pooler=False,
    dropout=0.0,
    norm_eps=1e-5,
)
IDS = np.array([[0, 3, 1, 2, 6], [0, 5, 4, 4, 0]])
MASK = np.arange(5) < np.array([[5], [4]])  # the last position of the second row is padding


def encoder(rng: np.random.Generator) -> Module:
    """A small encoder with all parameters drawn at random, biases too."""
    return ready(Encoder(TINY, int(rng.integers(99)), np.float64))


register(
    "straight_through",
    lambda x: straight_through(x, x.data.copy()),
    lambda rng: [call(normal(rng, 2, 3))],
    source="Bengio et al. 2013",
    reason=NOT_DERIVATIVES["straight_through"],
)
register(
    "finetune.soft_loss",
    soft_loss,
    lambda rng: [
        call(normal(rng, 3, 4), teacher=rng.normal(size=(3, 4)), temperature=tau)
        for tau in (1.0, 3.0)
    ],
    covers=(),
    source="Hinton et al. 2015",
)
register(
    "finetune.mixed_loss",
    mixed_loss,
    lambda rng: [
        call(
            normal(rng, 3, 4),
            teacher=rng.normal(size=(3, 4)),
            targets=np.array([0, 3, 1]),
            alpha=0.3,
        )
    ],
    covers=(),
)
register(
    "finetune.logit_matching",
    logit_matching,
    lambda rng: [call(normal(rng, 3, 4), teacher=rng.normal(size=(3, 4)))],
    covers=(),
)
register(
    "finetune.cosine_loss",
    cosine_loss,
    lambda rng: [call(normal(rng, 3, 4), teacher=rng.normal(size=(3, 4)))],
    covers=(),
    source="Sanh et al. 2019",
)
# two pairs of layers through a shared map (D_S, D_T), with and without padding
register(
    "finetune.hidden_loss",
    lambda a, b, w, **options: hidden_loss([a, b], maps=[w, w], **options),
    lambda rng: [
        call(
            normal(rng, 2, 5, 3),
            normal(rng, 2, 5, 3),
            normal(rng, 3, 2),
            teacher=[rng.normal(size=(2, 5, 2)) for _ in range(3)],
            layer_map=[(0, 0), (1, 2)],
            mask=mask,
        )
        for mask in (None, MASK)
    ],
    covers=(),
    source="Jiao et al. 2020",
)
# widths of student and teacher differ, the number of relation heads does not
register(
    "finetune.relation_loss",
    lambda a, b, **options: relation_loss([a, b], **options),
    lambda rng: [
        call(
            normal(rng, 2, 5, 4),
            normal(rng, 2, 5, 2),
            teacher=[rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 6))],
            heads=2,
            mask=mask,
            causal=causal,
        )
        for mask, causal in ((None, False), (MASK, True))
    ],
    covers=(),
    source="Wang et al. 2021",
)
register(
    "finetune.exit_loss",
    exit_loss,
    lambda rng: [
        call(normal(rng, 2, 3, 4), targets=np.array([0, 3, 1]), weights=w) for w in (None, (1, 0.5))
    ],
    covers=(),
    source="Zhou et al. 2020",
)
register(
    "finetune.EarlyExit",
    lambda model, ids, mask: model(ids, mask),
    lambda rng: [call(ready(EarlyExit(encoder(rng), 3, pool="mean")), IDS, MASK)],
    covers=(),
    source="Xin et al. 2020",
)


def token_exit(rng: np.random.Generator) -> Module:
    """A small GPT that answers after every layer."""
    config = GPTConfig(7, 5, n_layer=2, n_head=2, d_model=4, d_hidden=6)
    return ready(TokenExit(GPT(config, int(rng.integers(99)), np.float64)))


def _loss_of_exits(model, ids):
    task = TokenExitTask()
    batch = task.make_batch(to_cpu(ids)).to(device_of(ids))
    return task.loss(model, batch)[0]


register(
    "finetune.TokenExit",
    lambda model, ids: model(ids),
    lambda rng: [call(token_exit(rng), IDS)],
    covers=(),
    source="Schuster et al. 2022",
)
register(
    "finetune.TokenExitTask",
    _loss_of_exits,
    lambda rng: [call(token_exit(rng), IDS)],
    covers=(),
    source="Schuster et al. 2022",
)
# four and two of five tokens left after the layers, beside padding; then three and three
register(
    "finetune.shortened",
    lambda model, ids, lengths, mask: shortened(model, ids, lengths, mask)[0],
    lambda rng: [call(encoder(rng), IDS, (4, 2), MASK), call(encoder(rng), IDS, (3, 3), None)],
    covers=(),
    source="Goyal et al. 2020",
)


def _gated(model, gates, ids):
    with gated(model, [gates, gates]):
        return model.hidden(ids)


# one gate a head for the whole batch, (H,), or for each row, (B, H)
register(
    "finetune.gated",
    _gated,
    lambda rng: [call(encoder(rng), normal(rng, *shape), IDS) for shape in ((2,), (2, 2))],
    covers=(),
    source="Michel et al. 2019",
)
MASKED = np.arange(6).reshape(3, 2) % 3 > 0
register(
    "finetune.Mask",
    lambda layer, x: layer(x),
    lambda rng: [
        call(
            ready(Reweighted(Linear(3, 2, Random(0), dtype=np.float64), Mask(MASKED))),
            normal(rng, 4, 3),
        )
    ],
    covers=(),
)
