"""Words that a page for everyone does without.

The crudest filter there is, and the one that C4 used (Raffel et al. 2020, section 2.2): a page with
a word of a list goes. It also removes whoever speaks about such words, and dialects more than
others (Dodge et al. 2021): so here the share of such words decides, and the list is the user's. The
few words below only show the form. Book section 2.2.1. Read next: privacy.py.
"""

from tinylm.data.clean.words import words as words_in
from tinylm.reading import numbered_lines

# Common English obscenities; a list for use names many more, in every language of the corpus.
EXAMPLE_WORDS = (
    "asshole",
    "bastard",
    "bitch",
    "bullshit",
    "cunt",
    "dickhead",
    "fuck",
    "fucker",
    "fucking",
    "motherfucker",
    "shit",
    "slut",
    "whore",
)


def read_words(path):
    """The words of a file, one a line; lines that begin with "#" are comments.

    raises  DataError if the file cannot be read
    """
    lines = [line.strip() for _, line in numbered_lines(path)]
    return [line for line in lines if line and not line.startswith("#")]


class WordList:
    """Words and phrases looked for in texts, whole words only, in either case.

    words  iterable of str
    """

    def __init__(self, words=EXAMPLE_WORDS):
        self.phrases = {tuple(words_in(word)) for word in words} - {()}
        self.longest = max(map(len, self.phrases), default=0)

    def share(self, text):
        """The part of the words of a text that a phrase of the list begins at."""
        words = words_in(text)
        hits = sum(
            any(tuple(words[i : i + n]) in self.phrases for n in range(1, self.longest + 1))
            for i in range(len(words))
        )
        return hits / max(len(words), 1)

    def clean(self, most=0.01):
        """The rule that at most this part of the words is on the list."""
        return lambda text: self.share(text) <= most
