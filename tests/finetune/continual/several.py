"""A small encoder, and tasks on the same texts that ask for different things."""

import numpy as np

from tinylm.backend import Random
from tinylm.finetune.inputs import EncoderInput
from tinylm.models.encoder.presets import build, tiny
from tinylm.pretrain.special import Special

WORDS = 8
SPECIAL = Special.after(WORDS, sentinels=0)
ENCODER_INPUT = EncoderInput(SPECIAL)


def encoder(seed=0, dtype=np.float32):
    """A BERT of one layer without dropout."""
    sizes = dict(
        vocab_size=SPECIAL.vocab_size,
        n_layer=1,
        n_head=2,
        d_model=16,
        d_hidden=16,
        context=8,
        dropout=0.0,
    )
    return build(tiny("bert-base-uncased", **sizes), seed, dtype=dtype)


def texts(n=48, seed=0):
    """n texts of four words."""
    return Random(seed, "texts").integers(0, WORDS, (n, 4)).tolist()


def word_task(word, n=48, seed=0):
    """Is the first word above WORDS / 2 (task 0)? Is the second (task 1)? And so on: (text, label)."""
    return [(text, int(text[word] >= WORDS // 2)) for text in texts(n, seed)]
