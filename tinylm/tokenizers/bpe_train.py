"""Learning byte-pair encoding: merge the most frequent pair of neighboring tokens, again and again.

Gage 1994; Sennrich, Haddow & Birch 2016 for words; Radford et al. 2019 for bytes.
`learn_merges_by_definition` is the method in fifteen lines and recounts everything for each merge;
`learn_merges` gives the same merges by changing only the counts that a merge touches. Both follow
one rule, so their results are equal, ties included:

  - A pair counts once for every place where its two tokens stand side by side (three times in
    "aaaa"), weighted by how often the piece occurs in the corpus.
  - Of equally frequent pairs the one with the smaller (left id, right id) is merged, so older
    tokens go first and the order of the corpus does not matter.
  - Occurrences are replaced from left to right ("aaa" becomes "aa a").

No two merges make the same bytes. A stretch of whole tokens was never merged across its ends, so
the merges so far have turned it into what they make of its bytes alone; once "abc" has become a
token anywhere, "ab" "c" and "a" "bc" stand nowhere. Hence every token has one merge, and a pair
always ranks after the merges of its two tokens: applying the merges in order, as here, and always
applying the earliest possible merge, as encoding does, come to the same.

Read next: `bpe.py`, which encodes with the merges.
"""

import heapq
from array import array
from collections import Counter, defaultdict
from itertools import pairwise

_BORDER = -1  # between pieces
_INSIDE = -2  # not the first byte of a token any more


def learn_merges_by_definition(counts, n_merges, min_count=2):
    """The rule above, word for word; far too slow for more than a few kilobytes. As `learn_merges`."""
    pieces = {piece: list(piece) for piece in counts}
    merges = []
    while len(merges) < n_merges:
        pairs = Counter()
        for piece, ids in pieces.items():
            for pair in pairwise(ids):
                pairs[pair] += counts[piece]
        left, right = best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=(0, 0))
        if pairs[best] < min_count:
            break
        new = 256 + len(merges)
        for ids in pieces.values():
            for i in range(len(ids)):
                if ids[i : i + 2] == [left, right]:
                    ids[i : i + 2] = [new]
        merges.append(best)
    return merges


def learn_merges(counts, n_merges, min_count=2, progress=None):
    """The merges of byte-pair encoding, most frequent pair first.

    counts     {piece: occurrences}, pieces being bytes; no merge crosses the border of a piece
    n_merges   how many to learn
    min_count  stop when no pair occurs this often; a token seen once is not worth its row in the
               embedding
    progress   function (merges learnt, n_merges), called after each
    returns    list of (left id, right id); ids below 256 are bytes, merge number k makes the token
               256 + k. Shorter than n_merges if the pairs run out
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

    The pieces lie one after the other in one list of bytes, and a token is found from its borders
    alone: `tag[i]` is the token's id at its first and at its last byte. With `size[id]` its length,
    the neighbor to the right of the token at i has its id at i + size[tag[i]], and the one to the
    left at i - 1. A merge then writes three tags and moves nothing.
    """

    def __init__(self, counts, min_count):
        self.min_count = min_count
        self.size = [1] * 256
        self.tag, self.weight = [_BORDER], [0]
        for piece, count in counts.items():
            self.tag += piece
            self.tag.append(_BORDER)
            self.weight += [count] * (len(piece) + 1)
        # Where a pair stood when it arose, from left to right. Places where it has since been
        # broken up stay listed, and are recognized by their tags.
        self.count, self.places = defaultdict(int), defaultdict(lambda: array("q"))
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
            self._enter([pair])
        return None

    def merge(self, pair):
        """Replace `pair` by a new token wherever it stands, and correct the counts of the pairs
        around it.
        """
        left, right = pair
        new = len(self.size)
        self.size.append(self.size[left] + self.size[right])
        tag, weight, size, count, places = self.tag, self.weight, self.size, self.count, self.places
        length, born = size[new], set()
        for i in places.pop(pair):
            j = i + size[left]
            if tag[i] != left or tag[j] != right:
                continue  # merged with another neighbor meanwhile
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
            tag[i] = tag[end - 1] = new
        del count[pair]
        self._enter(born)
