"""Training and validation text that do not leak into each other.

Validation estimates the loss on text the model has not seen; it lies as soon as the same words
stand on both sides. One text is cut once, so no window lies across; many documents are dealt out
whole, and documents with the same text always go together. Book section 2.2.1. Read next:
`prepare.py`, which applies this to a stream.
"""

import hashlib

import numpy as np

from tinylm.errors import ConfigError, DataError


def cut_point(length, val_fraction):
    """Where one text is cut: characters [0, cut) train, [cut, length) validate.

    val_fraction  in [0, 1); 0 keeps everything for training, otherwise both sides get at least one
                  character
    returns       int(length * (1 - val_fraction)) within those bounds
    raises        ConfigError for a fraction out of range, DataError if the text is too short to cut
    """
    check_fraction(val_fraction)
    if val_fraction == 0:
        return length
    if length < 2:
        raise DataError(
            f"split: a text of {length} characters cannot be cut in two: "
            "give a longer text or val_fraction 0"
        )
    return min(max(int(length * (1 - val_fraction)), 1), length - 1)


def split_text(text, val_fraction=0.1):
    """One text (or token array), its last part for validation. Returns (train, val), together the
    whole.
    """
    cut = cut_point(len(text), val_fraction)
    return text[:cut], text[cut:]


def text_hash(seed=0):
    """A fresh hash: fed a document's UTF-8 bytes, its 16-byte digest stands for that text under
    `seed`.
    """
    return hashlib.blake2b(digest_size=16, key=int(seed).to_bytes(16, "little", signed=True))


def validation_documents(digests, sizes, val_fraction):
    """Which documents validate. Groups of equal text are visited in the order of their digests,
    which the seed has made random; a group is taken whenever that brings the validation size nearer
    to its goal.

    digests  N byte strings, from `text_hash`
    sizes    (N,) the documents' lengths in characters
    returns  (N,) bool: True for validation. With val_fraction > 0 both sides hold at least one
             document, and no further group would bring validation nearer to val_fraction of the
             total.
    raises   ConfigError; DataError if all documents have the same text
    """
    check_fraction(val_fraction)
    groups: dict[bytes, list[int]] = {}
    for i, key in enumerate(digests):
        groups.setdefault(key, []).append(i)
    chosen = np.zeros(len(digests), bool)
    if val_fraction == 0:
        return chosen
    if len(groups) < 2:
        raise DataError(
            f"split: {len(digests)} documents hold no two different texts, so validation would be "
            "the training text: give other documents, one joined text, or val_fraction 0"
        )
    size = {key: int(sum(sizes[i] for i in members)) for key, members in groups.items()}
    goal, taken = val_fraction * sum(size.values()), []
    left = goal
    for key in sorted(groups):
        if size[key] < 2 * left and len(taken) < len(groups) - 1:  # |left - size| < |left|
            taken.append(key)
            left -= size[key]
    for key in taken or [
        min(sorted(groups), key=size.get)
    ]:  # every document is too long: the shortest one
        chosen[groups[key]] = True
    return chosen


def split_documents(documents, val_fraction=0.1, seed=0):
    """Many documents, dealt out whole. Returns (train, val): lists of str in their given order (see
    above).
    """
    documents = list(documents)
    hashes = [text_hash(seed) for _ in documents]
    for hashed, text in zip(hashes, documents):
        hashed.update(text.encode())
    digests, sizes = [hashed.digest() for hashed in hashes], [len(text) for text in documents]
    chosen = validation_documents(digests, sizes, val_fraction)
    return (
        [text for text, val in zip(documents, chosen) if not val],
        [text for text, val in zip(documents, chosen) if val],
    )


def check_fraction(val_fraction):
    """Raise ConfigError unless 0 <= val_fraction < 1."""
    if not 0 <= val_fraction < 1:
        raise ConfigError(
            f"split: val_fraction is {val_fraction}, which is not in [0, 1): 0.1 validates on a tenth"
        )
