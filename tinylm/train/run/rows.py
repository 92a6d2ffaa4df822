"""The rows that a run trains on and validates on: windows of a text, or pairs of translations.

The trainer calls `batch(step, start, stop)`, a validation `batches(batch_size)`. A batch is a pure
function of step and seed, so that a resumed run reads what it would have read. Read next:
data/batches/windows.py.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tinylm.backend import Random
from tinylm.data import EvenWindows, RandomWindows
from tinylm.data.batches.tokenfile import TokenFile
from tinylm.errors import DataError
from tinylm.pretrain.discriminative.pairs import truncate_pair
from tinylm.pretrain.special import Special

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer
    from tinylm.train.run.config import TrainConfig


LEAST_ROWS = 1024  # a batch may have as many of any text, however short


class TwoStages:
    """Short rows in the first steps, full ones after: attention costs T^2, and most can be learnt
    from near tokens (BERT: 90 % of the steps with 128 tokens, then 512; Devlin et al. 2019,
    appendix A.2; book section 1.3.1).

    short, full  rows with batch(step, start, stop)
    steps        how many steps are short, counted from the start of the run
    """

    def __init__(self, short: RandomWindows, full: RandomWindows, steps: int) -> None:
        self.short, self.full, self.steps = short, full, steps

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The batch of a step, of short or of full rows."""
        if step < self.steps:
            return self.short.batch(step, start, stop)
        return self.full.batch(step, start, stop)


class WholeWindows(EvenWindows):
    """EvenWindows of one length: a shorter rest at the end is dropped, unless it is the whole text.

    For objectives that a few tokens would be too few for.
    """

    def __init__(self, tokens: np.ndarray, length: int) -> None:
        super().__init__(tokens, length)
        if self.whole:
            self.left_over = 0


class PairTokenizer:
    """A tokenizer of lines `sentence<TAB>translation`: ids of the one, [SEP], ids of the other.

    data.prepare writes its documents, one a pair.

    tokenizer   of both languages
    sep         id of [SEP];  vocab_size  with the special ids
    """

    def __init__(self, tokenizer: "Tokenizer", sep: int, vocab_size: int) -> None:
        self.tokenizer, self.sep, self.vocab_size = tokenizer, sep, vocab_size

    def encode_stream(self, chunks: Iterable[str]) -> Iterator[np.ndarray]:
        """Chunks of one line -> (t,) integer arrays."""
        # [SEP] is an id behind the tokenizer's, which no text can encode to: it marks the middle.
        first, second = "".join(chunks).split("\t")
        yield self.tokenizer.encode(first)
        yield np.array([self.sep])
        yield self.tokenizer.encode(second)


class RandomPairs:
    """Batches of pairs drawn with replacement, as RandomWindows draws windows.

    file        TokenFile of documents from a PairTokenizer
    sep         id between the two
    room        tokens of both together; longer pairs are shortened
    """

    def __init__(
        self, file: TokenFile, sep: int, room: int, batch_size: int, seed: int = 0
    ) -> None:
        self.documents = file.documents
        self.sep = sep
        self.room = room
        self.batch_size = batch_size
        self.seed = seed
        _check_some(file)

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> list:
        """Rows start .. stop-1 of the batch of `step`: a list of (first, second)."""
        if stop is None:
            stop = self.batch_size
        # All rows before `stop` are drawn, so that row i is the same for any number of workers.
        rng = Random(self.seed, "pairs", int(step))
        drawn = rng.integers(0, len(self.documents), (stop,))[start:]
        return [split_pair(self.documents[int(i)], self.sep, self.room) for i in drawn]


class EvenPairs:
    """All pairs of a file, in order."""

    def __init__(self, file: TokenFile, sep: int, room: int) -> None:
        self.documents, self.sep, self.room = file.documents, sep, room
        _check_some(file)

    def batches(self, batch_size: int) -> Iterator[list]:
        """Yield lists of at most batch_size pairs."""
        for first in range(0, len(self.documents), batch_size):
            last = min(first + batch_size, len(self.documents))
            yield [split_pair(self.documents[i], self.sep, self.room) for i in range(first, last)]


def _check_some(file):
    if not len(file):
        raise DataError(
            f"{file.path.name} holds no pair: give more lines, or another --val-fraction"
        )


def split_pair(ids: np.ndarray, sep: int, room: int) -> tuple[list[int], ...]:
    """A document of PairTokenizer as (first, second), shortened to `room` tokens together."""
    cut = int(np.argmax(ids == sep))  # the first [SEP]
    return truncate_pair(ids[:cut].tolist(), ids[cut + 1 :].tolist(), room)


def training_rows(
    config: "TrainConfig", file: TokenFile, special: Special
) -> RandomWindows | RandomPairs | TwoStages:
    """The rows that a run trains on.

    config   TrainConfig
    file     TokenFile of the text
    special  Special, whose [SEP] stands between the two parts of a pair
    returns  rows with batch(step, start, stop)
    raises   DataError if the text is too short, or a batch has more rows than the text has tokens
    """
    if config.batch_size > max(len(file.tokens), LEAST_ROWS):
        raise DataError(
            f"batch_size {config.batch_size}: so many rows would repeat a text of "
            f"{len(file.tokens)} tokens within a batch: choose a smaller batch, or give "
            "a longer text"
        )

    def drawn(tokens):
        if config.recipe.pairs:
            return RandomPairs(file, special.sep, tokens, config.batch_size, config.seed)
        length = _window_length(tokens, config.recipe)
        return RandomWindows(file.tokens, length, config.batch_size, config.seed)

    # Both stages draw from the same seed, each for the steps that are its own.
    full = drawn(config.context)
    if config.short_steps:
        return TwoStages(drawn(config.short_context), full, config.short_steps)
    return full


def validation_rows(
    config: "TrainConfig", file: TokenFile, special: Special
) -> EvenWindows | WholeWindows | EvenPairs:
    """The rows that a run is scored on, with batches(batch_size); arguments as in training_rows."""
    recipe = config.recipe
    if recipe.pairs:
        return EvenPairs(file, special.sep, config.context)
    windows = EvenWindows if recipe.whole_text else WholeWindows
    return windows(file.tokens, _window_length(config.context, recipe))


def _window_length(tokens, recipe):
    """The `length` of windows for a model that reads `tokens` tokens: windows hold one token more
    than their length, the last target, which only shifted rows need.
    """
    if recipe.shifted:
        return tokens
    return tokens - 1
