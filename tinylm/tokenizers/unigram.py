"""Unigram: of all ways to cut a word into pieces the most probable one, pieces being drawn
independently.

Kudo 2018 (subword regularization); T5, ALBERT, XLNet and mBART read text this way. Where BPE knows
one segmentation, this model knows them all with their probabilities, so it can also draw another
one each time a text is read, which trains a model on many spellings of the same word. Read next:
lattice.py, how paths are found; unigram_train.py, where the probabilities come from.
"""

import heapq
from array import array

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.tokenizers import lattice
from tinylm.tokenizers.base import Tokenizer, numbered, utf8
from tinylm.tokenizers.pretokenize import count_pieces, pattern_named
from tinylm.tokenizers.unigram_train import train_unigram

# An unknown character scores this much below the least probable piece: known pieces are always
# preferred.
UNKNOWN_PENALTY = 10.0


class UnigramTokenizer(Tokenizer):
    """Pieces with log-probabilities.

    pieces   list of V: str is a piece; int 0-255 the token of that byte, for characters that are no
             piece; None a special token
    scores   list of V floats: log-probabilities; only those of str pieces are read
    special  {name: id} of the special tokens
    unk      name of the special token for a character without a piece, where there are no byte
             tokens
    pattern  name of the split pattern, a key of pretokenize.PATTERNS; no piece is matched across
             its borders
    prefix   put a space before the text (and take it off in `decode`), so that a word at the start
             of the text is the same piece as elsewhere: the usual setting of published models
    raises   DataError if these do not fit together
    """

    kind = "unigram"

    def __init__(self, pieces, scores, special=None, unk=None, pattern="gpt2", prefix=False):
        special = special or {}
        self._check(pieces, scores, special, unk)
        names = {token: name for name, token in special.items()}
        super().__init__(
            [
                utf8(names[i])
                if piece is None
                else bytes([piece])
                if isinstance(piece, int)
                else utf8(piece)
                for i, piece in enumerate(pieces)
            ],
            special,
        )
        self.pieces = list(pieces)
        self.scores = [float(s) for s in scores]
        self.unk = unk
        self.prefix = bool(prefix)
        self.pattern, self.last_cut = pattern_named(pattern), pattern_named(pattern).last_cut
        self._known = {
            piece: (i, self.scores[i]) for i, piece in enumerate(pieces) if isinstance(piece, str)
        }
        self._longest = max(map(len, self._known), default=0)
        self._byte_ids = {piece: i for i, piece in enumerate(pieces) if isinstance(piece, int)}
        floor = min((score for _, score in self._known.values()), default=0.0) - UNKNOWN_PENALTY
        self._unknown = (special[unk], floor) if unk else (-1, floor) if self._byte_ids else None
        self._cache = _WordCache(self)

    @staticmethod
    def _check(pieces, scores, special, unk):
        if len(pieces) != len(scores):
            raise DataError(f"unigram: {len(pieces)} pieces, but {len(scores)} scores")
        if sorted(special.values()) != [i for i, piece in enumerate(pieces) if piece is None]:
            raise DataError(
                f"special tokens {special} do not fill the {pieces.count(None)} ids without a piece"
            )
        given = [piece for piece in pieces if piece is not None]
        if len(set(given)) < len(given) or "" in given:
            raise DataError(
                "unigram: a piece is empty or stands twice in the vocabulary; each may stand once"
            )
        values = {piece for piece in given if isinstance(piece, int)}
        if values and values != set(range(256)):
            raise DataError(
                f"unigram: {len(values)} of the 256 bytes have a token; all of them must, or none"
            )
        if unk is not None and (unk not in special or values):
            raise DataError(
                f"unigram: the unknown token {unk!r} must be a special token, and there must be no byte "
                "tokens, which leave nothing unknown"
            )
        if not np.isfinite(np.array(scores, np.float64)).all():
            raise DataError(
                "unigram: every score must be a finite number, the log-probability of its piece"
            )

    @classmethod
    def train(
        cls,
        texts,
        vocab_size,
        special=("<|endoftext|>",),
        pattern="gpt2",
        coverage=0.9995,
        longest=16,
        progress=None,
    ):
        """Learn a vocabulary from text: pieces by EM and pruning, then 256 bytes, then the special
        tokens.

        texts       a text, a Path, an open file, or an iterable of texts, which need not fit in
                    memory
        vocab_size  V wanted; smaller if the text has too few substrings that occur twice
        coverage    part of the characters of the text that must be pieces; the rarest ones are left
                    to the bytes
        longest     characters of the longest piece
        progress    function (pieces left, pieces wanted)
        raises      ConfigError if vocab_size has no room for the bytes, the special tokens and the
                    characters
        """
        names = list(numbered(special, 0))
        counts = count_pieces(texts, pattern_named(pattern), names)
        room = vocab_size - 256 - len(names)
        if room < 1:
            raise ConfigError(
                f"vocab_size {vocab_size} is too small: 256 bytes and {len(names)} special tokens "
                f"leave no room for pieces"
            )
        learnt = train_unigram(counts, room, coverage, longest, progress=progress)
        pieces = [piece for piece, _ in learnt] + list(range(256)) + [None] * len(names)
        scores = [score for _, score in learnt] + [0.0] * (256 + len(names))
        return cls(pieces, scores, numbered(names, len(learnt) + 256), pattern=pattern)

    def encode_plain(self, text, position=0):
        """The ids of the most probable segmentation, (T,) int32; `position` is where the text
        begins in a longer one.
        """
        try:
            return np.frombuffer(
                bytearray().join(map(self._cache.__getitem__, self._words(text, position))),
                np.int32,
            )
        except UnicodeEncodeError:
            utf8(text, position)  # says where
            raise
        except DataError:
            self._refuse(text, position)  # likewise
            raise

    def _words(self, text, position=0):
        return self.pattern.pieces(" " + text if self.prefix and position == 0 and text else text)

    def _refuse(self, text, position):
        for at, character in enumerate(text):
            if character not in self._known:
                raise DataError(
                    f"character {character!r} (U+{ord(character):04X}) at position {position + at} is no piece "
                    "of this vocabulary, which has neither bytes nor an unknown token: train on text that "
                    "has it, or name one with unk='<unk>'"
                ) from None

    def _lattice(self, word):
        return lattice.edges(word, self._known, self._longest, self._unknown)

    def _ids(self, word, path):
        """The tokens of a path: an unknown stretch becomes its bytes, or one unknown token for all
        of it.
        """
        ids = []
        for start, end, token in path:
            if token == -1:
                ids += [self._byte_ids[value] for value in word[start:end].encode("utf-8")]
            elif self.unk is None or token != self._unknown[0] or not ids or ids[-1] != token:
                ids.append(token)
        return ids

    def encode_word(self, word):
        """The ids of one pre-token: its most probable segmentation, a list."""
        return self._ids(word, lattice.best(self._lattice(word))[1])

    def sample(self, text, rng, power=1.0):
        """A segmentation drawn with probability proportional to probability**power (Kudo 2018,
        section 3.3).

        rng      tinylm.backend.Random
        power    0: all segmentations alike; 1: as the model believes; large: nearly always `encode`
        returns  (T,) int32
        """
        ids = []
        for word in self._words(text):
            draws = iter(
                rng.uniform((len(word),), np.float64).tolist()
            )  # a path has one edge per character at most
            ids += self._ids(word, lattice.sample(self._lattice(word), draws.__next__, power))
        return np.array(ids, np.int32)

    def n_best(self, text, n):
        """The n most probable segmentations of a text, best first: list of (log-probability, (T,)
        int32).
        """
        kept = [(0.0, [])]
        for word in self._words(text):
            ways = [
                (score, self._ids(word, path))
                for score, path in lattice.n_best(self._lattice(word), n)
            ]
            kept = heapq.nlargest(
                n,
                ((a + b, ids + more) for a, ids in kept for b, more in ways),
                key=lambda way: way[0],
            )
        return [(score, np.array(ids, np.int32)) for score, ids in kept]

    def log_probability(self, text):
        """log of the probability of the text: summed over all its segmentations (Kudo 2018, eq. 3)."""
        return sum(lattice.forward(self._lattice(word))[-1] for word in self._words(text))

    def decode(self, ids):
        """As `Tokenizer.decode`; the space that `prefix` put first is taken off."""
        text = super().decode(ids)
        if self.prefix:
            return text.removeprefix(" ")
        return text

    def to_dict(self):
        """A JSON-able description, for `from_dict`."""
        return {
            "kind": self.kind,
            "pattern": self.pattern.name,
            "prefix": self.prefix,
            "special": self.special,
            "unk": self.unk,
            "pieces": self.pieces,
            "scores": self.scores,
        }

    @classmethod
    def from_dict(cls, described):
        """The tokenizer that `to_dict` described."""
        if not all(piece is None or isinstance(piece, (str, int)) for piece in described["pieces"]):
            raise DataError("a piece is neither text, byte nor special")
        if not isinstance(described["prefix"], bool):
            raise DataError(f"prefix is {described['prefix']!r}, neither true nor false")
        return cls(
            described["pieces"],
            described["scores"],
            described["special"],
            described["unk"],
            described["pattern"],
            described["prefix"],
        )


class _WordCache(dict):
    """The ids of words met before, as the bytes of int32: text repeats its words, so most are
    looked up.
    """

    MOST, LONGEST = 1 << 17, 64  # about 30 MB at the most

    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, word):
        ids = array("i", self.tokenizer.encode_word(word)).tobytes()
        if len(word) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
            self[word] = ids
        return ids
