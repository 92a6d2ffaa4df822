"""Texts that ask for something said long ago: pass-key, needle, copy memory, repeated passages
(book section 2.3.6).

Perplexity hardly tells whether a model uses a long context, since the next token mostly follows
from the last few (section 2.3.6). These tasks do: their answer stands at a known place and nowhere
else. All are pure functions of their arguments and a seed, over token ids; the templates of the
literature are there as text. What they measure is one aspect each: picking out a span is not
understanding a document. Read next: generate/measure/long_context.py, which scores them.
"""

import math

import numpy as np

from tinylm.backend import Random
from tinylm.errors import DataError

DIGITS = 10  # ids 0 .. 9 of the pass-key tasks are digits
MARK = 10  # "the pass key is", in the text and as the question at the end
WORDS = 11  # the words of the hay have the ids from here on

HAY = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."


def random_hay(rows, length, words=8, seed=0):
    """Words drawn one by one, so that nothing in the hay repeats. Returns (rows, length) ids from
    WORDS on.
    """
    return WORDS + Random(seed, "hay").integers(0, words, (rows, length))


def sentence_hay(rows, length, words=8, seed=0):
    """One sentence of all words over and over, each row from a random word of it: the hay of the
    published task.
    """
    start = Random(seed, "sentence").integers(0, words, (rows, 1))
    return WORDS + (start + np.arange(length)) % words


def plant(hay, needle, place):
    """Put a needle into the hay, so that its first token has index `place`.

    hay      (rows, n) ids;  needle (rows, m);  place 0 .. n, or (rows,) of them
    returns  (rows, n + m)
    raises   DataError for a place outside the hay
    """
    rows, n = hay.shape
    place = np.broadcast_to(place, (rows,))
    if rows and not (0 <= place.min() and place.max() <= n):
        raise DataError(
            f"plant: places {place.min()} .. {place.max()} are not inside a hay of {n} tokens: 0 .. {n}"
        )
    m = needle.shape[1]
    column = np.arange(n + m)[None, :] - place[:, None]  # counted from the needle
    from_hay = np.take_along_axis(
        np.concatenate([hay, hay[:, :1].repeat(m, 1)], axis=1),
        np.arange(n + m)[None, :] - np.clip(column, 0, m),
        axis=1,
    )
    inside = (0 <= column) & (column < m)
    return np.where(inside, np.take_along_axis(needle, np.clip(column, 0, m - 1), axis=1), from_hay)


def pass_key(hay, place, digits=3, seed=0):
    """A number hidden in the hay, asked for at the end: [hay, MARK, key, hay, MARK, key]
    (Mohtashami & Jaggi 2023)

    hay      (rows, n) ids without digits;  place  index of the first MARK, 0 .. n, or (rows,) of them
    returns  (rows, n + 2 digits + 2) ids; the last `digits` are the answer, which a guess hits once
             in 10^digits
    """
    key = Random(seed, "key").integers(0, DIGITS, (len(hay), digits))
    marked = np.concatenate([np.full((len(hay), 1), MARK), key], axis=1)  # (rows, 1 + digits)
    return np.concatenate([plant(hay, marked, place), marked], axis=1)


def without_needle(ids, digits):
    """The control: the same text and question with a word of the hay in place of every token of the
    needle.

    Whoever still answers knows the answer from elsewhere. ids as pass_key() made them; needs some
    hay in each row.
    """
    text, question = ids[:, : -digits - 1], ids[:, -digits - 1 :]
    word = np.take_along_axis(
        text, (text >= WORDS).argmax(1)[:, None], axis=1
    )  # the first of each row
    return np.concatenate([np.where(text < WORDS, word, text), question], axis=1)


def pass_key_text(key, before, after):
    """The published prompt, which ends where the answer begins   (Mohtashami & Jaggi 2023; Chen et
    al. 2023)

    key  string;  before, after  how often the five sentences of hay stand before and after it
    """
    parts = [
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. "
        "I will quiz you about the important information there.",
        *[HAY] * before,
        f"The pass key is {key}. Remember it. {key} is the pass key.",
        *[HAY] * after,
        "What is the pass key? The pass key is",
    ]
    return " ".join(parts)


def needle_in_text(text, needle, depth):
    """`needle` as a sentence of its own, behind the first sentence that ends at or after depth *
    len(text)   (Kamradt 2023)

    text     sentences that end with ". " or the text;  depth 0 .. 1
    returns  (the new text, index of the needle in it); depth 0 puts it in front of everything
    """
    if not 0 <= depth <= 1:
        raise DataError(
            f"needle_in_text: depth {depth} is not between 0, the beginning, and 1, the end"
        )
    at = 0
    if depth > 0:
        end = text.find(". ", max(0, math.ceil(depth * len(text)) - 2))
        at = len(text) if end < 0 else end + 2
    gap = " " if at == len(text) and text and not text.endswith(" ") else ""
    return text[:at] + gap + needle + (" " if at < len(text) else "") + text[at:], at + len(gap)


def copy_memory(rows, blanks, symbols=8, length=10, seed=0):
    """Remember a string over a silence: [x, blank ..., go, blank ...] -> [blank ..., x]
    (Hochreiter & Schmidhuber 1997)

    blanks   T: steps between the end of x and the first answer. Ids: 0 .. symbols - 1, blank =
             symbols, go = symbols + 1
    returns  (inputs, targets), each (rows, blanks + 2 length); the last `length` targets are x, the
             others blank
    """
    x = Random(seed, "copy memory").integers(0, symbols, (rows, length))
    inputs = np.full((rows, blanks + 2 * length), symbols)
    targets = inputs.copy()
    inputs[:, :length], targets[:, -length:] = x, x
    inputs[:, blanks + length - 1 if blanks else length] = symbols + 1
    return inputs, targets


def copy_memory_baseline(blanks, symbols=8, length=10):
    """Mean loss of the best predictor without memory, in nats: L log(symbols) / (T + 2 L)
    (Arjovsky et al. 2016).

    It knows when to answer and not what: blank with certainty, then any symbol alike. ``10 ln 8 /
    (T + 20)``.
    """
    return length * math.log(symbols) / (blanks + 2 * length)


def selective_copy(rows, blanks, symbols=8, length=10, seed=0):
    """copy_memory() with the symbols scattered among the blanks, in order   (Gu & Dao 2023).

    A fixed distance no longer finds them. Inputs and targets as there.
    """
    inputs, targets = copy_memory(rows, blanks, symbols, length, seed)
    span, rng = blanks + length - 1, Random(seed, "places")  # everything before `go`
    if blanks < 1:
        return inputs, targets
    places = np.sort(np.argsort(rng.uniform((rows, span), np.float64), axis=1)[:, :length], axis=1)
    x = inputs[:, :length].copy()
    inputs[:, :span] = symbols
    np.put_along_axis(inputs, places, x, axis=1)
    return inputs, targets


def repeated_passages(text, rows, length, seed=0):
    """Passages said twice, and the same passages after others: the pair of a forgetting curve (Liu
    et al. 2024)

    text     (n,) ids, n >= 3 length
    returns  (copies, controls), each (rows, 2 length): [passage, passage] and [another, passage].
             What a model predicts better in the second half of a copy it remembers; what it
             predicts in that of a control it knows anyway
    raises   DataError for a text too short to hold two passages apart from each other
    """
    if len(text) < 3 * length:
        raise DataError(
            f"repeated_passages: a text of {len(text)} tokens is too short for passages of {length}: 3 of them"
        )
    rng = Random(seed, "passages")
    start = rng.integers(0, len(text) - length + 1, (rows,))
    # The other passage begins anywhere but where it would overlap, on the text bent to a ring.
    other = (start + rng.integers(length, len(text) - length + 1, (rows,))) % len(text)
    passage = text[start[:, None] + np.arange(length)]
    another = text[(other[:, None] + np.arange(length)) % len(text)]
    return np.concatenate([passage, passage], axis=1), np.concatenate([another, passage], axis=1)


def gist(rows, length, symbols=4, favor=0.5, seed=0):
    """A text that leans towards one symbol, and which: a question that a few counts answer   (book
    section 2.3.6)

    favor    probability with which a token is the row's favorite, over its share of the rest
    returns  (texts (rows, length), answers (rows,))
    """
    rng = Random(seed, "gist")
    favorite = rng.integers(0, symbols, (rows, 1))
    plain = rng.integers(0, symbols, (rows, length))
    leaning = rng.uniform((rows, length), np.float64) < favor
    return np.where(leaning, favorite, plain), favorite[:, 0]


def recall_bound(bits, length, symbols):
    """The largest share of random strings that anything with `bits` of memory can repeat: min(1,
    2^bits / symbols^length).

    After reading, one of 2^bits states is left, each followed by one answer: so at most 2^bits
    strings come back right.
    """
    return 2.0 ** min(0.0, bits - length * math.log2(symbols))
