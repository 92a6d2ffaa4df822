"""Learning byte-pair encoding fast: a merge changes only the counts of the pairs around it.

`bpe.learn_merges_by_definition` recounts all pairs for each merge. `learn_merges` returns the same
merges and updates the counts. Both follow one rule, so their results are equal, ties included:

  - A pair counts once for every place where its two tokens stand side by side (three times in
    "aaaa"), weighted by how often the piece occurs in the corpus.
  - Of equally frequent pairs the one with the smaller (left id, right id) is merged, so older
    tokens go first and the order of the corpus does not matter.
  - Occurrences are replaced from left to right ("aaa" becomes "aa a").

No two merges make the same bytes. Suppose that "abc" is a token. A stretch of whole tokens was
never merged across its ends, so the merges so far have made of it what they make of its bytes
alone: wherever "abc" is a stretch of whole tokens, it is one token, never "ab" "c" or "a" "bc".
Hence every token has one merge, and a pair always ranks after the merges of its two tokens. So
applying the merges in order, as learning does, and always applying the earliest possible merge, as
encoding does, give the same ids.

Read first: `bpe.py`, the definition. Read next: `pretokenize.py`.
"""

import heapq
from array import array
from collections import defaultdict
from collections.abc import Callable

_BORDER = -1  # between pieces
_INSIDE = -2  # a byte that begins no token any more


def learn_merges(
    counts: dict[bytes, int],
    n_merges: int,
    min_count: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[int, int]]:
    """The merges of byte-pair encoding, most frequent pair first.

    counts     {piece: occurrences}, pieces being bytes; no merge crosses the border of a piece
    n_merges   how many to learn
    min_count  stop when no pair occurs this often; a token seen once is not worth its row in the
               embedding
    progress   function (merges learnt, n_merges), called after each
    returns    list of (left id, right id); ids below 256 are bytes, merge number k makes the token
               256 + k. Shorter than n_merges if the pairs run out

    Twin: `bpe.learn_merges_by_definition`.
    """
    state = _Pairs(counts, min_count)
    merges = []
    while len(merges) < n_merges and (pair := state.most_frequent()) is not None:
        state.merge(pair)
        merges.append(pair)
        if progress is not None:
            progress(len(merges), n_merges)
    return merges


class _Pairs:
    """All distinct pieces with their tokens, how often each pair of neighbors occurs, and where.

    The pieces lie one after the other in one list of bytes. `tag[i]` is a token's id at its first
    and at its last byte, and `size[id]` its length in bytes. So the right neighbor of the token at
    i has its id at i + size[tag[i]], and the left neighbor at i - 1. A merge writes three tags and
    moves nothing.
    """

    def __init__(self, counts, min_count):
        self.min_count = min_count
        self.size = [1] * 256
        # One entry for each byte of all pieces: its tag, and how often its piece occurs.
        self.tag, self.weight = [_BORDER], [0]
        for piece, count in counts.items():
            self.tag += piece
            self.tag.append(_BORDER)
            self.weight += [count] * (len(piece) + 1)
        # places[pair]: the first bytes of its occurrences, from left to right. Places where a pair
        # has since been merged with a neighbor stay listed, and are recognized by their tags.
        self.count = defaultdict(int)
        self.places = defaultdict(lambda: array("q"))
        for i in range(len(self.tag) - 1):
            pair = left, right = self.tag[i], self.tag[i + 1]
            if left >= 0 and right >= 0:
                self.count[pair] += self.weight[i]
                self.places[pair].append(i)
        # A heap whose counts may be out of date. A merge raises only the counts of pairs with the
        # new token, which enter the heap right after it; all others can only fall. So an entry is
        # never too low, and one that is still true when it reaches the top is the maximum.
        self.heap = []
        self._enter(list(self.count))

    def _enter(self, pairs):
        for pair in pairs:
            if self.count[pair] >= self.min_count:
                heapq.heappush(self.heap, (-self.count[pair], pair))
            else:
                del self.places[pair]  # too rare, and it will never be more frequent

    def most_frequent(self):
        """The pair to merge next, or None when no pair is frequent enough."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            if -count == self.count[pair]:
                return pair
            self._enter([pair])  # out of date: back into the heap with today's count
        return None

    def merge(self, pair):
        """Replace `pair` by a new token wherever it stands, and update the counts around it."""
        left, right = pair
        new = len(self.size)
        self.size.append(self.size[left] + self.size[right])
        tag, weight, size, count, places = self.tag, self.weight, self.size, self.count, self.places
        length = size[new]
        born = set()  # pairs with the new token
        for i in places.pop(pair):
            j = i + size[left]
            if tag[i] != left or tag[j] != right:
                continue  # merged with another neighbor meanwhile
            # before left right after  ->  before new after: two pairs lose this occurrence, and
            # two pairs with the new token gain it.
            end, n = i + length, weight[i]
            before, after = tag[i - 1], tag[end]
            if before >= 0:
                count[before, left] -= n
                made = before, new
                count[made] += n
                places[made].append(i - size[before])
                born.add(made)
            if after >= 0:
                count[right, after] -= n
                made = new, after
                count[made] += n
                places[made].append(i)
                born.add(made)
            tag[j] = _INSIDE
            tag[i] = tag[end - 1] = new  # after tag[j], which may be the last byte itself
        del count[pair]
        self._enter(born)
