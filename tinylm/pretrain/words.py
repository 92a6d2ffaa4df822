"""Words as ids, for short texts: the tokenizer of examples and `tinylm corrupt`."""

import numpy as np
import regex

from tinylm.backend import ArrayLike
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.special import Special
from tinylm.writing import INSIDE, LETTER, WORD, composed

_RUN = regex.compile(rf"(?:{LETTER}{INSIDE}*)+", regex.V1)
_BETWEEN = regex.compile(rf"{LETTER}{INSIDE}* +{LETTER}", regex.V1)
_CUT = regex.compile(rf"\[[A-Z]+\]|'(?:{WORD})|(?:{LETTER}{INSIDE}*)+|{WORD}|\S", regex.V1)
_PIECE = regex.compile(rf"\[[A-Z]+\]|'(?:{WORD})|{WORD}|\S", regex.V1)


def split(text: str, cut: bool | None = None) -> list[str]:
    """Words and punctuation marks; 's is a piece of its own, and a name in brackets stays whole.

    Letters with marks are written in one way (NFC). In scripts without spaces each letter is a
    word, unless the text has spaces between the words: then those are kept whole.

    cut  True if it has; None: found by is_cut
    """
    text = composed(text)
    if cut is None:
        cut = is_cut(text)
    if cut:
        return _CUT.findall(text)
    return _PIECE.findall(text)


def is_cut(text: str) -> bool:
    """True if a text in a script without spaces has spaces between its words."""
    # Words have four letters at most on average; without spaces runs are as long as clauses.
    runs = _RUN.findall(text)
    return _BETWEEN.search(text) is not None and sum(map(len, runs)) <= 4 * len(runs)


class Words:
    """The vocabulary of some texts: ids in the order in which the words come, then the special ids.

    texts      strings
    sentinels  how many
    """

    def __init__(self, *texts: str, sentinels: int = 26) -> None:
        self.cut = is_cut("\n".join(map(composed, texts)))
        found = (word for text in texts for word in split(text, self.cut))
        self.words = list(dict.fromkeys(found))
        self.special = Special.after(len(self.words), sentinels, others=3)
        names = {self.special.name(i): i for i in self.special.ids.tolist()}
        words = {word: i for i, word in enumerate(self.words)}
        self._ids = names | words  # a word of the texts goes before a special id of its name

    def ids(self, text: str) -> np.ndarray:
        """(T,) int64. Raises KeyError for a word that is not in the texts."""
        return np.array([self._ids[word] for word in split(text, self.cut)], np.int64)

    def show(self, ids: ArrayLike) -> list[str]:
        """The words of ids, IGNORE as _: a list."""
        return [self._shown(int(i)) for i in ids]

    def _shown(self, i):
        if i == IGNORE:
            return "_"
        if i < len(self.words):
            return self.words[i]
        return self.special.name(i)
