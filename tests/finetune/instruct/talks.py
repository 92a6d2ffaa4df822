"""A tiny model and conversations to tune it on."""

import numpy as np

from tinylm.finetune.instruct.conversations import MARKS, ROLES, encode_samples
from tinylm.finetune.instruct.vocabulary import add_special
from tinylm.models import GPT, GPTConfig
from tinylm.tokenizers import ByteTokenizer

TOKENIZER = add_special(ByteTokenizer(), MARKS)  # 256 bytes, and 256 .. 259 the marks
END = TOKENIZER.special["<|end|>"]


def said(*turns):
    return [{"role": role, "content": content} for role, content in turns]


TALK = said(
    ("system", "Be brief."),
    ("user", "hi"),
    ("assistant", "yo"),
    ("user", "2+2?"),
    ("assistant", "4."),
)
TALKS = [
    TALK,
    said(("user", "a"), ("assistant", "bcd")),
    said(("user", "what?"), ("assistant", "no"), ("user", ".")),
]


def examples(samples=TALKS):
    return encode_samples(TOKENIZER, ROLES, samples)[0]


def model(dtype=np.float64, positions="rope", context=64, seed=0):
    """Two layers of width 16, its parameters spread so that no distribution is flat."""
    config = GPTConfig(TOKENIZER.vocab_size, context, 2, 2, 16, positions=positions)
    made = GPT(config, seed, dtype)
    rng = np.random.default_rng(seed)
    for p in made.parameters():
        p.data[...] += 0.3 * rng.normal(size=p.shape)
    return made.eval()
