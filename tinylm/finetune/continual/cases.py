"""Gradient-check cases of the remedies against forgetting: penalties, losses of several tasks."""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import Call, call, register
from tinylm.finetune.continual.anchors import moved_apart
from tinylm.finetune.continual.many_tasks import Item, ManyHeads, ManyTasks
from tinylm.finetune.inputs import EncoderInput
from tinylm.models.early.cases import ready
from tinylm.models.encoder.presets import build, tiny
from tinylm.nn.module import Module
from tinylm.pretrain.special import Special

SPECIAL = Special.after(4, sentinels=0)


def draws(rng: np.random.Generator) -> list[Call]:
    """The penalty of two parameters, without and with importance."""
    # theta* differs from theta: at the anchor itself the gradient is 0
    fixed = {"start": [rng.normal(size=(2, 3)), rng.normal(size=3)], "strength": 0.7}
    return [
        call([normal(rng, 2, 3), normal(rng, 3)], **fixed),
        call(
            [normal(rng, 2, 3), normal(rng, 3)],
            importance=[rng.random((2, 3)), rng.random(3)],
            **fixed,
        ),
    ]


register(
    "finetune.Anchor",
    moved_apart,
    draws,
    covers=(),
    source="Kirkpatrick et al. 2017; Li et al. 2018",
)


def loss_of(model: Module, task: Any, batch: Any) -> Tensor:
    """The task's loss on a batch, on the model's device."""
    return task.loss(model, batch.to(model.encoder.tokens.weight.device))[0]


def two_tasks(rng: np.random.Generator) -> Call:
    """A small encoder with heads of two and three classes, and a batch of both with logits."""
    sizes = dict(n_layer=1, n_head=2, d_model=4, d_hidden=3, context=6, dropout=0.0)
    config = tiny("bert-base-uncased", vocab_size=SPECIAL.vocab_size, **sizes)
    encoder = build(config, int(rng.integers(99)), dtype=np.float64)
    task = ManyTasks.of(EncoderInput(SPECIAL), 2, imitate=0.5)
    # with and without former logits; of different widths, so that NaN fills the shorter ones
    examples = [
        Item(0, [1, 2], 1),
        Item(1, [3], 2, np.array([0.5, -1.0, 0.2])),
        Item(0, [0, 3], 0, np.array([1.0, 0.0])),
    ]
    batch = task.make_batch(examples)
    return call(ready(ManyHeads(encoder, (2, 3)).eval()), task, batch)


register(
    "finetune.ManyTasks",
    loss_of,
    lambda rng: [two_tasks(rng)],
    covers=(),
    source="Buzzega et al. 2020",
)
