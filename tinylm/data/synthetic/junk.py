"""A corpus whose junk is known: made-up pages, good and bad, each with a label that says what is
wrong with it.

What a filter takes of real pages nobody can say without reading them; here recall (junk that went)
and precision (of what went, the junk) are counts. The good pages are sentences of a small grammar,
so easier than the web: a filter that fails here fails, one that passes is not proven. Book section
2.2.1. Read next: clean/pipeline.py.
"""

import numpy as np

from tinylm.data.clean.language_samples import SAMPLES

_NOUNS = """river teacher harbor winter letter garden machine market soldier village doctor window bridge engine captain
forest library painter history question summer kitchen picture valley merchant island student journey station story
orchard lantern council sailor mountain blanket carpenter festival newspaper shepherd""".split()
_VERBS = """crossed watched followed repaired described remembered carried painted visited noticed collected measured
answered opened studied protected finished discovered believed gathered welcomed borrowed admired explained""".split()
_ADJECTIVES = """old quiet narrow golden distant careful broken gentle northern simple heavy curious ancient modern bright
hidden patient wooden famous lonely bitter early sudden honest familiar""".split()
_OPENERS = (
    "In the morning",
    "After a while",
    "Many years later",
    "On the other side of the town",
    "To be certain of it",
    "With a smile",
    "According to the letter",
    "At the end of the week",
    "Before that",
    "For the first time",
)

KINDS = (
    "menu",
    "digits",
    "symbols",
    "repeated",
    "foreign",
    "placeholder",
    "code",
    "gibberish",
    "toxic",
    "copy",
    "near copy",
)


def good_page(rng, paragraphs=4):
    """A page of English that says nothing: `paragraphs` lines of three or four sentences. rng:
    numpy Generator.
    """
    return "\n\n".join(
        " ".join(_sentence(rng) for _ in range(rng.integers(3, 5))) for _ in range(paragraphs)
    )


def _sentence(rng):
    a, b, c, d = rng.choice(_NOUNS, 4, replace=False)
    x, y, z = rng.choice(_ADJECTIVES, 3, replace=False)
    verb, other = rng.choice(_VERBS, 2, replace=False)
    return str(
        rng.choice(
            [
                f"The {x} {a} that {verb} the {y} {b} was near the {c}.",
                f"{rng.choice(_OPENERS)}, the {a} {verb} a {x} {b} and {other} the {z} {c} of the {d}.",
                f"It was the {x} {a} of the {b}, and the {c} {verb} it with a {y} {d}.",
                f"They have {verb} the {x} {a}, but nobody {other} the {b} or its {y} {c}.",
                f"A {x} {a} {verb} the {b} because the {y} {c} had {other} this {z} {d}.",
            ]
        )
    )


def as_html(text):
    """A page as the web serves it: the same text with markup, a menu and a script around it."""
    body = "".join(f"<p>{line}</p>\n" for line in text.split("\n\n"))
    return (
        "<html><head><title>Page</title><script>var a = {b: 1};</script></head><body><nav><a href='/'>Home</a></nav>\n"
        f"<div>{body}</div><footer>All rights reserved</footer></body></html>"
    )


def bad_page(kind, rng, good):
    """A page of one kind of junk. good: a good page that copies are made of."""
    words = good.split()
    if kind == "menu":
        return "\n".join(
            rng.choice(
                ["Home", "About us", "Contact", "Log in", "Next page", "Share this", "Archive"], 60
            )
        )
    if kind == "digits":
        return "\n".join(
            " ".join(f"{n}.{n % 97:02d}" for n in rng.integers(0, 9999, 8)) + "." for _ in range(12)
        )
    if kind == "symbols":
        return "\n\n".join(
            " ".join(f"{word} ###" for word in line.split()) + "." for line in good.split("\n\n")
        )
    if kind == "repeated":
        return " ".join([_sentence(rng)] * 15)
    if kind == "foreign":
        language = str(rng.choice([name for name in SAMPLES if name != "en"]))
        start = int(rng.integers(0, 200))
        return f"{SAMPLES[language][start : start + 600]}. {SAMPLES[language][:start]}! Ok? Ok. {rng.integers(1e6)}."
    if kind == "placeholder":
        return f"Lorem ipsum dolor sit amet. {good}"
    if kind == "code":
        return "\n".join(
            f"if the {a} of {b} is true {{ return {a} and {b}; }} // that was to be done."
            for a, b in rng.choice(_NOUNS, (12, 2))
        )
    if kind == "gibberish":
        letters = list("abcdefghijklmnopqrstuvwxyz")
        return " ".join(
            "".join(rng.choice(letters, rng.integers(2, 9))) + "." * (i % 9 == 8) for i in range(90)
        )
    if kind == "toxic":
        for place in rng.choice(len(words), len(words) // 10, replace=False):
            words[place] = str(rng.choice(["shit", "fucking", "bastard"]))
        return " ".join(words)
    if kind == "near copy":  # every 60th word another one: similarity about 0.85
        for place in range(int(rng.integers(0, 60)), len(words), 60):
            words[place] = str(rng.choice(_NOUNS))
    if kind == "near copy":
        return " ".join(words)
    return good


def labelled_corpus(pages=200, junk=0.5, seed=0):
    """Pages with what is wrong with them.

    pages    how many in all
    junk     part of them that is junk, of all KINDS alike
    returns  list of (text, label): "good", or one of KINDS. A copy stands after its original. Of
             the good pages, every third is HTML and every third has an address in it
    """
    rng, corpus, originals = np.random.default_rng(seed), [], []
    for i in range(pages):
        if originals and rng.random() < junk:
            kind = KINDS[i % len(KINDS)]
            corpus.append((bad_page(kind, rng, originals[int(rng.integers(len(originals)))]), kind))
            continue
        text = good_page(rng)
        originals.append(text)
        variant = len(originals) % 3
        if variant == 1:
            text = f"{text} For more of this, write to {rng.choice(_NOUNS)}{rng.integers(1000)}@example.org."
        corpus.append((as_html(text) if variant == 2 else text, "good"))
    return corpus
