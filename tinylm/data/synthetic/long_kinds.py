"""The three kinds of long-sequence problems, as synthetic tasks with known answers   (book section
2.3).

Pr(y | x) is hard for a long context x, for a long answer y, or for both: a summary of a long text
(long x, short y), a story from a few keywords (short x, long y), the translation of a document
(both long). Each function here is a minimal task of one kind. A row is [x, ASK, y]. Read next:
long_tasks.py, where the answer is one item from far back in the text.
"""

import numpy as np

from tinylm.backend import Random
from tinylm.errors import DataError

MARK, ASK = 0, 1  # "the next token belongs to the answer", "the answer follows"
WORDS = 2  # ids of words begin here


def _words(rows, length, words, seed, name):
    return WORDS + Random(seed, name).integers(0, words, (rows, length))


def _row(x, y):
    return np.concatenate([x, np.full((len(x), 1), ASK), y], axis=1), y.shape[1]


def summarize(
    rows: int, length: int, marked: int, words: int = 8, seed: int = 0
) -> tuple[np.ndarray, int]:
    """Long x, short y: some of `length` words have MARK before them; y is these words in order.

    marked   number of marked words, at most `length`
    returns  (ids (rows, length + 2 marked + 1), tokens of the answer: `marked`)
    """
    if not 1 <= marked <= length:
        raise DataError(
            f"summarize: {marked} marked words of {length}: "
            "needs 1 or more, and no more than there are"
        )
    text = _words(rows, length, words, seed, "stream")
    # Each row's marked words: the first of a random permutation, in the order of the text.
    keys = Random(seed, "marks").uniform((rows, length), np.float64)
    chosen = np.sort(np.argsort(keys, axis=1)[:, :marked], axis=1)  # (rows, marked)
    x = np.full((rows, length + marked), MARK)
    is_chosen = np.zeros((rows, length), bool)
    np.put_along_axis(is_chosen, chosen, True, axis=1)
    # A word moves right by the number of marks before it, its own included.
    np.put_along_axis(x, np.arange(length) + np.cumsum(is_chosen, axis=1), text, axis=1)
    return _row(x, np.take_along_axis(text, chosen, axis=1))


def expand(
    rows: int, length: int, times: int, words: int = 8, seed: int = 0
) -> tuple[np.ndarray, int]:
    """Short x, long y: y is the pattern x of `length` words, repeated `times` times.

    returns  (ids (rows, length (1 + times) + 1), tokens of the answer: length times)
    """
    x = _words(rows, length, words, seed, "pattern")
    return _row(x, np.tile(x, (1, times)))


def translate(rows: int, length: int, words: int = 8, seed: int = 0) -> tuple[np.ndarray, int]:
    """Long x, long y: y is x translated word by word, w -> dictionary(words)[w].

    returns  (ids (rows, 2 length + 1), tokens of the answer: length)
    """
    x = _words(rows, length, words, seed, "text")
    return _row(x, WORDS + dictionary(words)[x - WORDS])


def dictionary(words: int) -> np.ndarray:
    """The permutation (words,) of translate(): the same for every text and seed."""
    return Random(0, "dictionary").permutation(words)


KINDS = {"summarize": summarize, "expand": expand, "translate": translate}
