"""Taggers that know words alone, without their context: what a model must beat   (book section
1.4.4).

    most frequent tag   every word the tag that it has most often, an unknown word the tag of most
                        words: for parts of speech hard to beat (Charniak et al. 1993)
    dictionary          every sequence of words that was a name is one again, the longest first: a
                        gazetteer, made of the training names

Read next: tagging.py.
"""

from collections import Counter
from collections.abc import Sequence

from tinylm.data.read.bio import bio_decode, bio_encode


class MostFrequentTag:
    """Every word its most frequent tag.

    examples  (words, tags) to learn from
    """

    def __init__(self, examples: Sequence) -> None:
        overall, of_word = Counter(), {}
        for words, tags in examples:
            for word, tag in zip(words, tags):
                of_word.setdefault(word, Counter())[tag] += 1
                overall[tag] += 1
        # of equally frequent tags, the first that was seen
        self.rest = overall.most_common(1)[0][0]
        self.tags = {word: counts.most_common(1)[0][0] for word, counts in of_word.items()}

    def __call__(self, words: Sequence[str]) -> list[str]:
        """The tags of a sentence, a list."""
        return [self.tags.get(word, self.rest) for word in words]


class NameDictionary:
    """Every sequence of words that usually was a name is one again, in the type it had most often.

    examples  (words, BIO tags) to learn from
    share     a sequence counts as a name if it was one in this share of its occurrences or more;
              0: if it ever was one
    small     capitals do not matter
    """

    def __init__(self, examples: Sequence, share: float = 0.5, small: bool = True) -> None:
        self.small = small
        types, seen = {}, Counter()
        for words, tags in examples:
            words = self._same(words)
            for kind, start, stop in bio_decode(tags):
                types.setdefault(words[start:stop], Counter())[kind] += 1
        self.longest = max(map(len, types), default=0)
        for words, _ in examples:
            seen.update(name for _, name in self._sequences(self._same(words)) if name in types)
        self.names = {
            name: kinds.most_common(1)[0][0]
            for name, kinds in types.items()
            if kinds.total() >= share * seen[name]
        }

    def __call__(self, words: Sequence[str]) -> list[str]:
        """The BIO tags of a sentence: from left to right, at each word the longest name."""
        found, free = [], 0
        for start, name in self._sequences(self._same(words)):
            if start >= free and name in self.names:
                free = start + len(name)
                found.append((self.names[name], start, free))
        return bio_encode(found, len(words))

    def _same(self, words):
        if self.small:
            words = [word.lower() for word in words]
        return tuple(words)

    def _sequences(self, words):
        """(start, words) of every sequence that may be a name, at each word the longest first."""
        for start in range(len(words)):
            for n in range(min(self.longest, len(words) - start), 0, -1):
                yield start, words[start : start + n]
