"""A filter of offensive words.

C4 dropped every page with a word of a list (Raffel et al. 2020, section 2.2). That also removes
pages about such words, and some dialects more than others (Dodge et al. 2021). So here the share of
such words decides, and the list is the user's; the few words below only show the form. Book section
2.2.1. Read next: privacy.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from tinylm.data.clean.words import words as words_in
from tinylm.reading import numbered_lines

# Common English obscenities; a list for real use has many more, in every language of the corpus.
# fmt: off
EXAMPLE_WORDS = (
    "asshole", "bastard", "bitch", "bullshit", "cunt", "dickhead", "fuck", "fucker", "fucking",
    "motherfucker", "shit", "slut", "whore",
)
# fmt: on


def read_words(path: str | Path) -> list[str]:
    """The words of a file, one a line; lines that begin with "#" are comments.

    raises  DataError if the file cannot be read
    """
    lines = [line.strip() for _, line in numbered_lines(path)]
    return [line for line in lines if line and not line.startswith("#")]


class WordList:
    """Words and phrases to find in texts: whole words, without regard to case.

    words  iterable of str
    """

    def __init__(self, words: Sequence[str] = EXAMPLE_WORDS) -> None:
        self.phrases = {tuple(words_in(word)) for word in words} - {()}
        self.longest = max(map(len, self.phrases), default=0)

    def share(self, text: str) -> float:
        """The share of the words of a text at which a phrase of the list begins."""
        words, hits = words_in(text), 0
        for i in range(len(words)):
            lengths = range(1, self.longest + 1)
            hits += any(tuple(words[i : i + n]) in self.phrases for n in lengths)
        return hits / max(len(words), 1)

    def clean(self, most: float = 0.01) -> Callable:
        """The rule that the share of a text is at most `most`."""
        return lambda text: self.share(text) <= most
