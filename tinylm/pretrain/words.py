"""Words as ids, for texts short enough to look at: what examples and `tinylm corrupt` use in place of a tokenizer."""
import numpy as np
import regex

from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.special import Special


def split(text):
    """Words and punctuation marks; 's is a piece of its own, and a name in brackets stays whole."""
    return regex.findall(r"\[[A-Z]+\]|'\w+|\w+|[^\w\s]", text)


class Words:
    """The vocabulary of some texts: ids in the order in which the words come, then the special ids.

    texts      strings
    sentinels  how many
    """

    def __init__(self, *texts, sentinels=26):
        self.words = list(dict.fromkeys(word for text in texts for word in split(text)))
        self.special = Special.after(len(self.words), sentinels, others=3)
        self._ids = {word: i for i, word in enumerate(self.words)}
        self._ids |= {self.special.name(int(i)): int(i) for i in self.special.ids if self.special.name(int(i)) not in self._ids}

    def ids(self, text):
        """(T,) int64. Raises KeyError for a word that is not in the texts."""
        return np.array([self._ids[word] for word in split(text)], np.int64)

    def show(self, ids):
        """The words of ids, IGNORE as _: a list."""
        return ["_" if i == IGNORE else self.words[i] if i < len(self.words) else self.special.name(i) for i in map(int, ids)]
