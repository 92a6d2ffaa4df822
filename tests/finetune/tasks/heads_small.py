"""The smallest models for tests of heads."""

import numpy as np

from tinylm.finetune.inputs import EncoderInput
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.models.early.cases import ready
from tinylm.models.encoder.presets import build, tiny
from tinylm.pretrain.special import Special

SPECIAL = Special.after(20, sentinels=0)  # words 0 to 19
INPUTS = EncoderInput(SPECIAL)


def encoder(seed=0, dtype=np.float64, **changes):
    """A BERT of width 16 without dropout."""
    sizes = dict(
        vocab_size=SPECIAL.vocab_size,
        n_layer=1,
        n_head=2,
        context=32,
        dropout=0.0,
        head=None,
        classes=0,
    )
    return ready(build(tiny("bert-base-uncased", **sizes | changes), seed, dtype=dtype))


def untrained(seed=0, **changes):
    """The same in float32 with its usual initial weights: to be trained."""
    sizes = dict(
        vocab_size=SPECIAL.vocab_size,
        n_layer=1,
        n_head=2,
        context=32,
        dropout=0.0,
        head=None,
        classes=0,
    )
    return build(tiny("bert-base-uncased", **sizes | changes), seed)


def decoder(seed=0, dtype=np.float64, **changes):
    """A GPT of width 16."""
    sizes = dict(
        vocab_size=SPECIAL.vocab_size, context=32, n_layer=1, n_head=2, d_model=16, dropout=0.0
    )
    return ready(GPT(GPTConfig(**sizes | changes), seed, dtype))


def seq2seq(seed=0, dtype=np.float64, **changes):
    """A T5 of width 16."""
    sizes = dict(
        vocab_size=SPECIAL.vocab_size, n_layer=1, n_head=2, start=SPECIAL.start, dropout=0.0
    )
    return build(tiny("t5-v1.1-small", **sizes | changes), seed, dtype=dtype)


def texts(n, seed=0, low=3, high=8):
    """Random sequences of words."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 20, rng.integers(low, high)).tolist() for _ in range(n)]
