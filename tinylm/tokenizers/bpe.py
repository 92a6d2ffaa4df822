"""Byte-pair encoding (BPE): a common word is one token, a rare one several, and no text is lost.

Learning starts from the 256 bytes and merges the most frequent pair of neighboring tokens into a
new token, again and again. Encoding repeats the learnt merges on new text, the earliest first.
Gage 1994; Sennrich, Haddow & Birch 2016 for words; Radford et al. 2019 for bytes; GPT-2, GPT-3,
LLaMA 3 and RoBERTa read text this way. In the order of this file:

    count_pairs, merge_pair            one step
    learn_merges_by_definition         learning: count, merge the most frequent, repeat
    encode_by_definition               encoding: merge the earliest learnt, repeat
    merge_short, merge_long            encoding again, fast; tests hold them equal
    BPETokenizer                       pieces of text, special tokens, files

Read next: `bpe_train.py`, learning fast; `pretokenize.py`, the pieces inside which merges happen;
`gpt2.py`, GPT-2's own vocabulary.
"""

import heapq
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.tokenizers.base import Tokenizer, numbered, utf8
from tinylm.tokenizers.bpe_train import learn_merges
from tinylm.tokenizers.pretokenize import count_pieces, pattern_named
from tinylm.tokenizers.printable import from_printable, to_printable
from tinylm.tokenizers.stream import Source

# Searching all neighbors for the next merge costs time in proportion to the square of the piece's
# length, but its inner loop is one call of `min`: for words it takes three quarters of the heap's
# time, from 40 bytes on more.
SHORT = 32


def count_pairs(ids: Sequence[int]) -> dict[tuple[int, int], int]:
    """How often each pair of neighboring tokens occurs; places may overlap.

    >>> count_pairs([1, 2, 1, 2, 2, 2])
    {(1, 2): 2, (2, 1): 1, (2, 2): 2}
    """
    return dict(Counter(pairwise(ids)))


def merge_pair(ids: Sequence[int], pair: tuple[int, ...], new: int) -> list[int]:
    """The tokens after `pair` has become the token `new` wherever it stands, from left to right.

    >>> merge_pair([1, 1, 1, 2], (1, 1), new=9)
    [9, 1, 2]
    """
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def learn_merges_by_definition(
    counts: dict[bytes, int], n_merges: int, min_count: int = 2
) -> list[tuple[int, int]]:
    """The merges of byte-pair encoding, recounted from scratch each time: for a few kilobytes.

    counts     {piece: occurrences}, pieces being bytes; no merge crosses the border of a piece
    n_merges   how many to learn; fewer are found if the pairs run out
    min_count  stop when no pair occurs this often
    returns    list of (left id, right id); ids below 256 are bytes, merge k makes the token 256 + k

    Twin of `bpe_train.learn_merges`. Gage's example, merged three times:

    >>> merges = learn_merges_by_definition({b"aaabdaaabac": 1}, 3)
    >>> merges
    [(97, 97), (97, 98), (256, 257)]
    >>> tokens_of(merges)[256:]
    [b'aa', b'ab', b'aaab']
    """
    ids_of = {piece: list(piece) for piece in counts}  # every piece starts as its bytes
    merges = []
    while len(merges) < n_merges:
        pairs = Counter()
        for piece, ids in ids_of.items():
            for pair, times in count_pairs(ids).items():
                pairs[pair] += counts[piece] * times
        if not pairs:
            break
        # The most frequent pair; of equals the smaller (left id, right id), so that older tokens
        # go first and the order of the corpus does not matter.
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < min_count:
            break
        new = 256 + len(merges)
        ids_of = {piece: merge_pair(ids, best, new) for piece, ids in ids_of.items()}
        merges.append(best)
    return merges


def tokens_of(merges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes of every token that learnt merges lead to, in the order of their ids."""
    tokens = [bytes([value]) for value in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return tokens


def encode_by_definition(piece: bytes, merges: Sequence[tuple[int, int]]) -> list[int]:
    """The token ids of one piece: merge the pair that was learnt first, until no pair was learnt.

    piece    bytes
    merges   list of (left id, right id), as `learn_merges_by_definition` returns it
    returns  list of token ids

    Twin of `BPETokenizer.encode_piece`.

    >>> merges = [(97, 97), (97, 98), (256, 257)]  # aa, ab, aa+ab
    >>> encode_by_definition(b"aaabab", merges)
    [258, 257]
    >>> b"".join(tokens_of(merges)[i] for i in [258, 257])  # decoding is looking up
    b'aaabab'
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    ids = list(piece)
    while learnt := [pair for pair in count_pairs(ids) if pair in ranks]:
        first = min(learnt, key=ranks.get)
        ids = merge_pair(ids, first, 256 + ranks[first])
    return ids


def merge_short(
    ids: list[int], ranks: dict[tuple[int, int], int], products: Sequence[int]
) -> list[int]:
    """Apply merges to `ids`, always the one of lowest rank, leftmost first, until none is possible.

    ids       list of token ids; changed in place
    ranks     {(left id, right id): rank}
    products  list: the id that the merge of each rank makes
    returns   list of token ids
    """
    none = len(products)  # the rank of a pair that no merge joins: after all others
    get = ranks.get
    order = [get(pair, none) for pair in pairwise(ids)]  # order[i]: rank of (ids[i], ids[i + 1])
    while order and (rank := min(order)) < none:
        i = order.index(rank)
        ids[i : i + 2] = [products[rank]]
        # One pair is gone, and the pairs on its left and right have a new partner: only their
        # ranks are looked up again.
        del order[i]
        if i > 0:
            order[i - 1] = get((ids[i - 1], ids[i]), none)
        if i < len(order):
            order[i] = get((ids[i], ids[i + 1]), none)
    return ids


def merge_steps(ids: list, ranks: dict, products: list) -> list[tuple]:
    """The merges of `merge_short`, one by one: list of (ids before, ranks, place).

    arguments  as of `merge_short`, which this follows; `ids` stays as it is
    returns    ranks of the pairs of neighbors, None without a merge; the pair at `place` is merged
    """
    steps = []
    while learnt := [rank for pair in pairwise(ids) if (rank := ranks.get(pair)) is not None]:
        order = [ranks.get(pair) for pair in pairwise(ids)]
        place = order.index(min(learnt))
        steps.append((ids, order, place))
        ids = [*ids[:place], products[order[place]], *ids[place + 2 :]]
    return steps


def merge_long(
    ids: list[int], ranks: dict[tuple[int, int], int], products: Sequence[int]
) -> list[int]:
    """As `merge_short`, in time n log n: neighbors in a linked list, possible merges in a heap."""
    n = len(ids)
    ids = [*ids, None]  # an end that merges with nothing
    get = ranks.get
    # The tokens that are left form a linked list: `after[i]` and `before[i]` are the places of the
    # neighbors of the token at i. A merge keeps the left place and empties the right one.
    after = list(range(1, n + 2))
    before = list(range(-1, n))
    # Entries rank * n + place sort by rank, then from left to right.
    heap = [rank * n + i for i in range(n) if (rank := get((ids[i], ids[i + 1]))) is not None]
    heapq.heapify(heap)
    while heap:
        rank, i = divmod(heapq.heappop(heap), n)
        if ids[i] is None or get((ids[i], ids[after[i]])) != rank:
            continue  # one of the two has been merged meanwhile
        gone = after[i]
        ids[i] = products[rank]
        ids[gone] = None
        after[i] = after[gone]
        if after[i] < n:
            before[after[i]] = i
        # The new token makes two new pairs: with its left neighbor, and with its right one.
        for left in (before[i], i):
            if left >= 0 and (rank := get((ids[left], ids[after[left]]))) is not None:
                heapq.heappush(heap, rank * n + left)
    return [token for token in ids if token is not None]


class BPETokenizer(Tokenizer):
    """Byte-level BPE with given merges; `train` learns them from text.

    The text is split into pieces by `pattern`, and each piece is encoded by itself.

    tokens   list of V: the bytes of each id, all 256 single bytes among them; None where a special
             token stands
    merges   list of (left id, right id), first learnt first; the token that a merge makes must be
             in `tokens`
    special  {name: id} for the ids that are None in `tokens`
    pattern  name of the split pattern, a key of pretokenize.PATTERNS
    partial  True: some bytes may have no token, as in published vocabularies whose training text
             lacked them (21 in SmolLM2's, most of which occur in no UTF-8). Encoding drops them, as
             those models' own tokenizers do, so text with such bytes is not decoded in full
    raises   DataError if these do not fit together
    """

    kind = "bpe"

    def __init__(
        self,
        tokens: Sequence[bytes | None],
        merges: Sequence[tuple[int, int]],
        special: dict[str, int] | None = None,
        pattern: str = "gpt2",
        partial: bool = False,
    ) -> None:
        special = special or {}
        if sorted(special.values()) != [i for i, token in enumerate(tokens) if token is None]:
            raise DataError(
                f"special tokens {special} do not fill the {tokens.count(None)} ids without bytes"
            )
        token_bytes = list(tokens)  # as `tokens`, with the names of the special tokens filled in
        for name, token in special.items():
            token_bytes[token] = utf8(name)
        super().__init__(token_bytes, special)
        self.pattern = pattern_named(pattern)
        self.last_cut = self.pattern.last_cut
        self.merges = list(merges)
        self._id_of = {token: i for i, token in enumerate(tokens) if token is not None}
        if len(self._id_of) + len(special) < len(tokens):
            raise DataError("vocabulary has two ids for the same bytes")
        lacking = [value for value in range(256) if bytes([value]) not in self._id_of]
        if lacking and not partial:
            raise DataError(
                f"vocabulary lacks {len(lacking)} of the 256 bytes, the first 0x{lacking[0]:02x}; "
                "byte-level BPE needs them all"
            )
        self._byte_ids = [self._id_of.get(bytes([value])) for value in range(256)]
        self._dropped = bytes(lacking)
        self._ranks, self._products = self._merge_table(tokens)
        self._cache = _PieceCache(self)

    def _merge_table(self, tokens):
        """{(left id, right id): rank}, and the id that the merge of each rank makes."""
        ranks, products = {}, []
        for rank, (left, right) in enumerate(self.merges):
            halves = [tokens[i] if 0 <= i < len(tokens) else None for i in (left, right)]
            # Looked up by the bytes: a published vocabulary numbers its tokens as it likes.
            if None in halves or halves[0] + halves[1] not in self._id_of:
                raise DataError(
                    f"merge {rank} joins the ids ({left}, {right}) = {halves}, but one of them or "
                    "their union is not in the vocabulary; the merges belong to another vocabulary"
                )
            if (left, right) in ranks:
                raise DataError(
                    f"merge {rank} of the ids ({left}, {right}) is merge "
                    f"{ranks[left, right]} already"
                )
            ranks[left, right] = rank
            products.append(self._id_of[halves[0] + halves[1]])
        return ranks, products

    @classmethod
    def train(
        cls,
        texts: Source,
        vocab_size: int,
        special: Sequence[str] = ("<|endoftext|>",),
        pattern: str = "gpt2",
        min_count: int = 2,
        progress: Callable[[int, int], None] | None = None,
    ) -> "BPETokenizer":
        """Learn a vocabulary from text: 256 bytes, then merges, then the special tokens.

        texts       a text, a Path, an open file, or an iterable of texts, which need not fit in
                    memory
        vocab_size  V wanted; the vocabulary is smaller if the pairs of the text run out
        special     names of special tokens; the text is split at them, and they take part in no
                    merge
        pattern     name of the split pattern
        min_count   no pair seen less often is merged
        progress    function (merges learnt, merges wanted)
        raises      ConfigError if vocab_size has no room for the bytes and the special tokens, or
                    min_count < 1
        """
        special = list(numbered(special, 0))
        n_merges = vocab_size - 256 - len(special)
        if n_merges < 0:
            raise ConfigError(
                f"vocab_size {vocab_size} is too small: 256 bytes and {len(special)} special "
                f"tokens need {256 + len(special)}"
            )
        if min_count < 1:
            raise ConfigError(
                f"min_count is {min_count}; a pair must be seen at least once to be merged"
            )
        counts = count_pieces(texts, pattern_named(pattern), special)
        merges = learn_merges(
            {utf8(piece): n for piece, n in counts.items()}, n_merges, min_count, progress
        )
        tokens = tokens_of(merges)
        return cls(tokens + [None] * len(special), merges, numbered(special, len(tokens)), pattern)

    def encode_plain(self, text: str, position: int = 0) -> np.ndarray:
        """The ids of `text`, (T,) int32; `position` is where the text begins in a longer one, for
        error messages.
        """
        try:
            ids = bytearray().join(map(self._cache.__getitem__, self.pattern.pieces(text)))
        except UnicodeEncodeError:
            utf8(text, position)  # raises DataError with the position of the lone surrogate
            raise
        return np.frombuffer(ids, np.int32)

    def encode_piece(self, data: bytes) -> list[int]:
        """The ids of one piece, a list, from its bytes. Twin: `encode_by_definition`."""
        ids = self._ids_of_bytes(data)
        if len(ids) <= SHORT:
            return merge_short(ids, self._ranks, self._products)
        return merge_long(ids, self._ranks, self._products)

    def steps_of_piece(self, data: bytes) -> list[tuple]:
        """How a piece is encoded, merge by merge: `merge_steps` of its bytes."""
        return merge_steps(self._ids_of_bytes(data), self._ranks, self._products)

    def _ids_of_bytes(self, data):
        known = data.translate(None, self._dropped)  # without the bytes that have no token
        return [self._byte_ids[value] for value in known]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, for `from_dict`; bytes are written in the alphabet of
        `printable.py`.
        """
        written = [to_printable(token) for token in self._token_bytes]
        for i in self.special.values():
            written[i] = None
        described = {
            "kind": self.kind,
            "pattern": self.pattern.name,
            "special": self.special,
            "tokens": written,
            "merges": [list(pair) for pair in self.merges],
        }
        if self._dropped:
            described["partial"] = True
        return described

    @classmethod
    def from_dict(cls, described: dict[str, Any]) -> "BPETokenizer":
        """The tokenizer that `to_dict` described."""
        tokens = [None if token is None else from_printable(token) for token in described["tokens"]]
        merges = [(left, right) for left, right in described["merges"]]
        return cls(
            tokens,
            merges,
            described["special"],
            described["pattern"],
            described.get("partial") is True,
        )


class _PieceCache(dict):
    """The ids of pieces encoded before, as the bytes of int32: text repeats its words, so most
    pieces are looked up.
    """

    MOST = 1 << 17  # pieces; English of 10 MB has fewer distinct ones
    LONGEST = 64  # characters of a piece that is kept; about 30 MB at the most with MOST

    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, piece):
        ids = array("i", self.tokenizer.encode_piece(piece.encode("utf-8"))).tobytes()
        if len(piece) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
            self[piece] = ids
        return ids
