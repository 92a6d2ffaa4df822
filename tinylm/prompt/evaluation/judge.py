"""Is an answer right? One rule for all methods, so that none is favored by how it is read.

An option must be the gold option. A number must have the same value, in any notation: 0.375, 3/8
and 37.5 % are one answer. Other texts must have the same words (Rajpurkar et al. 2016: case,
punctuation and articles do not count). Read next: methods.py.
"""

from tinylm.data.measure.answers import answer_words
from tinylm.data.measure.numbers import canonical_number


def answer_key(value):
    """What two equal answers have in common: a Fraction for a number, a tuple of words for a text.

    value    str, or None
    returns  hashable; None for None
    """
    if value is None:
        return None
    number = canonical_number(value)
    if number is not None:
        return number
    # An answer of brackets alone has no words; it is compared as it stands.
    return tuple(answer_words(value)) or tuple(value.split())


def is_right(value, item):
    """True if an answer is the gold answer of an item.

    value    str, or None: not right
    item     Item
    returns  bool; None for an item without a gold answer
    """
    if item.answer is None:
        return None
    if value is None:
        return False
    if item.options:
        return value == item.answer
    return answer_key(value) == answer_key(item.answer)
