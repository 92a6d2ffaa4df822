"""Tiny models over bytes in float64 behind the text protocol, so that one way to read a text can be
compared with another.
"""

from tests.generate.small import make_gpt
from tinylm.prompt import ScriptedLM, TextModel
from tinylm.tokenizers import ByteTokenizer

END = 256  # begins and ends a text
KINDS = [
    {},
    {"positions": "rope", "n_kv_head": 1, "norm": "rms", "activation": "swiglu", "bias": False},
    {"positions": "alibi"},
]


def text_model(context=96, seed=0, batch_size=16, spread=0.5, **changes):
    """A TextModel of a random GPT."""
    gpt = make_gpt(257, context, seed=seed, spread=spread, **changes)
    tokenizer = ByteTokenizer(["<|endoftext|>"])
    return TextModel.of(gpt, tokenizer, begin=(END,), ends=(END,), start=END, batch_size=batch_size)


class Chat(ScriptedLM):
    """Replies written by hand that are turns of a chat."""

    chat = True
