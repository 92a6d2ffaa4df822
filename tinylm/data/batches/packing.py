"""Documents packed into rows of one length, so that little or no computation goes into padding.

`GreedyPacking` writes documents one after another and cuts every T tokens (GPT-2, GPT-3): no
padding at all, but documents are cut. `BestFitPacking` cuts only documents longer than a row and
fits the others as tightly as it can (Ding et al. 2024, Fewer Truncations Improve Language
Modeling): no other cuts, a little padding. Both return segments and positions with the tokens, so
that attention can stay within a document. Row r is a pure function of (seed, r): a run resumes from
one integer, and each worker computes its own rows. Read next: serialize.py.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.data.batches.tokenfile import Documents
from tinylm.errors import DataError


@dataclass(frozen=True)
class Packed:
    """Rows of packed documents, each (B, T).

    tokens     int64 ids
    segments   int64, the number of a token's piece in its row, from 0; -1 is padding
    positions  int64, counted from 0 within the piece
    """

    tokens: np.ndarray
    segments: np.ndarray
    positions: np.ndarray

    def visible(self) -> np.ndarray:
        """The attention mask, causal and within pieces: (B, 1, T, T) bool, True to attend.

        Padding attends to padding, so no row of the mask is empty.
        """
        same = self.segments[:, :, None] == self.segments[:, None, :]  # (B, T) -> (B, T, T)
        return np.tril(same)[:, None]  # (B, 1, T, T)

    def targets(self, ignore_index: int = -100) -> np.ndarray:
        """The next token of the same piece, or ignore_index where there is none: (B, T) int64."""
        targets = np.full_like(self.tokens, ignore_index)
        same = (self.segments[:, 1:] == self.segments[:, :-1]) & (self.segments[:, 1:] >= 0)
        targets[:, :-1] = np.where(same, self.tokens[:, 1:], ignore_index)
        return targets


class _Source:
    """Documents with an end-of-text token after each; `copy` reads slices of them."""

    def __init__(self, documents, end_of_text):
        self.documents, self.end_of_text = documents, end_of_text
        if hasattr(documents, "sizes"):
            sizes = documents.sizes()
        else:
            sizes = np.array([len(d) for d in documents], np.int64)
        self.sizes = sizes + (end_of_text is not None)
        if self.sizes.sum() == 0:
            raise DataError(
                f"packing: {len(sizes)} documents hold no token at all: "
                "give documents with text in them"
            )

    def copy(self, document, start, stop, out):
        """Copy tokens start .. stop-1 of a document (its end-of-text counted) into `out`."""
        text = self.documents[int(document)][start:stop]
        out[: len(text)] = text
        if len(text) < stop - start:  # the slice reaches over the last token: end of text
            out[len(text)] = self.end_of_text


class GreedyPacking:
    """An endless stream of documents, shuffled anew every epoch and cut into rows of T tokens.

    documents    sequence of integer arrays; `TokenFile.documents` stays on disk
    length       T, tokens of a row (context + 1 to train on windows)
    end_of_text  id put after each document; None if they end with their own
    seed         of the order

    A row at the end of an epoch continues with the next: over any whole number of epochs every
    token appears equally often. Memory: 32 bytes a document.
    """

    efficiency = 1.0  # no padding

    def __init__(
        self,
        documents: Sequence[np.ndarray] | Documents,
        length: int,
        end_of_text: int | None,
        seed: int = 0,
    ) -> None:
        self.source = _Source(documents, end_of_text)
        self.length = int(length)
        self.seed = int(seed)
        self.epoch_tokens = int(self.source.sizes.sum())
        self._order = lru_cache(maxsize=2)(self._order)  # a batch can span two epochs

    def _order(self, epoch):
        """The order of the documents in an epoch, and where each ends: (N,) twice."""
        order = Random(self.seed, "packing", epoch).permutation(len(self.source.sizes))
        return order, np.cumsum(self.source.sizes[order])

    def rows(self, first: int, count: int) -> Packed:
        """Rows first .. first+count-1 of the endless stream. Returns Packed of (count, T)."""
        packed = _empty(count, self.length, self.source.end_of_text)
        for row in range(count):
            self._fill((first + row) * self.length, *(part[row] for part in packed))
        return Packed(*packed)

    def _fill(self, at, tokens, segments, positions):
        """Write one row, (T,) three times, that begins at token `at` of the stream."""
        filled, segment = 0, 0
        while filled < self.length:
            # The document at the present position: the first that ends behind it. side="right"
            # skips empty documents.
            epoch, offset = divmod(at + filled, self.epoch_tokens)
            order, ends = self._order(epoch)
            i = int(np.searchsorted(ends, offset, side="right"))
            # Its tokens from there on, as far as the row has room.
            size = int(self.source.sizes[order[i]])
            start = offset - (int(ends[i]) - size)
            take = min(size - start, self.length - filled)
            here = slice(filled, filled + take)
            self.source.copy(order[i], start, start + take, tokens[here])
            segments[here] = segment
            positions[here] = np.arange(take)
            filled += take
            segment += 1


class BestFitPacking:
    """Documents packed whole by best fit; those longer than T are first cut every T tokens.

    Arguments as `GreedyPacking`. Every epoch packs anew and shuffles the rows; the number of rows
    is always the same, as it depends on the lengths alone.

    rows_per_epoch  R
    efficiency      tokens / (R * T), the share of the rows that is not padding
    """

    def __init__(
        self,
        documents: Sequence[np.ndarray] | Documents,
        length: int,
        end_of_text: int | None,
        seed: int = 0,
    ) -> None:
        self.source = _Source(documents, end_of_text)
        self.length = int(length)
        self.seed = int(seed)
        sizes = self.source.sizes
        counts = -(-sizes // self.length)  # pieces of each document
        self.document = np.repeat(np.arange(len(sizes)), counts)  # (pieces,) of which document
        # Number of a piece in its document: its number in all, less that of the document's first.
        first = np.repeat(np.cumsum(counts) - counts, counts)
        self.start = (np.arange(len(self.document)) - first) * self.length
        self.size = np.minimum(sizes[self.document] - self.start, self.length)
        self._epoch = lru_cache(maxsize=2)(self._epoch)
        self.rows_per_epoch = len(self._epoch(0))
        self.efficiency = int(sizes.sum()) / (self.rows_per_epoch * self.length)

    def _epoch(self, epoch):
        """The rows of an epoch, each a list of pieces."""
        random = Random(self.seed, "best fit", epoch)
        order = random.permutation(len(self.size))  # breaks ties of equal lengths
        bins = best_fit(self.size[order], self.length)
        return [[order[i] for i in bins[b]] for b in random.permutation(len(bins))]

    def rows(self, first: int, count: int) -> Packed:
        """Rows first .. first+count-1 of the endless stream. Returns Packed of (count, T)."""
        tokens, segments, positions = _empty(count, self.length, self.source.end_of_text)
        for row in range(count):
            epoch, at = divmod(first + row, self.rows_per_epoch)
            filled = 0
            for segment, piece in enumerate(self._epoch(epoch)[at]):
                start, size = int(self.start[piece]), int(self.size[piece])
                here = row, slice(filled, filled + size)
                self.source.copy(self.document[piece], start, start + size, tokens[here])
                segments[here] = segment
                positions[here] = np.arange(size)
                filled += size
        return Packed(tokens, segments, positions)


def best_fit(sizes: ArrayLike, capacity: int) -> list[list[int]]:
    """Best-fit-decreasing bin packing: longest first, each into the fullest bin with room for it.

    sizes     (N,) integers in [1, capacity]
    returns   list of bins, each a list of indices into sizes; at most 11/9 of the fewest possible,
              plus 4 (Johnson et al. 1974)

    The room of a bin is an integer below capacity, so bins of equal room are in one stack and the
    search is a bisection over the rooms that occur: N log(capacity) in all.
    """
    bins = []
    waiting = {}  # room -> stack of the bins that have it
    rooms = []  # the keys of `waiting`, ascending
    for i in np.argsort(-np.asarray(sizes), kind="stable"):
        size = int(sizes[i])
        at = bisect_left(rooms, size)  # the smallest room that is large enough
        if at < len(rooms):
            room = rooms[at]
            chosen = waiting[room].pop()
            if not waiting[room]:
                del waiting[room], rooms[at]
        else:
            room, chosen = capacity, len(bins)
            bins.append([])
        bins[chosen].append(int(i))
        if room > size:
            if room - size not in waiting:
                insort(rooms, room - size)
            waiting.setdefault(room - size, []).append(chosen)
    return bins


def _empty(count, length, padding):
    """Rows of padding, (count, length) each: tokens, segments, positions."""
    shape = (count, length)
    tokens = np.full(shape, padding or 0, np.int64)
    return tokens, np.full(shape, -1, np.int64), np.zeros(shape, np.int64)
