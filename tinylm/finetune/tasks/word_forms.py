"""What a word looks like: the form of a word that was never seen still says much about its tag
(book section 1.4.4).

    parts       the word in small letters, its beginnings, its endings, and its shape ("Paris" is
                Xx, "7th" is dx); each part has a vector, and their sum stands for the word
                (Collobert et al. 2011; Huang et al. 2015)
    characters  filters slide over the characters, and each gives the largest value that it finds
                anywhere in the word: a convolution with max pooling (Ma & Hovy 2016)

Few labeled sentences hold few words, and pieces of a word are cut by frequency, not by grammar: a
tagger that reads pieces alone does not see that "-ing" ends a verb or that a capital begins a name.
Either vector is added to the state of the word. Read next: tagging.py, whose TokenClassifier adds
it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import Tensor, concatenate, pad, relu, where
from tinylm.backend import DType, Random
from tinylm.errors import DataError
from tinylm.nn import Embedding, Linear, Module
from tinylm.pretrain.batch import pad_rows

AFFIX = 4  # letters of the longest beginning and ending
# Rows of the table of characters that are no characters.
NO_CHARACTER, UNKNOWN, BEGIN, END = range(4)


def shape_of(word: str) -> str:
    """Which kinds of characters follow each other: "McDonald's" -> "XxXx'x".

    X stands for capitals, x for small letters, d for digits; other characters stand for themselves.
    A run of one kind is written once, and of long shapes six kinds are kept.
    """
    kinds = ""
    for character in word:
        kind = character
        if character.isupper():
            kind = "X"
        elif character.islower():
            kind = "x"
        elif character.isdigit():
            kind = "d"
        if not kinds.endswith(kind):
            kinds += kind
    return kinds[:6]


def parts_of(word: str) -> list[tuple[str, str]]:
    """The parts of a word, (kind, text) each: word, shape, AFFIX beginnings and AFFIX endings.

    Capitals stand in the shape alone, and all digits are 0 elsewhere. Of a short word the longer
    beginnings and endings are the word.
    """
    small = re.sub(r"\d", "0", word.lower())
    lengths = range(1, AFFIX + 1)
    return [
        ("word", small),
        ("shape", shape_of(word)),
        *((f"begins {n}", small[:n]) for n in lengths),
        *((f"ends {n}", small[-n:]) for n in lengths),
    ]


@dataclass(frozen=True)
class WordForms:
    """Rows of the tables of vectors that stand for parts and characters of words.

    parts       {(kind, text): row}; (kind, None) is an unknown part of that kind
    characters  {character: row}, behind the four rows that are no characters
    longest     characters that are read of a word; of a longer one both ends
    """

    parts: dict
    characters: dict
    longest: int = 20

    @classmethod
    def of(cls, words: Sequence[str], least: int = 2, longest: int = 20) -> "WordForms":
        """The forms that occur at least `least` times in the words, usually those of training.

        Rarer ones are unknown: so the vectors of unknown parts are trained too.
        """
        words = list(words)
        counts = Counter(part for word in words for part in parts_of(word))
        kinds = [(kind, None) for kind, _ in parts_of("a")]
        parts = [*kinds, *sorted(part for part, n in counts.items() if n >= least)]
        letters = Counter(character for word in words for character in word)
        characters = sorted(character for character, n in letters.items() if n >= least)
        return cls(
            {part: row for row, part in enumerate(parts)},
            {character: row for row, character in enumerate(characters, END + 1)},
            longest,
        )

    def rows(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the parts (m, N) and of the characters (m, C) of m words, integers.

        raises  DataError for words that are no text
        """
        if not all(isinstance(word, str) and word for word in words):
            raise DataError("WordForms: every word must be a text of one character or more")
        unknown = [self.parts[kind, None] for kind, _ in parts_of("a")]
        parts = [
            [self.parts.get(part, row) for part, row in zip(parts_of(word), unknown)]
            for word in words
        ]
        characters = [self._spelled(word) for word in words]
        longest = max(map(len, characters), default=1)
        padded, _ = pad_rows(characters, NO_CHARACTER, longest)
        return np.array(parts, np.int64).reshape(len(words), len(unknown)), padded

    def _spelled(self, word):
        """Rows of begin, the characters and end."""
        if len(word) > self.longest:
            front = (self.longest + 1) // 2
            word = word[:front] + word[len(word) - self.longest + front :]
        return [BEGIN, *(self.characters.get(c, UNKNOWN) for c in word), END]

    def batch(self, sentences: Sequence[Sequence[str]], m: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of sentences of at most m words each: parts (B, m, N), characters (B, m, C).

        Behind the words of a sentence, parts are those of row 0 and characters are none.
        """
        rows = [self.rows(words) for words in sentences]
        N = len(parts_of("a"))
        C = max((characters.shape[1] for _, characters in rows), default=1)
        parts = np.zeros((len(rows), m, N), np.int64)
        spelled = np.full((len(rows), m, C), NO_CHARACTER, np.int64)
        for i, (some, characters) in enumerate(rows):
            parts[i, : len(some)] = some
            spelled[i, : len(characters), : characters.shape[1]] = characters
        return parts, spelled


class PartVectors(Module):
    """The sum of the vectors of a word's parts.

    forms    WordForms
    d_model  D, the width of the states that they are added to
    std      of the initial vectors
    """

    def __init__(
        self,
        forms: WordForms,
        d_model: int,
        seed: int = 0,
        std: float = 0.1,
        dtype: DType = np.float32,
    ) -> None:
        rng = Random(seed, "parts of words")
        self.table = Embedding(len(forms.parts), d_model, rng, std, dtype)

    def __call__(self, parts: np.ndarray, characters: np.ndarray | None = None) -> Tensor:
        """Parts (B, m, N) -> (B, m, D)."""
        return self.table(parts).sum(axis=-2)  # (B, m, N, D) -> (B, m, D)


class CharacterCNN(Module):
    """A convolution over the characters of a word, and the largest value of each filter.

        y_f = max over i of relu(W_f [c_{i-1}; c_i; c_{i+1}] + b_f)

    y V + b is added to the state, with V (F, D).

    forms    WordForms
    d_model  D, the width of the states that it is added to
    width    E of the vectors c of characters;  filters  their number F
    """

    def __init__(
        self,
        forms: WordForms,
        d_model: int,
        seed: int = 0,
        width: int = 24,
        filters: int = 48,
        dtype: DType = np.float32,
    ) -> None:
        rng = Random(seed, "characters")
        rows = END + 1 + len(forms.characters)
        self.table = Embedding(rows, width, rng, width**-0.5, dtype)
        self.windows = Linear(3 * width, filters, rng, std=(3 * width) ** -0.5, dtype=dtype)
        self.out = Linear(filters, d_model, rng, std=filters**-0.5, dtype=dtype)

    def __call__(self, parts: np.ndarray, characters: np.ndarray) -> Tensor:
        """Characters (B, m, C) -> (B, m, D)."""
        held = (characters != NO_CHARACTER)[..., None]  # (B, m, C, 1)
        x = where(held, self.table(characters), 0.0)  # (B, m, C, E)
        # a place before the first and one behind the last, so that every character has neighbors
        x = pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))  # (B, m, C + 2, E)
        windows = concatenate([x[:, :, :-2], x[:, :, 1:-1], x[:, :, 2:]], axis=-1)
        found = relu(self.windows(windows))  # (B, m, C, 3 E) -> (B, m, C, F)
        # 0 is the least value of relu: places without a character never have the largest
        return self.out(where(held, found, 0.0).max(axis=2))  # (B, m, F) -> (B, m, D)
