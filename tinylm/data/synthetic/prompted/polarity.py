"""Polarity in three classes: positive, negative, neutral   (book section 3.1.4.1).

A sentence has at most one opinion, a word that may be negated; sentences without one state a fact.
For two classes with mixed opinions see reviews.py. Read next: named_entities.py.
"""

import re

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator, pick
from tinylm.errors import ConfigError

LABELS = ("positive", "negative", "neutral")
POSITIVE = """good great excellent lovely wonderful superb delightful pleasant charming perfect
impressive enjoyable tasty reliable friendly""".split()
NEGATIVE = """bad poor awful terrible dreadful boring broken disappointing frustrating dull horrible
rude annoying noisy slower""".split()
NEGATIONS = ("not", "never")
_THINGS = (
    """service soup hotel film phone garden concert market train museum novel bakery""".split()
)
_OPINIONS = (
    "The {thing} was {opinion}.",
    "I found the {thing} {opinion}.",
    "Everyone said that the {thing} is {opinion}.",
    "The {thing}, which opened in {year}, was {opinion}.",
)
_FACTS = (
    "The {thing} opened in {year}.",
    "We saw the {thing} on a Monday.",
    "There was a {thing} next to the station.",
    "The {thing} is in the north of the town.",
)
_DEGREES = ("", "", "very ", "really ", "a bit ")
# Degrees between a negation and the opinion do not end its reach.
_BETWEEN = {"very", "really", "so", "quite", "a", "bit", "at", "all"}


def polarity(text: str) -> str:
    """The polarity of a text by its words: one of LABELS.

    Every opinion counts +1 or -1, a negated one the other way; the sign of the sum decides.
    """
    total, negated = 0, False
    for word in re.findall(r"[\w']+|[.,;!?]", text.lower()):
        value = (word in POSITIVE) - (word in NEGATIVE)
        if negated:
            value = -value
        total += value
        if word in NEGATIONS:
            negated = True
        elif word not in _BETWEEN:
            negated = False
    if total > 0:
        return "positive"
    if total < 0:
        return "negative"
    return "neutral"


def polarity_items(
    count: int, seed: int = 0, negated: float = 0.3, labels: tuple[str, ...] = LABELS
) -> list[Item]:
    """Sentences with a polarity; the three labels are the options: list of Item.

    negated  share of the opinions that are a negation of the opposite
    labels   that occur, drawn with equal chance
    """
    if not 0 <= negated <= 1 or not labels or not set(labels) <= set(LABELS):
        raise ConfigError(
            f"polarity_items: negated {negated}, labels {labels}: needs a share from 0 to 1, and "
            f"some of {LABELS}"
        )
    rng, items = generator(seed, "polarity"), []
    for _ in range(count):
        label, thing = pick(labels, rng), pick(_THINGS, rng)
        slots = {"thing": thing, "year": int(rng.integers(1950, 2020))}
        if label == "neutral":
            text, rationale = pick(_FACTS, rng).format(**slots), "There is no opinion in the text."
        else:
            opinion = _opinion(label, negated, rng)
            text = pick(_OPINIONS, rng).format(opinion=opinion, **slots)
            rationale = f'"{opinion}" is a {label} opinion.'
        items.append(Item(text, label, LABELS, rationale=rationale, task="polarity"))
    return items


def _opinion(label, negated, rng):
    same, opposite = POSITIVE, NEGATIVE
    if label == "negative":
        same, opposite = opposite, same
    if rng.random() < negated:
        return f"not {pick(opposite, rng)}"
    return pick(_DEGREES, rng) + pick(same, rng)


def solve_polarity(item: Item) -> str:
    """The answer, from the question alone."""
    return polarity(item.question)
