"""New special tokens for a model that is already trained: turn marks for a conversation, a [CLS], a
sentinel.

A new token needs a row in the embedding table, and a column of the output layer where that is not
the same table. Rows begin near the mean of those that are there: then no new token is at first
likelier than an average one, which random rows do not promise (Hewitt 2021, Initializing New Word
Embeddings). Read next: saved.py.
"""

import dataclasses

import numpy as np

from tinylm import tokenizers
from tinylm.backend import Random, to_cpu, to_device
from tinylm.errors import ConfigError

# of the new rows around the mean, in standard deviations of the old: only to tell them apart
_SPREAD = 0.1


def add_special(tokenizer, names):
    """The tokenizer with special tokens added after its last id; those it has already stay.

    names    iterable of str
    returns  a new Tokenizer; what ordinary text becomes is the same
    raises   ConfigError for a kind whose special tokens are fixed (WordPiece)
    """
    new = [name for name in names if name not in tokenizer.special]
    if not new:
        return tokenizer
    if hasattr(tokenizer, "with_special"):  # as published
        return tokenizer.with_special(new)
    described = tokenizer.to_dict()
    if described["kind"] == "wordpiece":
        raise ConfigError(
            f"add_special: a WordPiece vocabulary has its special tokens fixed; {', '.join(new)} cannot be added"
        )
    if isinstance(described["special"], dict):
        described["special"] = described["special"] | {
            name: tokenizer.vocab_size + i for i, name in enumerate(new)
        }
        table = "tokens" if "tokens" in described else "pieces"
        described[table] = [*described[table], *[None] * len(new)]
        if "scores" in described:
            described["scores"] = [*described["scores"], *[0.0] * len(new)]
    else:
        described["special"] = [*described["special"], *new]
    return tokenizers.from_dict(described)


def grow_vocabulary(model, vocab_size, seed=0):
    """Give a GPT rows for new token ids, in place; nothing it says of the old ones changes but the
    normalization.

    Gradients of the tables are dropped, and optimizers that hold them are to be made anew.

    vocab_size  of the model afterwards, at least what it is
    returns     the model
    raises      ConfigError if the vocabulary would shrink
    """
    old = model.config.vocab_size
    if vocab_size < old:
        raise ConfigError(
            f"grow_vocabulary: the model has {old} tokens and would have {vocab_size}: it cannot shrink"
        )
    if vocab_size == old:
        return model
    rng = Random(seed, "vocabulary")
    model.tokens.weight.data = _with_rows(
        model.tokens.weight, vocab_size - old, rng
    )  # (V, D) -> (V', D)
    model.tokens.weight.grad = model.tokens.weight.slot = None
    if model.head is not None:
        model.head.data = _with_rows(model.head.T, vocab_size - old, rng).T  # (D, V) -> (D, V')
        model.head.grad = model.head.slot = None
    model.config = dataclasses.replace(model.config, vocab_size=vocab_size)
    return model


def _with_rows(table, count, rng):
    """A table (V, D) with `count` rows more, as an array."""
    rows = to_cpu(table.data)
    new = rows.mean(axis=0) + _SPREAD * rows.std(axis=0) * rng.normal(
        (count, rows.shape[1]), np.dtype(np.float64)
    )
    return to_device(
        np.ascontiguousarray(np.concatenate([rows, new.astype(rows.dtype)])), table.device
    )
