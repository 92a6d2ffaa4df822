"""A batch: the inputs of a model, and the targets that its outputs are scored against.

Rows are independent, so a batch may be cut anywhere between them: into micro-batches, or among
workers. Targets that do not count (padding, positions that are not masked) are IGNORE. Read next:
language/causal.py; score.py.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import Random, to_device
from tinylm.errors import DtypeError, ShapeError

IGNORE = -100  # the usual marker for "nothing to predict here"; never a token id


Self = TypeVar("Self", bound="Batch")


@dataclasses.dataclass(frozen=True)
class Batch:
    """Arrays with one row per sequence; some objectives add fields.

    inputs   (B, T) integers, what the model reads
    targets  (B, T) integers, what it should predict; IGNORE where nothing counts
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def tokens(self) -> int:
        """The number of targets that count: the loss is a mean over them."""
        counts = vars(self).get("_counts")
        if counts is not None:  # on a GPU: counted before it was moved there
            return int(counts.sum())
        return int(np.count_nonzero(self.targets != IGNORE))

    @property
    def places(self) -> np.ndarray:
        """Where a target counts, in the order of targets.reshape(-1): (n,) integers."""
        places = vars(self).get("_places")
        if places is not None:  # on a GPU: found before it was moved there
            return places
        return np.flatnonzero(self.targets.reshape(-1) != IGNORE)

    def rows(self, start: int, stop: int) -> "Batch":
        """Rows start .. stop-1 as a Batch; views, not copies."""
        part = self._map(lambda array: array[start:stop])
        if "_counts" in vars(self):
            counts = vars(self)["_counts"]
            before, n = int(counts[:start].sum()), int(counts[start:stop].sum())
            places = vars(self)["_places"][before : before + n]
            if start:
                places = places - start * (self.targets.size // len(self))
            vars(part).update(_counts=counts[start:stop], _places=places)
        return part

    def to(self: Self, device: str) -> Self:
        """The batch on a device."""
        moved = self._map(lambda array: to_device(array, device))
        if type(self.targets) is np.ndarray and moved.targets is not self.targets:
            # (B,): targets of each row that count, and where they stand. Asked later, the device
            # would have to answer.
            counts = (self.targets != IGNORE).reshape(len(self.targets), -1).sum(axis=1)
            places = to_device(self.places, device)
            vars(moved).update(_counts=counts, _places=places)
        return moved

    def _map(self, change):
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return dataclasses.replace(
            self, **{name: change(v) for name, v in values.items() if v is not None}
        )


class Objective(Protocol):
    """What a trainer needs of an objective."""

    def make_batch(self, sequences: np.ndarray, rng: Random) -> Batch:
        """Rows of ids -> the Batch to learn from; the same for the same stream."""

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss, and what a log says of it."""


@dataclasses.dataclass(frozen=True)
class TokenBatch(Batch):
    """For a single stack that predicts at the positions it reads: an encoder, or a decoder with a
    mask of its own.

    mask       bool, True = visible: (B, T) which positions hold a token, or (B, T, T) [b, i, j]
               whether i sees j; None: all see all
    segments, languages, positions, order  (B, T) integers, or None
    """

    mask: np.ndarray | None = None
    segments: np.ndarray | None = None
    languages: np.ndarray | None = None
    positions: np.ndarray | None = None
    order: np.ndarray | None = None

    @property
    def options(self) -> dict[str, np.ndarray]:
        """The model's keyword arguments: the fields that are not None, by name."""
        fields = ("mask", "segments", "languages", "positions", "order")
        return {name: getattr(self, name) for name in fields if getattr(self, name) is not None}


@dataclasses.dataclass(frozen=True)
class RoutedBatch(Batch):
    """For a model with experts whose load is evened out.

    loads    (B, L, E), in every row how many choices of the whole batch fall on each expert of each
             layer of experts (train/whole_batch.py); None: the loss counts the rows at hand
    """

    loads: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Seq2SeqBatch(Batch):
    """For an encoder-decoder: it reads a source (B, S) and predicts a target (B, T).

    decoder  (B, T) integers, what the decoder reads: the targets, one place to the right
    mask     (B, S) bool, True where the source holds a token; None: everywhere
    """

    decoder: np.ndarray = None
    mask: np.ndarray | None = None

    def to(self, device: str) -> Any:
        """The batch on a device; a mask that hides nothing is left out there: a model would have to
        ask the device where padding begins.
        """
        moved = super().to(device)
        if moved.mask is not self.mask and type(self.mask) is np.ndarray and self.mask.all():
            vars(moved)["mask"] = None
        return moved


def as_rows(sequences: np.ndarray, operation: str, shortest: int = 1) -> np.ndarray:
    """Sequences as (B, T) int64.

    raises   ShapeError unless they are (B, T) with T >= shortest, DtypeError unless they are
             integers
    """
    sequences = np.asarray(sequences)
    if sequences.ndim != 2 or sequences.shape[1] < shortest:
        raise ShapeError(
            f"{operation}: sequences have shape {sequences.shape}, "
            f"needs (B, T) with T >= {shortest}"
        )
    if sequences.dtype.kind not in "iu":
        raise DtypeError(f"{operation}: sequences are {sequences.dtype}, not integer token ids")
    return sequences.astype(np.int64, copy=False)


def pad_rows(
    rows: Sequence | np.ndarray, fill: int, width: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of any lengths as one array.

    rows     list of B integer sequences
    fill     id that follows the tokens of short rows
    width    of the array; the longest row if None
    returns  (B, width) int64, and (B, width) bool, True where a row has a token
    """
    lengths = np.array([len(row) for row in rows], np.int64)
    if width is None:
        width = int(lengths.max(initial=0))
    filled = np.arange(width) < lengths[:, None]  # (B, width)
    out = np.full(filled.shape, fill, np.int64)
    if len(rows):
        out[filled] = np.concatenate(rows)  # True places are met row by row, like the tokens
    return out, filled
