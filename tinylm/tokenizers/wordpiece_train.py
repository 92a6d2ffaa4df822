"""Learning WordPiece: merge the neighbors that attract each other most, not the most frequent ones.

Schuster & Nakajima 2012 grow a vocabulary by the merge that raises the likelihood of the text most
under a language model; their trainer was never published. Under the unigram model of pieces,
joining one occurrence of a b gains log p(ab) - log p(a) - log p(b), so pairs are ranked by

    score(a, b) = count(ab) / (count(a) * count(b)),

the form in which the method is usually given. A pair that always stands together wins even when
rare, so only pairs seen `min_count` times are candidates. Of equal scores the more frequent pair
goes first, then the smaller (left, right) ids. A merge changes count(a) and count(b), and with them
the scores of all pairs of a or b, up as well as down. So no heap keeps them in order: the counts
are updated step by step, and the scores are computed anew, as arrays, for each merge. Read next:
wordpiece.py.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from tinylm.errors import ConfigError
from tinylm.tokenizers.stream import CHUNK, Source, certain_chunks, read_text
from tinylm.tokenizers.wordpiece import LONGEST_WORD, SPECIAL, WordPieceTokenizer, plain_words


def train_wordpiece(
    texts: Source,
    vocab_size: int,
    lower: bool = True,
    special: tuple[str, ...] = SPECIAL,
    min_count: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> WordPieceTokenizer:
    """A WordPieceTokenizer whose vocabulary is learnt from text: special tokens, characters, then
    merges.

    texts       a text, a Path, an open file, or an iterable of texts, which need not fit in memory
    vocab_size  V wanted; smaller if the pairs of the text run out
    lower       make text lower case and take accents off, here and when the tokenizer is used
    special     names of special tokens, "[UNK]" among them
    min_count   no pair seen less often is merged, no character seen less often is kept
    progress    function (merges learnt, merges wanted)
    raises      ConfigError if vocab_size has no room for the special tokens and the characters
    """
    counts = count_words(texts, lower)
    alphabet = learn_alphabet(counts, min_count)
    n_merges = vocab_size - len(special) - len(alphabet)
    if n_merges < 0:
        raise ConfigError(
            f"vocab_size {vocab_size} is too small: {len(special)} special tokens and "
            f"{len(alphabet)} characters, at the start of a word and within, need "
            f"{len(special) + len(alphabet)}"
        )
    learnt = learn_wordpieces(counts, alphabet, n_merges, min_count, progress)
    return WordPieceTokenizer([*special, *learnt], lower)


def count_words(texts: Source, lower: bool = True, chunk: int = CHUNK) -> Counter:
    """How often each word of `wordpiece.plain_words` occurs; only distinct words are in memory."""
    if isinstance(texts, str) or hasattr(texts, "read") or hasattr(texts, "__fspath__"):
        texts = [texts]  # one text
    counts = Counter()
    for text in texts:
        for _, part in certain_chunks(read_text(text, chunk), chunk, _last_space):
            counts.update(plain_words(part, lower))
    return Counter({word: n for word, n in counts.items() if 0 < len(word) <= LONGEST_WORD})


def _last_space(text, start, stop):
    return max(start, text.rfind(" ", start + 1, stop), text.rfind("\n", start + 1, stop))


def as_pieces(word: str) -> list[str]:
    """A word as its characters: "cat" -> ["c", "##a", "##t"]."""
    if word:
        return [word[0], *("##" + c for c in word[1:])]
    return []


def learn_alphabet(counts: dict[str, int], min_count: int = 1) -> list[str]:
    """The characters as pieces, sorted: those within words too, if seen `min_count` times."""
    seen = Counter()
    for word, n in counts.items():
        for piece in as_pieces(word):
            seen[piece] += n
    return sorted(piece for piece, n in seen.items() if n >= min_count)


def joined(left: str, right: str) -> str:
    """The piece that two neighbors make: ("c", "##a") -> "ca"; ("##a", "##t") -> "##at"."""
    return left + right.removeprefix("##")


def learn_wordpieces_by_definition(
    counts: dict[str, int], alphabet: Sequence[str], n_merges: int, min_count: int = 2
) -> list[str]:
    """The rule above, recounted from scratch for each merge: for a few kilobytes.

    Twin of `learn_wordpieces`, with the same arguments.
    """
    pieces = list(alphabet)
    rank = {piece: i for i, piece in enumerate(alphabet)}
    words = {word: as_pieces(word) for word in counts}
    # Words with a character outside the alphabet teach nothing.
    words = {word: parts for word, parts in words.items() if rank.keys() >= set(parts)}
    for _ in range(n_merges):
        single, pairs = Counter(), Counter()  # count(a), count(ab)
        for word, parts in words.items():
            for part in parts:
                single[part] += counts[word]
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        common = [pair for pair, n in pairs.items() if n >= min_count]
        if not common:
            break
        score = {(a, b): pairs[a, b] / (single[a] * single[b]) for a, b in common}
        left, right = min(
            common, key=lambda pair: (-score[pair], -pairs[pair], rank[pair[0]], rank[pair[1]])
        )
        rank[joined(left, right)] = len(pieces)
        pieces.append(joined(left, right))
        for parts in words.values():
            for i in range(len(parts)):
                if parts[i : i + 2] == [left, right]:
                    parts[i : i + 2] = [pieces[-1]]
    return pieces


def learn_wordpieces(
    counts: dict[str, int],
    alphabet: Sequence[str],
    n_merges: int,
    min_count: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """The vocabulary: the alphabet, then the piece of each merge in the order learnt.

    counts     {word: occurrences}
    alphabet   list of pieces of one character; words with other characters teach nothing
    n_merges   how many to learn; fewer if no pair is seen `min_count` times any more
    progress   function (merges learnt, n_merges), called after each
    returns    list of str
    """
    state = _Pairs(counts, alphabet)
    while len(state.pieces) < len(alphabet) + n_merges:
        slot = state.strongest(min_count)
        if slot is None:
            break
        state.merge(slot)
        if progress is not None:
            progress(len(state.pieces) - len(alphabet), n_merges)
    return state.pieces


class _Pairs:
    """All words as lists of piece ids, and what is counted of their pairs.

    Each distinct pair has a slot s: left[s], right[s] are its pieces, count[s] its occurrences, and
    places[pair] the words that it is in.
    """

    def __init__(self, counts, alphabet):
        self.pieces = list(alphabet)
        rank = {piece: i for i, piece in enumerate(alphabet)}
        self.words, self.weights = [], []
        for word, n in counts.items():
            parts = [rank.get(piece) for piece in as_pieces(word)]
            if None not in parts:
                self.words.append(parts)
                self.weights.append(n)
        # Occurrences of each piece, with room to grow; floats are exact up to 2^53.
        self.single = np.zeros(2 * len(self.pieces) + 64)
        self.left = np.zeros(64, np.int64)
        self.right = np.zeros(64, np.int64)
        self.count = np.zeros(64)
        self.slots, self.places = {}, defaultdict(set)
        for w, (parts, n) in enumerate(zip(self.words, self.weights)):
            self._add(w, parts, n)

    def _add(self, w, parts, n):
        """Count word w, in its present pieces, n times more (n < 0: less)."""
        for part in parts:
            self.single[part] += n
        for pair in pairwise(parts):
            slot = self._slot(pair)  # may make room: before self.count is looked at
            self.count[slot] += n
            self.places[pair].add(w)

    def _slot(self, pair):
        """The slot of a pair, a new one if it has none; the arrays double when they are full."""
        slot = self.slots.get(pair)
        if slot is None:
            slot = self.slots[pair] = len(self.slots)
            if slot == len(self.left):
                self.left, self.right, self.count = (
                    np.concatenate([a, np.zeros_like(a)])
                    for a in (self.left, self.right, self.count)
                )
            self.left[slot], self.right[slot] = pair
        return slot

    def strongest(self, min_count):
        """The slot of the pair to merge next, or None when no pair is frequent enough."""
        common = np.flatnonzero(self.count >= min_count)  # (candidates,) slots
        if not len(common):
            return None
        count = self.count[common]
        # count(ab) / (count(a) * count(b))
        score = count / (self.single[self.left[common]] * self.single[self.right[common]])
        tied = common[score == score.max()]
        return min(tied.tolist(), key=lambda s: (-self.count[s], self.left[s], self.right[s]))

    def merge(self, slot):
        """Join the pair wherever it stands, from left to right, and count its words anew."""
        left, right = pair = int(self.left[slot]), int(self.right[slot])
        new = len(self.pieces)
        self.pieces.append(joined(self.pieces[left], self.pieces[right]))
        if new == len(self.single):
            self.single = np.concatenate([self.single, np.zeros_like(self.single)])
        # The words of the pair leave the counts with their old pieces and return with the new ones.
        # A place may be out of date (the pair is in that word no more): then nothing changes.
        for w in self.places.pop(pair):
            parts, n = self.words[w], self.weights[w]
            self._add(w, parts, -n)
            i = 0
            while i < len(parts) - 1:
                if parts[i] == left and parts[i + 1] == right:
                    parts[i : i + 2] = [new]
                i += 1
            self._add(w, parts, n)
