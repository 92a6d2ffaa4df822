"""Text that says the same thing over and over, within one document.

A model trained on repetition learns to repeat. Gopher's rules (Rae et al. 2021, appendix A.1.1,
table A1) measure which part of a document is repeated lines, paragraphs and word n-grams. Each is a
pure function; `gopher_repetition` holds theirs with their thresholds. Repetition between documents
is another matter: dedup.py.
"""

from collections import Counter

import regex

from tinylm.data.clean.words import pieces_per_word, words_of

# Table A1: the most frequent n-gram may fill this part of the characters; n-grams that are
# repeated, together, this.
TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}
REPEATED_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def repeated_parts(parts):
    """How much of a list stood in it before.

    parts    list of str: lines or paragraphs
    returns  (part of the items, part of the characters) that repeat an earlier item; (0, 0) for an
             empty list
    """
    seen, items, characters = set(), 0, 0
    for part in parts:
        if part in seen:
            items, characters = items + 1, characters + len(part)
        seen.add(part)
    return items / max(len(parts), 1), characters / max(sum(map(len, parts)), 1)


def lines_of(text):
    """The lines that hold something, stripped."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs_of(text):
    """What blank lines separate, stripped."""
    return [part.strip() for part in regex.split(r"\n\s*\n", text) if part.strip()]


def top_ngram_share(words, n):
    """The part of all characters that the occurrences of the most frequent n-gram of words make up.

    An n-gram that occurs once is no repetition: 0. Overlapping occurrences count fully, so the
    share may exceed 1.
    """
    counts = Counter(zip(*(words[i:] for i in range(n))))
    if not counts or (most := max(counts.values())) < 2:
        return 0.0
    longest = max(sum(map(len, ngram)) for ngram, count in counts.items() if count == most)
    return most * longest / sum(map(len, words))


def repeated_ngram_share(words, n):
    """The part of all characters that lies in some n-gram of words which stood earlier in the text,
    each counted once.
    """
    seen, repeated = set(), bytearray(len(words))
    for i, ngram in enumerate(zip(*(words[i:] for i in range(n)))):
        if ngram in seen:
            repeated[i : i + n] = b"\1" * n
        seen.add(ngram)
    total = sum(map(len, words))
    if total:
        return sum(len(word) for word, again in zip(words, repeated) if again) / total
    return 0.0


def few_repeated_lines(items=0.30, characters=0.20):
    """At most these parts of the lines, and of their characters, repeat an earlier line."""

    def rule(text):
        a, b = repeated_parts(lines_of(text))
        return a <= items and b <= characters

    return rule


def few_repeated_paragraphs(items=0.30, characters=0.20):
    """Likewise for paragraphs."""

    def rule(text):
        a, b = repeated_parts(paragraphs_of(text))
        return a <= items and b <= characters

    return rule


def few_repeated_ngrams(top=None, repeated=None):
    """No n-gram of words fills too much of the text, nor do repeated ones together.

    top, repeated  {n: largest share}; by default those of table A1
    """
    if top is None:
        top = TOP_NGRAM
    if repeated is None:
        repeated = REPEATED_NGRAMS

    def rule(text):
        words = words_of(text)
        # Five letters of Thai are hardly more than one word: as many letters as n words have.
        letters = pieces_per_word(words)
        return all(
            top_ngram_share(words, n * letters) <= share for n, share in top.items()
        ) and all(
            repeated_ngram_share(words, n * letters) <= share for n, share in repeated.items()
        )

    return rule


def gopher_repetition():
    """{name: rule} with Gopher's thresholds."""
    return {
        "repeated lines": few_repeated_lines(),
        "repeated paragraphs": few_repeated_paragraphs(),
        "repeated n-grams": few_repeated_ngrams(),
    }
