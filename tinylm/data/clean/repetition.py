"""Repetition within one document.

A model trained on repetition learns to repeat. Gopher's rules (Rae et al. 2021, appendix A.1.1,
table A1) measure which share of a document is repeated lines, paragraphs and word n-grams. Each is
a pure function; `gopher_repetition` returns all with their thresholds. Read next: dedup.py,
repetition between documents.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import regex

from tinylm.data.clean.words import pieces_per_word, words_of

# Table A1, {n: largest share of the characters}: for the occurrences of the most frequent n-gram,
# and for all repeated n-grams together.
TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}
REPEATED_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def repeated_parts(parts: Sequence[str]) -> tuple[float, float]:
    """How much of a list repeats an earlier item of it.

    parts    list of str: lines or paragraphs
    returns  (share of the items, share of the characters); (0, 0) for an empty list
    """
    seen, items, characters = set(), 0, 0
    for part in parts:
        if part in seen:
            items += 1
            characters += len(part)
        seen.add(part)
    return items / max(len(parts), 1), characters / max(sum(map(len, parts)), 1)


def lines_of(text: str) -> list[str]:
    """The lines that are not blank, stripped."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs_of(text: str) -> list[str]:
    """The parts between blank lines, stripped."""
    return [part.strip() for part in regex.split(r"\n\s*\n", text) if part.strip()]


def top_ngram_share(words: Sequence[str], n: int) -> float:
    """The share of all characters in occurrences of the most frequent n-gram of words.

    An n-gram that occurs once is no repetition: 0. Overlapping occurrences count fully, so the
    share may exceed 1.
    """
    counts = Counter(zip(*(words[i:] for i in range(n))))  # (w_1, .., w_n), (w_2, .., w_n+1), ..
    if not counts or (most := max(counts.values())) < 2:
        return 0.0
    # Of several n-grams with that count, the longest decides.
    longest = max(sum(map(len, ngram)) for ngram, count in counts.items() if count == most)
    return most * longest / sum(map(len, words))


def repeated_ngram_share(words: Sequence[str], n: int) -> float:
    """The share of all characters in n-grams of words that occurred before, each counted once."""
    seen, repeated = set(), bytearray(len(words))  # 1 for a word inside a repeated n-gram
    for i, ngram in enumerate(zip(*(words[i:] for i in range(n)))):
        if ngram in seen:
            repeated[i : i + n] = b"\1" * n
        seen.add(ngram)
    total = sum(map(len, words))
    if total:
        return sum(len(word) for word, again in zip(words, repeated) if again) / total
    return 0.0


def few_repeated_lines(items: float = 0.30, characters: float = 0.20) -> Callable:
    """The rule on the shares of lines, and of their characters, that repeat earlier lines."""

    def rule(text):
        a, b = repeated_parts(lines_of(text))
        return a <= items and b <= characters

    return rule


def few_repeated_paragraphs(items: float = 0.30, characters: float = 0.20) -> Callable:
    """The rule on the shares of paragraphs, and of their characters, that repeat earlier ones."""

    def rule(text):
        a, b = repeated_parts(paragraphs_of(text))
        return a <= items and b <= characters

    return rule


def few_repeated_ngrams(
    top: dict[int, float] | None = None, repeated: dict[int, float] | None = None
) -> Callable:
    """The rule that no n-gram of words fills too much of the text, nor do repeated ones together.

    top, repeated  {n: largest share}; by default those of table A1
    """
    if top is None:
        top = TOP_NGRAM
    if repeated is None:
        repeated = REPEATED_NGRAMS

    def rule(text):
        words = words_of(text)
        # `words` are letters in scripts without spaces: n words of Thai are about 4 n letters.
        letters = pieces_per_word(words)
        few_top = all(top_ngram_share(words, n * letters) <= share for n, share in top.items())
        return few_top and all(
            repeated_ngram_share(words, n * letters) <= share for n, share in repeated.items()
        )

    return rule


def gopher_repetition() -> dict[str, Callable]:
    """All the rules above: {name: rule}, with Gopher's thresholds."""
    return {
        "repeated lines": few_repeated_lines(),
        "repeated paragraphs": few_repeated_paragraphs(),
        "repeated n-grams": few_repeated_ngrams(),
    }
