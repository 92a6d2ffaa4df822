"""A synthetic corpus of good pages and labeled junk, to measure filters with.

On real pages, errors of a filter are found only by reading; here recall (share of the junk that is
dropped) and precision (share of junk in what is dropped) are counts. The good pages are sentences
of a small grammar, so easier than the web: a filter that fails here is bad, one that passes is not
proven good. Book section 2.2.1. Read next: clean/pipeline.py.
"""

import numpy as np

from tinylm.data.clean.language_samples import SAMPLES

_NOUNS = """river teacher harbor winter letter garden machine market soldier village doctor window
bridge engine captain forest library painter history question summer kitchen picture valley
merchant island student journey station story orchard lantern council sailor mountain blanket
carpenter festival newspaper shepherd""".split()
_VERBS = """crossed watched followed repaired described remembered carried painted visited noticed
collected measured answered opened studied protected finished discovered believed gathered
welcomed borrowed admired explained""".split()
_ADJECTIVES = """old quiet narrow golden distant careful broken gentle northern simple heavy
curious ancient modern bright hidden patient wooden famous lonely bitter early sudden honest
familiar""".split()
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

# fmt: off
KINDS = (
    "menu", "digits", "symbols", "repeated", "foreign", "placeholder", "code", "gibberish",
    "toxic", "copy", "near copy",
)
# fmt: on


def good_page(rng: np.random.Generator, paragraphs: int = 4) -> str:
    """A page of English sentences without meaning.

    rng         NumPy Generator
    paragraphs  of three or four sentences each, between blank lines
    """
    lines = []
    for _ in range(paragraphs):
        lines.append(" ".join(_sentence(rng) for _ in range(rng.integers(3, 5))))
    return "\n\n".join(lines)


def _sentence(rng):
    a, b, c, d = rng.choice(_NOUNS, 4, replace=False)
    x, y, z = rng.choice(_ADJECTIVES, 3, replace=False)
    verb, other = rng.choice(_VERBS, 2, replace=False)
    opener = rng.choice(_OPENERS)
    forms = [
        f"The {x} {a} that {verb} the {y} {b} was near the {c}.",
        f"{opener}, the {a} {verb} a {x} {b} and {other} the {z} {c} of the {d}.",
        f"It was the {x} {a} of the {b}, and the {c} {verb} it with a {y} {d}.",
        f"They have {verb} the {x} {a}, but nobody {other} the {b} or its {y} {c}.",
        f"A {x} {a} {verb} the {b} because the {y} {c} had {other} this {z} {d}.",
    ]
    return str(rng.choice(forms))


def as_html(text: str) -> str:
    """A page as the web serves it: the text with markup, a menu and a script around it."""
    body = "".join(f"<p>{line}</p>\n" for line in text.split("\n\n"))
    return (
        "<html><head><title>Page</title><script>var a = {b: 1};</script></head>"
        "<body><nav><a href='/'>Home</a></nav>\n"
        f"<div>{body}</div><footer>All rights reserved</footer></body></html>"
    )


def bad_page(kind: str, rng: np.random.Generator, good: str) -> str:
    """A page of one kind of junk.

    kind  one of KINDS
    good  a good page, from which copies and some other kinds are made
    """
    # Lines end in full stops where the rule on sentence lines would otherwise drop them first.
    words = good.split()
    if kind == "menu":
        items = ["Home", "About us", "Contact", "Log in", "Next page", "Share this", "Archive"]
        return "\n".join(rng.choice(items, 60))
    if kind == "digits":
        lines = []
        for _ in range(12):
            numbers = [f"{n}.{n % 97:02d}" for n in rng.integers(0, 9999, 8)]
            lines.append(" ".join(numbers) + ".")
        return "\n".join(lines)
    if kind == "symbols":
        lines = [
            " ".join(f"{word} ###" for word in line.split()) + "." for line in good.split("\n\n")
        ]
        return "\n\n".join(lines)
    if kind == "repeated":
        return " ".join([_sentence(rng)] * 15)
    if kind == "foreign":
        language = str(rng.choice([name for name in SAMPLES if name != "en"]))
        sample, start = SAMPLES[language], int(rng.integers(0, 200))
        return f"{sample[start : start + 600]}. {sample[:start]}! Ok? Ok. {rng.integers(1e6)}."
    if kind == "placeholder":
        return f"Lorem ipsum dolor sit amet. {good}"
    if kind == "code":
        return "\n".join(
            f"if the {a} of {b} is true {{ return {a} and {b}; }} // that was to be done."
            for a, b in rng.choice(_NOUNS, (12, 2))
        )
    if kind == "gibberish":
        letters = list("abcdefghijklmnopqrstuvwxyz")
        fakes = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(90)]
        return " ".join(fake + "." * (i % 9 == 8) for i, fake in enumerate(fakes))
    if kind == "toxic":
        for place in rng.choice(len(words), len(words) // 10, replace=False):
            words[place] = str(rng.choice(["shit", "fucking", "bastard"]))
        return " ".join(words)
    if kind == "near copy":
        # Every 60th word is replaced, which changes 5 of 60 5-grams: similarity about 0.85.
        for place in range(int(rng.integers(0, 60)), len(words), 60):
            words[place] = str(rng.choice(_NOUNS))
        return " ".join(words)
    return good


def labelled_corpus(pages: int = 200, junk: float = 0.5, seed: int = 0) -> list[tuple[str, str]]:
    """Pages with the kind of their fault.

    pages    how many in all
    junk     share of them that is junk, all KINDS equally often
    returns  list of (text, label): "good", or one of KINDS. A copy comes after its original. Of the
             good pages, every third is HTML and every third contains an e-mail address
    """
    rng, corpus, originals = np.random.default_rng(seed), [], []
    for i in range(pages):
        if originals and rng.random() < junk:  # the first page is good: copies need an original
            kind = KINDS[i % len(KINDS)]
            corpus.append((bad_page(kind, rng, originals[int(rng.integers(len(originals)))]), kind))
            continue
        text = good_page(rng)
        originals.append(text)
        variant = len(originals) % 3
        if variant == 1:
            address = f"{rng.choice(_NOUNS)}{rng.integers(1000)}@example.org"
            text = f"{text} For more of this, write to {address}."
        elif variant == 2:
            text = as_html(text)
        corpus.append((text, "good"))
    return corpus
