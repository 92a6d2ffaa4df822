"""Tasks that need one item from far back in the text: pass-key, needle, copy memory, repeated
passages   (book section 2.3.6).

Perplexity hardly shows whether a model uses a long context, since the next token mostly follows
from the last few (section 2.3.6). These tasks do: their answer is at a known place and nowhere
else. All are pure functions of their arguments and a seed, over token ids; the prompts of the
literature are there as text. Each measures one aspect only: retrieving a span is not understanding
a document. Read next: generate/measure/long_context.py, which scores them.
"""

import math

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.errors import DataError

DIGITS = 10  # ids 0 .. 9 of the pass-key tasks are digits
MARK = 10  # "the pass key is", in the text and as the question at the end
WORDS = 11  # the words of the hay (the distracting text) have the ids from here on

HAY = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."


def random_hay(rows: int, length: int, words: int = 8, seed: int = 0) -> np.ndarray:
    """Hay of independent random words: (rows, length) ids from WORDS on."""
    return WORDS + Random(seed, "hay").integers(0, words, (rows, length))


def sentence_hay(rows: int, length: int, words: int = 8, seed: int = 0) -> np.ndarray:
    """Hay of one repeated sentence, as in the published task; each row starts at a random word."""
    start = Random(seed, "sentence").integers(0, words, (rows, 1))
    return WORDS + (start + np.arange(length)) % words


def plant(hay: np.ndarray, needle: np.ndarray, place: ArrayLike) -> np.ndarray:
    """Put a needle into the hay, so that its first token has index `place`.

    hay      (rows, n) ids;  needle (rows, m);  place 0 .. n, or (rows,) of them
    returns  (rows, n + m)
    raises   DataError for a place outside the hay
    """
    rows, n = hay.shape
    place = np.broadcast_to(place, (rows,))
    if rows and not (0 <= place.min() and place.max() <= n):
        raise DataError(
            f"plant: places {place.min()} .. {place.max()} are not inside a hay of {n} tokens: "
            f"0 .. {n}"
        )
    m = needle.shape[1]
    columns = np.arange(n + m)[None, :]
    in_needle = columns - place[:, None]  # (rows, n + m), 0 .. m - 1 inside the needle
    # Behind the needle the hay continues m columns to the right. Padded, so that columns inside the
    # needle, whose value is not used, have a valid index too.
    padded = np.concatenate([hay, hay[:, :1].repeat(m, 1)], axis=1)  # (rows, n + m)
    from_hay = np.take_along_axis(padded, columns - np.clip(in_needle, 0, m), axis=1)
    from_needle = np.take_along_axis(needle, np.clip(in_needle, 0, m - 1), axis=1)
    return np.where((0 <= in_needle) & (in_needle < m), from_needle, from_hay)


def pass_key(hay: np.ndarray, place: int, digits: int = 3, seed: int = 0) -> np.ndarray:
    """A number hidden in the hay is the answer at the end: [hay, MARK, key, hay, MARK, key]
    (Mohtashami & Jaggi 2023)

    hay      (rows, n) ids without digits
    place    index of the first MARK, 0 .. n, or (rows,) of them
    returns  (rows, n + 2 digits + 2) ids; the last `digits` are the answer, which a guess hits once
             in 10^digits
    """
    key = Random(seed, "key").integers(0, DIGITS, (len(hay), digits))
    marked = np.concatenate([np.full((len(hay), 1), MARK), key], axis=1)  # (rows, 1 + digits)
    return np.concatenate([plant(hay, marked, place), marked], axis=1)


def without_needle(ids: np.ndarray, digits: int) -> np.ndarray:
    """The control: the same text and question with hay in place of the needle.

    A model that still answers does not take the answer from the text.

    ids  from pass_key(), with some hay in each row
    """
    text, question = ids[:, : -digits - 1], ids[:, -digits - 1 :]
    # The first word of hay of each row (rows, 1) replaces MARK and digits.
    word = np.take_along_axis(text, (text >= WORDS).argmax(1)[:, None], axis=1)
    return np.concatenate([np.where(text < WORDS, word, text), question], axis=1)


def pass_key_text(key: str, before: int, after: int) -> str:
    """The published prompt, which ends where the answer begins   (Mohtashami & Jaggi 2023; Chen et
    al. 2023)

    key            string
    before, after  repetitions of the five sentences of hay before and after it
    """
    parts = [
        "There is an important info hidden inside a lot of irrelevant text. "
        "Find it and memorize them. I will quiz you about the important information there.",
        *[HAY] * before,
        f"The pass key is {key}. Remember it. {key} is the pass key.",
        *[HAY] * after,
        "What is the pass key? The pass key is",
    ]
    return " ".join(parts)


def needle_in_text(text: str, needle: str, depth: float) -> tuple[str, int]:
    """`needle` inserted as a sentence at a relative depth of a text   (Kamradt 2023)

    It comes after the first sentence that ends at or after depth * len(text).

    text     sentences that end with ". " or the text
    depth    0 .. 1; 0 is before the first sentence
    returns  (the new text, index of the needle in it)
    """
    if not 0 <= depth <= 1:
        raise DataError(
            f"needle_in_text: depth {depth} is not between 0, the beginning, and 1, the end"
        )
    at = 0
    if depth > 0:
        # - 2: a ". " may begin two characters before the depth and end at it.
        end = text.find(". ", max(0, math.ceil(depth * len(text)) - 2))
        at = len(text) if end < 0 else end + 2
    before, after = text[:at], text[at:]
    if after:
        needle += " "
    elif before and not before.endswith(" "):
        before += " "
    return before + needle + after, len(before)


def copy_memory(
    rows: int, blanks: int, symbols: int = 8, length: int = 10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Repeat a string after a delay: [x, blank ..., go, blank ...] -> [blank ..., x]

    Source: Hochreiter & Schmidhuber 1997.

    blanks   T: steps between the end of x and the first answer. Ids: 0 .. symbols - 1, blank =
             symbols, go = symbols + 1
    returns  (inputs, targets), each (rows, blanks + 2 length); the last `length` targets are x, the
             others blank
    """
    x = Random(seed, "copy memory").integers(0, symbols, (rows, length))
    inputs = np.full((rows, blanks + 2 * length), symbols)
    targets = inputs.copy()
    inputs[:, :length], targets[:, -length:] = x, x
    # `go` is the input of the step before the first answer; without a delay, that of the first.
    go = blanks + length - 1 if blanks else length
    inputs[:, go] = symbols + 1
    return inputs, targets


def copy_memory_baseline(blanks: int, symbols: int = 8, length: int = 10) -> float:
    """Mean loss of the best predictor without memory, in nats: L log(symbols) / (T + 2 L)
    (Arjovsky et al. 2016)

    It predicts blanks with certainty, then L symbols uniformly: 10 ln 8 / (T + 20) by default.
    """
    return length * math.log(symbols) / (blanks + 2 * length)


def selective_copy(
    rows: int, blanks: int, symbols: int = 8, length: int = 10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """copy_memory() with the symbols scattered among the blanks, in order   (Gu & Dao 2023).

    The distance of a symbol from its answer is no longer fixed. Arguments and result as of
    copy_memory().
    """
    inputs, targets = copy_memory(rows, blanks, symbols, length, seed)
    if blanks < 1:
        return inputs, targets
    span = blanks + length - 1  # columns before `go`
    # `length` of them for each row: the first of a random permutation, in order.
    keys = Random(seed, "places").uniform((rows, span), np.float64)
    places = np.sort(np.argsort(keys, axis=1)[:, :length], axis=1)  # (rows, length)
    x = inputs[:, :length].copy()
    inputs[:, :span] = symbols
    np.put_along_axis(inputs, places, x, axis=1)
    return inputs, targets


def repeated_passages(
    text: np.ndarray, rows: int, length: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Repeated passages, and the same passages after others: the data of a forgetting curve   (Liu
    et al. 2024)

    text     (n,) ids, n >= 3 length
    returns  (copies, controls), each (rows, 2 length): [passage, passage] and [another, passage].
             A model's accuracy in the second half of a control needs no memory; what it has more in
             a copy is memory
    raises   DataError for a text too short for two passages that do not overlap
    """
    if len(text) < 3 * length:
        raise DataError(
            f"repeated_passages: a text of {len(text)} tokens is too short for passages "
            f"of {length}: 3 of them"
        )
    rng = Random(seed, "passages")
    start = rng.integers(0, len(text) - length + 1, (rows,))
    # The other passage starts at any distance from length to n - length on the text closed to a
    # ring: it overlaps the first on neither side.
    other = (start + rng.integers(length, len(text) - length + 1, (rows,))) % len(text)
    passage = text[start[:, None] + np.arange(length)]  # (rows, 1) + (length,) -> (rows, length)
    another = text[(other[:, None] + np.arange(length)) % len(text)]
    return np.concatenate([passage, passage], axis=1), np.concatenate([another, passage], axis=1)


def gist(
    rows: int, length: int, symbols: int = 4, favor: float = 0.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Texts with one favorite symbol, which a few counts are enough to find   (book section 2.3.6)

    favor    probability that a token is the row's favorite; otherwise it is any symbol
    returns  (texts (rows, length), answers (rows,))
    """
    rng = Random(seed, "gist")
    favorite = rng.integers(0, symbols, (rows, 1))
    plain = rng.integers(0, symbols, (rows, length))
    leaning = rng.uniform((rows, length), np.float64) < favor
    return np.where(leaning, favorite, plain), favorite[:, 0]


def recall_bound(bits: int, length: int, symbols: int) -> float:
    """The largest share of random strings that a memory of `bits` can repeat: min(1, 2^bits /
    symbols^length).

    After reading, the memory is in one of 2^bits states, and each leads to one answer: at most
    2^bits different strings are repeated correctly.
    """
    return 2.0 ** min(0.0, bits - length * math.log2(symbols))
