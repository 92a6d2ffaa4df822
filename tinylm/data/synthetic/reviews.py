"""Synthetic reviews with known sentiment, for use without a labeled file.

A sentence has one to three remarks, joined by "and" or "but". Each is positive or negative, by a
word or by the negation of its opposite; the sentiment of the last remark is the label. So counting
words is not enough ("not", "but"), and some words are rare in small labeled sets. Easier than real
reviews.
"""

import numpy as np

_THINGS = """phone battery screen movie actor plot soup waiter table charger case camera story
music burger dessert price headset cable ending scene sauce service keyboard speaker""".split()
_GOOD = """good great excellent fine lovely wonderful superb pleasant solid charming perfect
brilliant delightful reliable tasty impressive smooth clever fresh enjoyable splendid handy
gripping generous flawless""".split()
_BAD = """bad poor awful terrible boring broken dreadful weak useless bland dull horrible clumsy
noisy cold disappointing flimsy tedious stale rude annoying sloppy lifeless greasy faulty""".split()
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
    same, opposite = (_GOOD, _BAD) if good else (_BAD, _GOOD)
    opinion = rng.choice(same)
    if rng.random() < 0.3:  # three in ten opinions mislead a count of words
        opinion = f"not {rng.choice(opposite)}"
    elif rng.random() < 0.3:
        opinion = f"{rng.choice(['really', 'very', 'quite', 'so'])} {opinion}"
    return str(rng.choice(_FRAMES)).format(rng.choice(_THINGS), rng.choice(_VERBS), opinion)


def made_up_reviews(n: int, seed: int = 0) -> list[tuple[str, int]]:
    """n sentences, half of them positive, a function of the seed.

    returns  list of (str, label), label 1 for positive
    """
    rng, examples = np.random.default_rng(seed), []
    for i in range(n):
        # Labels alternate, so exactly half are positive; the order is shuffled at the end.
        label, parts = i % 2, int(rng.integers(1, 4))
        opinions = [*(rng.random(parts - 1) < 0.5), label]  # the last one is the label
        remarks = [_remark(rng, opinion) for opinion in opinions]
        text = remarks[0]
        for remark in remarks[1:]:
            joint = "but" if rng.random() < 0.6 else "and"
            text += f" {joint} {remark}"
        examples.append((text[0].upper() + text[1:] + ".", label))
    return [examples[i] for i in rng.permutation(n)]
