"""Learning a Unigram vocabulary: begin with far too many pieces, and remove the least needed ones.

Kudo 2018, section 3.2:
  1. Seed: single characters, and the substrings of words with the largest occurrences * length.
  2. EM: with the pieces' probabilities, how often does each piece occur, averaged over all
     segmentations of every word (forward-backward)? Those counts, divided by their sum, are the new
     probabilities. No step lowers the likelihood.
  3. Prune: without a piece, its occurrences fall back on the best other way to write it; the loss
     in log-likelihood is about count * (log p(piece) - log p(other way)). The quarter with the
     smallest loss goes; characters stay.
  4. Repeat 2 and 3 until the size is right.

All words stand in one lattice of flat arrays and are worked on position by position, so a step
costs a few array operations. `lattice.py` has the same sums for one word, in plain loops.
SentencePiece differs in the update: it takes exp(digamma(count)), which favors few pieces, and no
longer maximizes the likelihood. Read next: unigram.py.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tinylm.errors import ConfigError
from tinylm.writing import has_unspaced

SHRINK = 0.75  # kept by a pruning round, as in SentencePiece
EM_STEPS = 2  # before each pruning, as in SentencePiece
SEED_FACTOR, SEED_LEAST = 10, 20_000  # pieces at the start, as a multiple of those wanted, at least
LONGEST_WORD = 256  # characters; a longer word teaches nothing and costs much


def train_unigram(
    counts: Mapping[str, int],
    size: int,
    coverage: float = 1.0,
    longest: int = 16,
    em_steps: int = EM_STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[str, float]]:
    """The pieces and their log-probabilities.

    counts    {word: occurrences}; no piece crosses the border of a word
    size      pieces wanted; fewer if the words have fewer substrings that occur twice
    coverage  part of all characters that must become pieces: the most frequent ones
    longest   characters of the longest piece
    returns   list of (piece, log-probability), most probable first; the probabilities sum to 1
    raises    ConfigError if the characters alone are more than `size`, or a setting makes no sense
    """
    if not 0 < coverage <= 1 or longest < 1:
        raise ConfigError(
            f"unigram: coverage {coverage} must be in (0, 1] and longest {longest} at least 1"
        )
    characters = covered_characters(counts, coverage)
    if len(characters) > size:
        raise ConfigError(
            f"unigram: {len(characters)} characters do not fit into {size} pieces: "
            f"raise vocab_size, or lower coverage from {coverage}"
        )
    words = _covered_words(counts, set(characters))
    pieces, scores = seed_pieces(words, characters, max(SEED_FACTOR * size, SEED_LEAST), longest)
    lattices = WordLattices(list(words), pieces)
    weights = np.array(list(words.values()), np.float64)  # (words,) occurrences
    # The lattice of each piece without itself; its rows are the seed pieces throughout, and row[i]
    # is that of today's piece i.
    other_ways = WordLattices(pieces, pieces, whole=False)
    row = np.arange(len(pieces))
    while True:
        # EM: expected counts under today's probabilities, whose shares are the next ones.
        for _ in range(em_steps):
            expected = lattices.expected(scores, weights)[0]
            scores = _log_shares(expected)
        if len(pieces) == size or len(pieces) == len(characters):
            break
        # Prune, and renumber what is left.
        other = other_ways.best(scores)[row]  # (N,)
        least = max(size, int(SHRINK * len(pieces)))
        kept = _most_needed(scores, expected, other, len(characters), least)
        lattices = lattices.only(kept, len(pieces))
        other_ways = other_ways.only(kept, len(pieces))
        pieces = [pieces[i] for i in kept]
        scores, row = scores[kept], row[kept]
        if progress is not None:
            progress(len(pieces), size)
        # Unused pieces go whatever the size, so fewer than wanted may be left: that is the size.
        size = min(size, len(pieces))
    # A character that no word needs any more must stay possible in new text: half an occurrence.
    scores = _log_shares(np.maximum(expected, 0.5))
    return sorted(zip(pieces, scores.tolist()), key=lambda pair: (-pair[1], pair[0]))


def covered_characters(counts: Mapping[str, int], coverage: float) -> list[str]:
    """The most frequent characters that make up `coverage` of the text, most frequent first."""
    seen = Counter()
    for word, n in counts.items():
        for character in word:
            seen[character] += n
    if not seen:
        return []
    ordered = sorted(seen, key=lambda c: (-seen[c], c))
    covered = np.cumsum([seen[c] for c in ordered], dtype=np.int64)
    # The first place where the running sum reaches coverage * total.
    return ordered[: int(np.searchsorted(covered, coverage * sum(seen.values()))) + 1]


def _covered_words(counts, characters):
    """The words, cut at characters that are not to be learnt, without those that are too long.

    A long word in a script without spaces between words is cut into parts: it is many words.
    """
    words = Counter()
    for word, n in counts.items():
        if characters.issuperset(word):
            parts = [word]
        else:
            # A lone surrogate marks the cuts: it is no character, so no text holds it.
            parts = "".join(c if c in characters else "\ud800" for c in word).split("\ud800")
        for part in parts:
            if len(part) > LONGEST_WORD and not has_unspaced(part):
                continue
            for start in range(0, len(part), LONGEST_WORD):
                words[part[start : start + LONGEST_WORD]] += n
    return words


def seed_pieces(
    words: dict[str, int], characters: Sequence[str], most: int, longest: int
) -> tuple[list[str], np.ndarray]:
    """Characters, then the substrings seen at least twice with the largest occurrences * length.

    returns  (list of pieces, (N,) float64 log-probabilities in proportion to occurrences * length)
    """
    seen = Counter()
    for word, n in words.items():
        for start in range(len(word)):
            for stop in range(start + 1, min(len(word), start + longest) + 1):
                seen[word[start:stop]] += n
    gains = {piece: n * len(piece) for piece, n in seen.items() if n > 1 and len(piece) > 1}
    chosen = sorted(gains, key=lambda piece: (-gains[piece], piece))
    chosen = chosen[: max(most - len(characters), 0)]
    weights = [max(seen[c], 1) for c in characters] + [gains[piece] for piece in chosen]
    return list(characters) + chosen, _log_shares(np.array(weights, np.float64))


def _log_shares(counts):
    """log(counts / sum of counts), (N,): the M step."""
    counts = np.maximum(counts, 1e-300)  # a piece that is used nowhere: improbable, but a number
    return np.log(counts / counts.sum())


def _most_needed(scores, expected, other, n_characters, size):
    """The indices of the `size` pieces that stay: all characters, and those of the largest loss.

    scores        (N,) log-probabilities
    expected      (N,) expected occurrences
    other         (N,) log-probability of the best other way to write each piece
    n_characters  the first so many pieces are the characters
    """
    longer = np.arange(n_characters, len(scores))
    # The fall of the log-likelihood if the piece is written the other way: count * (log p - log q).
    loss = expected[longer] * (scores[longer] - other[longer])
    order = longer[np.argsort(-loss, kind="stable")]
    needed = order[expected[order] > 1e-9]  # what no segmentation uses goes, whatever the size
    kept = np.concatenate([np.arange(n_characters), needed[: size - n_characters]])
    return np.sort(kept).astype(np.int64)


class WordLattices:
    """The lattices of many words as flat arrays of edges: from node, to node, piece.

    words   list of str; every character of theirs is a piece
    pieces  list of str
    whole   False leaves out the edge that is the whole word: all other ways to write it

    Position t of word w is node first[w] + t. Edges are grouped by the position where they end
    (`ahead`) or begin (`behind`): once all words are done up to a position, its edges are one array
    operation.
    """

    def __init__(self, words: Sequence[str], pieces: Sequence[str], whole: bool = True) -> None:
        index = {piece: i for i, piece in enumerate(pieces)}
        longest = max(map(len, pieces), default=0)
        sizes = np.array([len(word) for word in words], np.int64)
        self.last = np.cumsum(sizes + 1) - 1  # the node at the end of each word
        self.first = self.last - sizes
        sources, targets, found = [], [], []  # (edges,): one edge for each piece in each place
        for word, node in zip(words, self.first.tolist()):
            n = len(word)
            for start in range(n):
                for stop in range(start + 1, min(n, start + longest) + 1):
                    piece = index.get(word[start:stop])
                    if piece is not None and (whole or stop - start < n):
                        sources.append(node + start)
                        targets.append(node + stop)
                        found.append(piece)
        self._set(*(np.array(column, np.int64) for column in (sources, targets, found)))

    def _set(self, source, target, piece):
        self.source, self.target, self.piece = source, target, piece
        self.word = np.searchsorted(self.last, source)  # the word of each edge
        begin = self.first[self.word]
        self.ahead = _groups(target - begin, target)
        self.behind = _groups(begin - source, source)  # positions descending

    def only(self, kept: np.ndarray, before: int) -> "WordLattices":
        """The lattices of a part of the pieces.

        kept    (N',) indices of pieces; piece kept[i] gets the index i
        before  how many pieces there were, N
        """
        new = np.full(before, -1, np.int64)  # -1: the piece is gone, and its edges with it
        new[kept] = np.arange(len(kept))
        stays = new[self.piece] >= 0
        smaller = object.__new__(WordLattices)
        smaller.first, smaller.last = self.first, self.last
        smaller._set(self.source[stays], self.target[stays], new[self.piece[stays]])
        return smaller

    def _swept(self, scores, groups, begin, origin, goal, combine):
        """sums[v] = combine over edges (u, v) of sums[u] + log p(edge), for every node v.

        groups        the edges in an order in which sums[u] is complete before it is used
        begin         nodes where the sum is log 1 = 0
        origin, goal  (edges,) the nodes u and v
        combine       np.logaddexp: all paths; np.maximum: the best path
        returns       (nodes,)
        """
        sums = np.full(self.last[-1] + 1 if len(self.last) else 0, -np.inf)
        sums[begin] = 0.0
        for edge, starts in groups:
            values = sums[origin[edge]] + scores[self.piece[edge]]
            sums[goal[edge[starts]]] = combine.reduceat(values, starts)
        return sums

    def best(self, scores: np.ndarray) -> np.ndarray:
        """The log-probability of each word's best path, (words,); minus infinity if it has none."""
        sums = self._swept(scores, self.ahead, self.first, self.source, self.target, np.maximum)
        return sums[self.last]  # (nodes,) -> (words,)

    def expected(self, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
        """The E step of EM: how often each piece occurs, averaged over all segmentations.

        scores   (N,) log-probabilities of the pieces
        weights  (words,) occurrences
        returns  ((N,) expected occurrences of each piece, log-likelihood of all words)
        """
        before = self._swept(scores, self.ahead, self.first, self.source, self.target, np.logaddexp)
        after = self._swept(scores, self.behind, self.last, self.target, self.source, np.logaddexp)
        totals = before[self.last]  # log-probability of each word
        # p(a path uses this edge) = forward * p(edge) * backward / p(word), (edges,)
        log_paths = before[self.source] + scores[self.piece] + after[self.target]
        chance = np.exp(log_paths - totals[self.word])
        counts = np.bincount(self.piece, weights[self.word] * chance, minlength=len(scores))
        return counts, float(weights @ totals)


def _groups(position, node):
    """The edges grouped by position, ascending.

    position, node  (edges,)
    returns         list of (edges of one position sorted by node, where each node's edges begin)
    """
    order = np.lexsort((node, position))
    cuts = np.flatnonzero(np.diff(position[order])) + 1
    groups = []
    for edge in np.split(order, cuts) if len(order) else []:
        groups.append((edge, np.flatnonzero(np.diff(node[edge], prepend=-1))))
    return groups
