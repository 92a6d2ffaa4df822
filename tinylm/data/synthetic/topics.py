"""Texts about one of many topics, for label sets of any size   (book section 3.1.4.1).

    p(text, topic) = p(topic) prod over words w of p(w | topic)
    p(w | topic) = share / own  if w is one of the topic's own words, and (1 - share) / V besides

Own words are shared between topics, and any word may occur in any text, so no reader is always
right; the posterior by Bayes' rule is the best there can be. A corpus for pre-training has texts
with the name of their topic behind them, common topics more often than rare ones. For two classes
see reviews.py.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator
from tinylm.errors import ConfigError, DataError

ABOUT = "about"  # between a text and the name of its topic
END = "."  # after the name


@dataclass(frozen=True)
class Topics:
    """K topics over V words.

    names  (K,) tuple of str, the labels
    words  (V,) tuple of str, none of them a name
    p      (K, V): p(w | topic)
    """

    names: tuple
    words: tuple
    p: np.ndarray

    def posterior(self, text: str, labels: tuple[str, ...] | None = None) -> np.ndarray:
        """p(label | text) if all labels are as frequent: (k,) float64.

        labels  names among which the topic is; None: all
        raises  DataError for a word or label that is not of these
        """
        at = [_index(self.words, word, "word") for word in text.split()]
        rows = [_index(self.names, label, "topic") for label in labels or self.names]
        log_p = np.log(self.p[rows][:, at]).sum(axis=1)  # (k, n) -> (k,)
        p = np.exp(log_p - log_p.max())
        return p / p.sum()

    def best(self, text: str, labels: tuple[str, ...] | None = None) -> str:
        """The most probable label; no reader is right more often."""
        return (labels or self.names)[int(self.posterior(text, labels).argmax())]

    def text(self, topic: int, length: int, rng: np.random.Generator) -> str:
        """`length` words drawn from p(w | topic), of a topic's number."""
        at = rng.choice(len(self.words), size=length, p=self.p[topic])
        return " ".join(self.words[i] for i in at)

    def items(
        self, count: int, labels: tuple[str, ...] | None = None, length: int = 6, seed: int = 0
    ) -> list[Item]:
        """Texts with their topics as answers, each label equally often: list of Item.

        labels  the options, two or more; None: all names
        length  words of a text
        """
        labels = tuple(labels or self.names)
        rng, items = generator(seed, "topic items"), []
        for i in range(count):
            label = labels[i % len(labels)]
            text = self.text(_index(self.names, label, "topic"), length, rng)
            items.append(Item(text, label, labels, task="topics"))
        return [items[i] for i in rng.permutation(count)]

    def documents(
        self,
        count: int,
        texts: int = 8,
        length: int = 6,
        most: int = 4,
        exponent: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """Documents for pre-training: "text about name . text about name . ..": list of str.

        texts     of a document
        most      topics of a document: it has 1 to `most`, and each of its texts one of these
        exponent  of Zipf's law: the k-th name is drawn with probability proportional to k^-exponent
        """
        at_least("most", most, 1)
        rng, found = generator(seed, "topic documents"), []
        frequency = np.arange(1, len(self.names) + 1.0) ** -exponent
        frequency /= frequency.sum()
        for _ in range(count):
            some = rng.choice(len(self.names), size=int(rng.integers(1, most + 1)), p=frequency)
            parts = []
            for topic in rng.choice(some, size=texts):
                parts += [self.text(topic, length, rng), ABOUT, self.names[topic], END]
            found.append(" ".join(parts))
        return found


def _index(names, name, kind):
    if name not in names:
        raise DataError(f"{name!r} is no {kind} of these; the first are {', '.join(names[:4])}")
    return names.index(name)


def make_topics(
    topics: int = 64, words: int = 192, own: int = 6, share: float = 0.7, seed: int = 0
) -> Topics:
    """Topics whose own words are drawn anew: Topics.

    own    words of a topic that are frequent in its texts
    share  of a text's words that is drawn from these
    """
    if not 0 < share < 1 or not 1 <= own <= words or topics < 2:
        raise ConfigError(
            f"make_topics: {topics} topics with {own} of {words} words, share {share}: needs two "
            "or more topics, own words among the words, and a share between 0 and 1"
        )
    rng = Random(seed, "topics")
    made = _made_up_words(topics + words, rng)
    p = np.full((topics, words), (1 - share) / words)
    for row in p:
        row[rng.permutation(words)[:own]] += share / own
    return Topics(tuple(made[:topics]), tuple(made[topics:]), p)


def _made_up_words(count, rng):
    """Different words of two syllables."""
    syllables = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]
    made = ["".join(pair) for pair in product(syllables, syllables)]
    if count > len(made):
        raise ConfigError(f"{count} made-up words are more than the {len(made)} that there are")
    return [made[i] for i in rng.permutation(len(made))[:count]]
