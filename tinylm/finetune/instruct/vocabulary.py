"""New special tokens for a trained model: turn marks of a conversation, a [CLS], a sentinel.

    E' = [E ; mean(E) + 0.1 std(E) * noise]        (V, D) -> (V', D)

A new token needs a row in the embedding table, and a column of the output layer if that is not the
same table. New rows begin near the mean of the old ones: then no new token is at first more
probable than an average one, which random rows do not guarantee (Hewitt 2021, Initializing New Word
Embeddings). Read next: saved.py.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tinylm import tokenizers
from tinylm.backend import Random, to_cpu, to_device
from tinylm.errors import ConfigError
from tinylm.nn.module import Module
from tinylm.tokenizers.base import Tokenizer

# Noise of the new rows, in standard deviations of the old ones: only so that they differ.
_SPREAD = 0.1


def add_special(tokenizer: Tokenizer, names: Sequence[str] | dict[str, None]) -> Tokenizer:
    """The tokenizer with special tokens added after its last id; existing ones keep their ids.

    names    iterable of str
    returns  a new Tokenizer, which encodes ordinary text as before
    raises   ConfigError for a kind whose special tokens are fixed (WordPiece)
    """
    new = [name for name in names if name not in tokenizer.special]
    if not new:
        return tokenizer
    if hasattr(tokenizer, "with_special"):  # a published tokenizer
        return tokenizer.with_special(new)
    described = tokenizer.to_dict()
    if described["kind"] == "wordpiece":
        raise ConfigError(
            "add_special: a WordPiece vocabulary has its special tokens fixed; "
            f"{', '.join(new)} cannot be added"
        )
    if isinstance(described["special"], dict):  # {name: id}, with a table of all tokens beside it
        ids = {name: tokenizer.vocab_size + i for i, name in enumerate(new)}
        described["special"] = described["special"] | ids
        table = "pieces"
        if "tokens" in described:
            table = "tokens"
        described[table] = [*described[table], *[None] * len(new)]
        if "scores" in described:
            described["scores"] = [*described["scores"], *[0.0] * len(new)]
    else:
        described["special"] = [*described["special"], *new]
    return tokenizers.from_dict(described)


def grow_vocabulary(model: Module, vocab_size: int, seed: int = 0) -> Module:
    """Give a GPT rows for new token ids, in place. Logits of the old ids do not change.

    Gradients of the tables are dropped, and optimizers that hold them must be made anew.

    vocab_size  of the model afterwards, at least the present one
    returns     the model
    raises      ConfigError if the vocabulary would shrink
    """
    old = model.config.vocab_size
    if vocab_size < old:
        raise ConfigError(
            f"grow_vocabulary: the model has {old} tokens and would have {vocab_size}: "
            "it cannot shrink"
        )
    if vocab_size == old:
        return model
    rng = Random(seed, "vocabulary")
    table = model.tokens.weight
    table.data = _with_rows(table, vocab_size - old, rng)  # (V, D) -> (V', D)
    table.grad = table.slot = None
    if model.head is not None:
        model.head.data = _with_rows(model.head.T, vocab_size - old, rng).T  # (D, V) -> (D, V')
        model.head.grad = model.head.slot = None
    model.config = dataclasses.replace(model.config, vocab_size=vocab_size)
    return model


def _with_rows(table, count, rng):
    """A table (V, D) with `count` rows more, as an array."""
    rows = to_cpu(table.data)
    noise = rng.normal((count, rows.shape[1]), np.dtype(np.float64))
    new = rows.mean(axis=0) + _SPREAD * rows.std(axis=0) * noise
    grown = np.concatenate([rows, new.astype(rows.dtype)])
    return to_device(np.ascontiguousarray(grown), table.device)
