"""What every method that trains few parameters is held to: only what it declares learns, the rest
stays to the bit.
"""

import numpy as np

from tinylm.finetune import fit, trainable
from tinylm.finetune.freezing import count_trainable
from tinylm.models import GPT, GPTConfig
from tinylm.models.early.cases import ready
from tinylm.models.encoder.presets import build, tiny
from tinylm.pretrain import CausalLM

IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def gpt(dtype=np.float64, **changes):
    """A GPT of two layers whose weights are large enough for every part to matter."""
    sizes = dict(vocab_size=12, context=16, n_layer=2, n_head=2, d_model=8, d_hidden=12) | changes
    return ready(GPT(GPTConfig(**sizes), 1, dtype)).eval()


def encoder(name="bert-base-uncased", **changes):
    """A tiny encoder or encoder-decoder."""
    sizes = dict(vocab_size=12, n_layer=2, n_head=2, d_model=8, d_hidden=12, dropout=0.0) | changes
    return ready(build(tiny(name, **sizes), 1, dtype=np.float64)).eval()


def assert_only_these_learn(model, count, expected=None, learning_rate=0.05):
    """The trained numbers are `count`; they and they alone get gradients; training moves them and
    nothing else.

    expected  names of what learns; by default whatever is not frozen
    """
    named = model.named_parameters()
    assert count_trainable(model) == count
    task, rows = CausalLM(), np.concatenate([IDS, IDS[:, ::-1]])
    model.zero_grad()
    task.loss(model, task.make_batch(rows))[0].backward()
    got = {name for name, p in named.items() if p.grad is not None}
    assert got == set(trainable(model)) == (expected or set(trainable(model)))
    before = model.state_dict()
    losses = fit(
        model, task, list(rows), steps=6, batch_size=4, learning_rate=learning_rate, warmup=0.0
    )
    after = model.state_dict()
    assert {n for n in named.keys() if not np.array_equal(before[n], after[n])} <= got
    assert any(not np.array_equal(before[n], after[n]) for n in got) and losses[-1] < losses[0]
