"""Unigram: of all ways to cut a word into pieces, the most probable one.

A segmentation has the probability of its pieces, drawn independently: p(x_1) * ... * p(x_m) (Kudo
2018, eq. 1). T5, ALBERT, XLNet and mBART read text this way. BPE has one segmentation of a word;
this model has all of them with their probabilities. So it can also sample another one each time a
text is read, which trains a model on many spellings of a word (subword regularization). Read next:
lattice.py, how paths are found; unigram_train.py, where the probabilities come from.
"""

import heapq
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.errors import ConfigError, DataError
from tinylm.tokenizers import lattice
from tinylm.tokenizers.base import Tokenizer, numbered, utf8
from tinylm.tokenizers.pretokenize import count_pieces, pattern_named
from tinylm.tokenizers.stream import Source
from tinylm.tokenizers.unigram_train import train_unigram

# An unknown character scores this much below the least probable piece: known pieces are always
# preferred.
UNKNOWN_PENALTY = 10.0


def _bytes_of(piece):
    """What a piece decodes to; None for a special token."""
    if isinstance(piece, int):
        return bytes([piece])
    if piece is not None:
        return utf8(piece)
    return None


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

    def __init__(
        self,
        pieces: Sequence[int | str | None],
        scores: Sequence[float],
        special: dict[str, int] | None = None,
        unk: str | None = None,
        pattern: str = "gpt2",
        prefix: bool = False,
    ) -> None:
        special = special or {}
        self._check(pieces, scores, special, unk)
        token_bytes = [_bytes_of(piece) for piece in pieces]
        for name, token in special.items():
            token_bytes[token] = utf8(name)
        super().__init__(token_bytes, special)
        self.pieces = list(pieces)
        self.scores = [float(s) for s in scores]
        self.unk = unk
        self.prefix = bool(prefix)
        self.pattern = pattern_named(pattern)
        self.last_cut = self.pattern.last_cut
        # {piece: (token, log-probability)}, as `lattice.edges` takes it.
        self._known = {
            piece: (i, self.scores[i]) for i, piece in enumerate(pieces) if isinstance(piece, str)
        }
        self._longest = max(map(len, self._known), default=0)
        self._byte_ids = {piece: i for i, piece in enumerate(pieces) if isinstance(piece, int)}
        self._unknown = self._unknown_edge()
        self._cache = _WordCache(self)

    def _unknown_edge(self):
        """(token, log-probability) of a character that is no piece; token -1 stands for its bytes.

        None if there is neither an unknown token nor byte tokens.
        """
        floor = min((score for _, score in self._known.values()), default=0.0) - UNKNOWN_PENALTY
        if self.unk:
            return self.special[self.unk], floor
        if self._byte_ids:
            return -1, floor
        return None

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
                f"unigram: the unknown token {unk!r} must be a special token, and there must be no "
                "byte tokens, which leave nothing unknown"
            )
        if not np.isfinite(np.array(scores, np.float64)).all():
            raise DataError(
                "unigram: every score must be a finite number, the log-probability of its piece"
            )

    @classmethod
    def of_words(
        cls,
        texts: Iterable[str],
        characters: str = "",
        special: Sequence[str] = ("<|endoftext|>",),
        pattern: str = "gpt2",
    ) -> "UnigramTokenizer":
        """A vocabulary without training, for the small language of a generator: every word of the
        texts is a token, and every character; a text is cut into as few tokens as possible.

        texts       iterable of texts; a word is a piece of the split pattern, with its space
        characters  further characters that other words may be spelled with
        """
        texts = list(texts)
        words = count_pieces(texts, pattern_named(pattern))
        pieces = sorted({*words, *characters, *"".join(texts)})
        # All tokens are equally probable, so the most probable way has the fewest.
        scores = [-1.0] * len(pieces) + [0.0] * len(special)
        named = numbered(special, len(pieces))
        return cls([*pieces, *[None] * len(special)], scores, named, pattern=pattern)

    @classmethod
    def train(
        cls,
        texts: Source,
        vocab_size: int,
        special: Sequence[str] = ("<|endoftext|>",),
        pattern: str = "gpt2",
        coverage: float = 0.9995,
        longest: int = 16,
        progress: Callable[[int, int], None] | None = None,
    ) -> "UnigramTokenizer":
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
        # Ids in this order: pieces, most probable first; the 256 bytes; special tokens.
        pieces = [piece for piece, _ in learnt] + list(range(256)) + [None] * len(names)
        scores = [score for _, score in learnt] + [0.0] * (256 + len(names))
        return cls(pieces, scores, numbered(names, len(learnt) + 256), pattern=pattern)

    def encode_plain(self, text: str, position: int = 0) -> np.ndarray:
        """The ids of the most probable segmentation, (T,) int32; `position` is where the text
        begins in a longer one.
        """
        try:
            ids = bytearray().join(map(self._cache.__getitem__, self._words(text, position)))
        except UnicodeEncodeError:
            utf8(text, position)  # raises DataError with the position of the lone surrogate
            raise
        except DataError:
            self._raise_unknown(text, position)  # the same for the character without a piece
            raise
        return np.frombuffer(ids, np.int32)

    def _words(self, text, position=0):
        if self.prefix and position == 0 and text:  # only where the whole text begins
            text = " " + text
        return self.pattern.pieces(text)

    def _raise_unknown(self, text, position):
        """Raise DataError for the first character of `text` that is no piece."""
        for at, character in enumerate(text):
            if character not in self._known:
                raise DataError(
                    f"character {character!r} (U+{ord(character):04X}) at position "
                    f"{position + at} is no piece of this vocabulary, which has neither bytes nor "
                    "an unknown token: train on text that has it, or name one with unk='<unk>'"
                ) from None

    def _lattice(self, word):
        return lattice.edges(word, self._known, self._longest, self._unknown)

    def _ids(self, word, path):
        """The tokens of a path; an unknown character is its bytes, a stretch of them one `unk`."""
        ids = []
        for start, end, token in path:
            if token == -1:
                ids += [self._byte_ids[value] for value in word[start:end].encode("utf-8")]
            # An unknown token right after another one is left out.
            elif self.unk is None or token != self._unknown[0] or not ids or ids[-1] != token:
                ids.append(token)
        return ids

    def encode_word(self, word: str) -> list[int]:
        """The ids of one pre-token: its most probable segmentation, a list."""
        return self._ids(word, lattice.best(self._lattice(word))[1])

    def sample(self, text: str, rng: Random, power: float = 1.0) -> np.ndarray:
        """A segmentation drawn with probability proportional to probability**power (Kudo 2018,
        section 3.3).

        rng      tinylm.backend.Random
        power    0: all segmentations alike; 1: by their probabilities; large: nearly always the
                 best one, which `encode` returns
        returns  (T,) int32
        """
        ids = []
        for word in self._words(text):
            # All draws of a word in one call: a path has one edge a character at most.
            draws = iter(rng.uniform((len(word),), np.float64).tolist())
            ids += self._ids(word, lattice.sample(self._lattice(word), draws.__next__, power))
        return np.array(ids, np.int32)

    def n_best(self, text: str, n: int) -> list[tuple[float, np.ndarray]]:
        """The n most probable segmentations of a text, best first.

        returns  list of (log-probability, (T,) int32)
        """
        kept = [(0.0, [])]  # of the words so far
        for word in self._words(text):
            paths = lattice.n_best(self._lattice(word), n)
            ways = [(score, self._ids(word, path)) for score, path in paths]
            # Words are independent: log-probabilities add, and only the n best beginnings can
            # begin one of the n best wholes.
            both = ((a + b, ids + more) for a, ids in kept for b, more in ways)
            kept = heapq.nlargest(n, both, key=lambda way: way[0])
        return [(score, np.array(ids, np.int32)) for score, ids in kept]

    def log_probability(self, text: str) -> float:
        """log of the text's probability, summed over all its segmentations (Kudo 2018, eq. 3)."""
        return sum(lattice.forward(self._lattice(word))[-1] for word in self._words(text))

    def decode(self, ids: ArrayLike) -> str:
        """As `Tokenizer.decode`; the space that `prefix` put first is taken off."""
        text = super().decode(ids)
        if self.prefix:
            return text.removeprefix(" ")
        return text

    def to_dict(self) -> dict[str, Any]:
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
    def from_dict(cls, described: dict[str, Any]) -> "UnigramTokenizer":
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
    """The ids of words encoded before, as the bytes of int32: text repeats its words."""

    MOST, LONGEST = 1 << 17, 64  # words, characters of one: about 30 MB at the most

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
