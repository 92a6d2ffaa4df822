"""Gradient-check cases of what is trained in place of the whole model, by itself and inside a tiny
frozen GPT.

A frozen tensor is not differentiated, so these entries also check which parameters learn. Read
next: lora.py.
"""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import Random
from tinylm.finetune.freezing import freeze
from tinylm.finetune.peft.adapters import Adapted, Adapter
from tinylm.finetune.peft.ia3 import ScaledInput, ScaledOutput
from tinylm.finetune.peft.lora import LoRA, PackedLoRA
from tinylm.finetune.peft.prefix import Reparametrized, hidden_prefix, key_value_prefix
from tinylm.finetune.peft.prompt_encoder import MLP, BidirectionalLSTM, PromptEncoder, transformer
from tinylm.finetune.peft.quantized_base import QuantizedLinear
from tinylm.finetune.peft.soft_prompts import INPUT, SoftPrompt, hybrid
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.early.cases import ready
from tinylm.nn import Linear
from tinylm.nn.module import Module

IDS = np.array([[1, 4, 2], [3, 0, 4]])
ONCE = "its parts are checked to second order one by one; whole, that would only take long"


def moved(module: Module, rng: np.random.Generator) -> Module:
    """A module with random parameters: at the start (B = 0 in LoRA) many derivatives are zero."""
    for p in module.parameters():
        if p.requires_grad:
            p.data[...] = rng.normal(size=p.shape)
    return module


def line(rng: np.random.Generator, d_in: int = 3, d_out: int = 4) -> Module:
    """A frozen Linear."""
    return freeze(ready(Linear(d_in, d_out, Random(int(rng.integers(99))), dtype=np.float64)))


def gpt(rng: np.random.Generator, **changes: Any) -> Module:
    """The smallest GPT."""
    sizes = dict(vocab_size=5, context=8, n_layer=2, n_head=2, d_model=4, d_hidden=3) | changes
    return ready(GPT(GPTConfig(**sizes), int(rng.integers(99)), np.float64)).eval()


def apply(module: Module, x: Tensor) -> Tensor:
    """module(x)."""
    return module(x)


# one matrix of rank 2; two ranges of columns of rank 1, with unchanged columns between and behind
register(
    "finetune.LoRA",
    apply,
    lambda rng: [
        call(moved(LoRA(line(rng), 2, 3, Random(0)), rng), normal(rng, 2, 3)),
        call(
            moved(PackedLoRA(line(rng), [(0, 1), (2, 3)], 1, 3, Random(0)), rng),
            normal(rng, 1, 2, 3),
        ),
    ],
    covers=(),
    source="Hu et al. 2022",
)
register(
    "finetune.Adapter",
    apply,
    lambda rng: [
        call(
            moved(Adapted(line(rng), Adapter(4, 2, Random(0), dtype=np.float64)), rng),
            normal(rng, 2, 3),
        )
    ],
    covers=(),
    source="Houlsby et al. 2019",
)
register(
    "finetune.IA3",
    apply,
    lambda rng: [
        call(moved(ScaledOutput(line(rng), [(1, 2), (2, 4)]), rng), normal(rng, 2, 3)),
        call(moved(ScaledInput(line(rng)), rng), normal(rng, 2, 3)),
    ],
    covers=(),
    source="Liu et al. 2022",
)
# weights in blocks of 32 inputs: the gradient with respect to x passes through unpacked weights
register(
    "finetune.QuantizedLinear",
    apply,
    lambda rng: [call(QuantizedLinear(line(rng, 32, 2)), normal(rng, 2, 32))],
    covers=(),
    source="Dettmers et al. 2023",
)
# the identity, P-tuning's LSTM and a transformer block as f in p = f(u)
register(
    "finetune.PromptEncoder",
    lambda encoder: encoder(),
    lambda rng: [
        call(moved(PromptEncoder(np.zeros((2, 3)), network), rng))
        for network in (
            None,
            BidirectionalLSTM(3, 2, 3, Random(0), np.float64),
            transformer(3, 1, Random(0), np.float64),
        )
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="Liu et al. 2021",
)
# relu has a kink at 0: inputs are drawn again until no hidden unit is near it.
register(
    "finetune.MLP",
    lambda mlp, x: mlp(x),
    lambda rng: [call(MLP(3, 2, 4, Random(0), np.float64), normal(rng, 2, 3))],
    avoid=lambda mlp, x: np.min(np.abs(mlp.hidden(x).numpy())),
    covers=(),
    source="Liu et al. 2021",
)
register(
    "finetune.Reparametrized",
    lambda source: source(),
    lambda rng: [call(Reparametrized((2, 2, 1, 2, 2), 3, 2, Random(0), np.float64))],
    covers=(),
    source="Li & Liang 2021",
)
register(
    "finetune.prompt_tuning",
    lambda tuned, ids: tuned(ids),
    lambda rng: [
        call(
            hybrid(
                gpt(rng),
                [
                    SoftPrompt(rng.normal(size=(2, 4))),
                    [3],
                    SoftPrompt(rng.normal(size=(1, 4))),
                    INPUT,
                ],
            ),
            IDS,
        )
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="Lester et al. 2021",
)
# states in front of each layer; keys and values with grouped heads and rotary positions
register(
    "finetune.prefix_tuning",
    lambda tuned, ids: tuned(ids),
    lambda rng: [
        call(moved(hidden_prefix(gpt(rng), 2), rng), IDS),
        call(moved(key_value_prefix(gpt(rng, n_kv_head=1, positions="rope"), 2), rng), IDS),
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="book eqs. 3.19-3.22",
)
