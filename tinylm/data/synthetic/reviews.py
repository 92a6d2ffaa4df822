"""Made-up reviews whose opinion is known, for where no labeled file is at hand.

A sentence says one to three things about a thing, joined by "and" or "but"; each is good or bad,
said by a word or by the negation of its opposite, and the last one is what the writer thinks in the
end: its opinion is the label. So counting words is not enough ("not", "but"), and rare words are
met that few labeled sentences show. Easier than real reviews.
"""

import numpy as np

_THINGS = """phone battery screen movie actor plot soup waiter table charger case camera story music burger dessert price
headset cable ending scene sauce service keyboard speaker""".split()
_GOOD = """good great excellent fine lovely wonderful superb pleasant solid charming perfect brilliant delightful reliable
tasty impressive smooth clever fresh enjoyable splendid handy gripping generous flawless""".split()
_BAD = """bad poor awful terrible boring broken dreadful weak useless bland dull horrible clumsy noisy cold disappointing
flimsy tedious stale rude annoying sloppy lifeless greasy faulty""".split()
_VERBS = "is", "was", "seemed", "looked", "felt"
_FRAMES = (
    "the {0} {1} {2}",
    "i found that the {0} {1} {2}",
    "my {0} {1} {2}",
    "we thought the {0} {1} {2}",
    "for this price the {0} {1} {2}",
    "this {0} {1} {2}",
)


def _remark(rng, good):
    said = rng.choice(_GOOD if good else _BAD)
    if rng.random() < 0.3:  # the negation of the opposite
        said = f"not {rng.choice(_BAD if good else _GOOD)}"
    elif rng.random() < 0.3:
        said = f"{rng.choice(['really', 'very', 'quite', 'so'])} {said}"
    return str(rng.choice(_FRAMES)).format(rng.choice(_THINGS), rng.choice(_VERBS), said)


def made_up_reviews(n, seed=0):
    """n sentences, half of them good: list of (str, label), label 1 for good; the same for a seed."""
    rng, examples = np.random.default_rng(seed), []
    for i in range(n):
        label, parts = i % 2, int(rng.integers(1, 4))
        opinions = [*(rng.random(parts - 1) < 0.5), label]  # the last one is what counts
        remarks = [_remark(rng, opinion) for opinion in opinions]
        text = remarks[0] + "".join(
            f" {'but' if rng.random() < 0.6 else 'and'} {remark}" for remark in remarks[1:]
        )
        examples.append((text[0].upper() + text[1:] + ".", label))
    return [examples[i] for i in rng.permutation(n)]
