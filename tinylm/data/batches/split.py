"""Split of a corpus into training and validation text without overlap.

Validation estimates the loss on unseen text; the estimate is wrong as soon as the same words are on
both sides. One text is cut once, so no window crosses the cut. Of many documents each goes whole to
one side, and documents with the same text always to the same side. Book section 2.2.1. Read next:
`prepare.py`, which applies this to a stream.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError, DataError


def cut_point(length: int, val_fraction: float) -> int:
    """Where one text is cut: characters [0, cut) for training, [cut, length) for validation.

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


def split_text(text: np.ndarray | str, val_fraction: float = 0.1) -> tuple[Any, Any]:
    """One text (or token array) in two parts: (train, val), the last part for validation."""
    cut = cut_point(len(text), val_fraction)
    return text[:cut], text[cut:]


def text_hash(seed: int = 0) -> Any:
    """A new hash object for the UTF-8 bytes of a document; its digest depends on `seed`."""
    # The seed is the key: sorted by digest, documents are in an order that is random in the seed
    # and the same for the same text.
    return hashlib.blake2b(digest_size=16, key=int(seed).to_bytes(16, "little", signed=True))


def validation_documents(
    digests: Sequence[bytes], sizes: Sequence, val_fraction: float
) -> np.ndarray:
    """Which documents are for validation.

    Groups of equal text are visited in the order of their digests, which is random in the seed; a
    group is taken whenever that brings the size of the validation text closer to its goal.

    digests  N byte strings, from `text_hash`
    sizes    (N,) the documents' lengths in characters
    returns  (N,) bool: True for validation. With val_fraction > 0 both sides have at least one
             document, and no further group would bring validation closer to val_fraction of the
             total.
    raises   ConfigError; DataError if all documents have the same text
    """
    check_fraction(val_fraction)
    groups: dict[bytes, list[int]] = {}  # digest -> documents with this text
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
    left, taken = val_fraction * sum(size.values()), []  # characters still missing
    for key in sorted(groups):
        # Taking it must bring the size closer to the goal, |left - size| < |left|, and leave a
        # group for training.
        if size[key] < 2 * left and len(taken) < len(groups) - 1:
            taken.append(key)
            left -= size[key]
    if not taken:  # every group is too large: the smallest one
        taken = [min(sorted(groups), key=size.get)]
    for key in taken:
        chosen[groups[key]] = True
    return chosen


def split_documents(
    documents: Sequence[str], val_fraction: float = 0.1, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Many documents as (train, val), lists of str in the given order; see validation_documents."""
    documents, digests = list(documents), []
    for text in documents:
        hashed = text_hash(seed)
        hashed.update(text.encode())
        digests.append(hashed.digest())
    sizes = [len(text) for text in documents]
    chosen = validation_documents(digests, sizes, val_fraction)
    train = [text for text, val in zip(documents, chosen) if not val]
    val = [text for text, val in zip(documents, chosen) if val]
    return train, val


def check_fraction(val_fraction: float) -> None:
    """Raise ConfigError unless 0 <= val_fraction < 1."""
    if not 0 <= val_fraction < 1:
        raise ConfigError(
            f"split: val_fraction is {val_fraction}, which is not in [0, 1): "
            "0.1 validates on a tenth"
        )
