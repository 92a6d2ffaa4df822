"""Words as ids, for texts short enough to look at: what examples and `tinylm corrupt` use in place
of a tokenizer."""

import numpy as np
import regex

from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.special import Special
from tinylm.writing import INSIDE, LETTER, WORD, composed

_RUN = regex.compile(rf"(?:{LETTER}{INSIDE}*)+", regex.V1)
_BETWEEN = regex.compile(rf"{LETTER}{INSIDE}* +{LETTER}", regex.V1)
_CUT = regex.compile(rf"\[[A-Z]+\]|'(?:{WORD})|(?:{LETTER}{INSIDE}*)+|{WORD}|\S", regex.V1)
_PIECE = regex.compile(rf"\[[A-Z]+\]|'(?:{WORD})|{WORD}|\S", regex.V1)


def split(text, cut=None):
    """Words and punctuation marks; 's is a piece of its own, and a name in brackets stays whole.

    Letters with marks are written in one way (NFC). In scripts without spaces each is a word,
    unless someone has put spaces between the words: then those are.

    cut  whether someone has; None: as the text looks
    """
    text = composed(text)
    if cut is None:
        cut = is_cut(text)
    return (_CUT if cut else _PIECE).findall(text)


def is_cut(text):
    """True if spaces stand between the words of scripts that have none: runs of at most four
    letters
    on average, as words have."""
    runs = _RUN.findall(text)
    return _BETWEEN.search(text) is not None and sum(map(len, runs)) <= 4 * len(runs)


class Words:
    """The vocabulary of some texts: ids in the order in which the words come, then the special ids.

    texts      strings
    sentinels  how many
    """

    def __init__(self, *texts, sentinels=26):
        self.cut = is_cut("\n".join(map(composed, texts)))
        found = (word for text in texts for word in split(text, self.cut))
        self.words = list(dict.fromkeys(found))
        self.special = Special.after(len(self.words), sentinels, others=3)
        self._ids = {word: i for i, word in enumerate(self.words)}
        self._ids |= {
            self.special.name(int(i)): int(i)
            for i in self.special.ids
            if self.special.name(int(i)) not in self._ids
        }

    def ids(self, text):
        """(T,) int64. Raises KeyError for a word that is not in the texts."""
        return np.array([self._ids[word] for word in split(text, self.cut)], np.int64)

    def show(self, ids):
        """The words of ids, IGNORE as _: a list."""
        return [
            "_" if i == IGNORE else self.words[i] if i < len(self.words) else self.special.name(i)
            for i in map(int, ids)
        ]
