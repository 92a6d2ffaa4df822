"""Byte-level byte-pair encoding: common words are one token, rare ones several, and no text is out
of reach.

Text is split into pieces (`pretokenize.py`); a piece starts as its bytes, and learnt merges join
neighbors, the merge that was learnt first going first. GPT-2, GPT-3, LLaMA 3 and RoBERTa read text
this way (Sennrich, Haddow & Birch 2016; Radford et al. 2019). Read next: `bpe_train.py`, where
merges come from; `gpt2.py`, GPT-2's own vocabulary.
"""

import heapq
from array import array
from itertools import pairwise

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.tokenizers.base import Tokenizer, numbered, utf8
from tinylm.tokenizers.bpe_train import learn_merges
from tinylm.tokenizers.pretokenize import count_pieces, pattern_named
from tinylm.tokenizers.printable import from_printable, to_printable

# Searching all neighbors for the next merge costs time in proportion to the square of the piece's
# length, but its inner loop is one call of `min`: for words it takes three quarters of the heap's
# time, from 40 bytes on more.
SHORT = 32


class BPETokenizer(Tokenizer):
    """Byte-level BPE with given merges; `train` learns them from text.

    tokens   list of V: the bytes of each id, all 256 single bytes among them; None where a special
             token stands
    merges   list of (left id, right id), first learnt first; the token that a merge makes must be
             in `tokens`
    special  {name: id} for the ids that are None in `tokens`
    pattern  name of the split pattern, a key of pretokenize.PATTERNS
    partial  True: some bytes may have no token, as in published vocabularies whose training text
             lacked them (21 in SmolLM2's, most of which are part of no UTF-8). They are left out of
             what is encoded, as those models' own tokenizers do; text with them does not come back
             whole
    raises   DataError if these do not fit together
    """

    kind = "bpe"

    def __init__(self, tokens, merges, special=None, pattern="gpt2", partial=False):
        special = special or {}
        if sorted(special.values()) != [i for i, token in enumerate(tokens) if token is None]:
            raise DataError(
                f"special tokens {special} do not fill the {tokens.count(None)} ids without bytes"
            )
        names = {token: name for name, token in special.items()}
        super().__init__(
            [utf8(names[i]) if token is None else token for i, token in enumerate(tokens)], special
        )
        self.pattern, self.last_cut = pattern_named(pattern), pattern_named(pattern).last_cut
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
        self._ranks, self._products = self._table_of(tokens)
        self._cache = _PieceCache(self)

    def _table_of(self, tokens):
        """{(left id, right id): rank}, and the id that the merge of each rank makes."""
        ranks, products = {}, []
        for rank, (left, right) in enumerate(self.merges):
            halves = [tokens[i] if 0 <= i < len(tokens) else None for i in (left, right)]
            if None in halves or halves[0] + halves[1] not in self._id_of:
                raise DataError(
                    f"merge {rank} joins the ids ({left}, {right}) = {halves}, but one of them or their "
                    "union is not in the vocabulary; the merges belong to another vocabulary"
                )
            if (left, right) in ranks:
                raise DataError(
                    f"merge {rank} of the ids ({left}, {right}) is merge {ranks[left, right]} already"
                )
            ranks[left, right] = rank
            products.append(self._id_of[halves[0] + halves[1]])
        return ranks, products

    @classmethod
    def train(
        cls,
        texts,
        vocab_size,
        special=("<|endoftext|>",),
        pattern="gpt2",
        min_count=2,
        progress=None,
    ):
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
                f"vocab_size {vocab_size} is too small: 256 bytes and {len(special)} special tokens "
                f"need {256 + len(special)}"
            )
        if min_count < 1:
            raise ConfigError(
                f"min_count is {min_count}; a pair must be seen at least once to be merged"
            )
        counts = count_pieces(texts, pattern_named(pattern), special)
        merges = learn_merges(
            {utf8(piece): n for piece, n in counts.items()}, n_merges, min_count, progress
        )
        tokens = [bytes([value]) for value in range(256)]
        for left, right in merges:
            tokens.append(tokens[left] + tokens[right])
        return cls(tokens + [None] * len(special), merges, numbered(special, len(tokens)), pattern)

    def encode_plain(self, text, position=0):
        """The ids of `text`, (T,) int32; `position` is where the text begins in a longer one, for
        error messages.
        """
        try:
            ids = bytearray().join(map(self._cache.__getitem__, self.pattern.pieces(text)))
        except UnicodeEncodeError:
            utf8(text, position)  # says where
            raise
        return np.frombuffer(ids, np.int32)

    def encode_piece(self, data):
        """The ids of one piece, a list, from its bytes: merges are applied, first learnt first, to
        the last.
        """
        known = data.translate(None, self._dropped)
        merge = merge_short if len(known) <= SHORT else merge_long
        return merge([self._byte_ids[value] for value in known], self._ranks, self._products)

    def to_dict(self):
        """A JSON-able description, for `from_dict`; bytes are written in the alphabet of
        `printable.py`.
        """
        special = set(self.special.values())
        written = [
            None if i in special else to_printable(token)
            for i, token in enumerate(self._token_bytes)
        ]
        partial = {"partial": True} if self._dropped else {}
        return {
            "kind": self.kind,
            "pattern": self.pattern.name,
            "special": self.special,
            "tokens": written,
            "merges": [list(pair) for pair in self.merges],
            **partial,
        }

    @classmethod
    def from_dict(cls, described):
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
    """The ids of pieces met before, as the bytes of int32: text repeats its words, so most pieces
    are looked up.
    """

    MOST = 1 << 17
    LONGEST = 64  # about 30 MB at the most; English of 10 MB has fewer distinct pieces

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


def merge_short(ids, ranks, products):
    """Apply merges to `ids`, always the one of lowest rank, leftmost first, until none is possible.

    ids       list of token ids; changed in place
    ranks     {(left id, right id): rank}
    products  list: the id that the merge of each rank makes
    returns   list of token ids
    """
    none = len(products)
    get = ranks.get
    order = [get(pair, none) for pair in pairwise(ids)]  # rank of each pair of neighbors
    while order and (rank := min(order)) < none:
        i = order.index(rank)
        ids[i : i + 2] = [products[rank]]
        del order[i]
        if i > 0:
            order[i - 1] = get((ids[i - 1], ids[i]), none)
        if i < len(order):
            order[i] = get((ids[i], ids[i + 1]), none)
    return ids


def merge_long(ids, ranks, products):
    """As `merge_short`, in time n log n: neighbors in a linked list, possible merges in a heap."""
    ids = [*ids, None]  # an end that merges with nothing
    n, get = len(ids) - 1, ranks.get
    after, before = list(range(1, n + 2)), list(range(-1, n))
    # Entries rank * n + place sort by rank, then from left to right.
    heap = [rank * n + i for i in range(n) if (rank := get((ids[i], ids[i + 1]))) is not None]
    heapq.heapify(heap)
    while heap:
        rank, i = divmod(heapq.heappop(heap), n)
        if ids[i] is None or get((ids[i], ids[after[i]])) != rank:
            continue  # one of the two has been merged meanwhile
        gone = after[i]
        ids[i], ids[gone] = products[rank], None
        after[i] = after[gone]
        if after[i] < n:
            before[after[i]] = i
        for left in (before[i], i):
            if left >= 0 and (rank := get((ids[left], ids[after[left]]))) is not None:
                heapq.heappush(heap, rank * n + left)
    return [token for token in ids if token is not None]
