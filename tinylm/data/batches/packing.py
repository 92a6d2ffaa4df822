"""Documents packed into rows of one length, so that no computation goes into padding.

`GreedyPacking` writes documents one after another and cuts every T tokens (GPT-2, GPT-3): no
padding at all, but documents are cut. `BestFitPacking` cuts only documents longer than a row and
fits the others as tightly as it can (Ding et al. 2024, Fewer Truncations Improve Language
Modeling): no cuts, a little padding. Both give segments and positions beside the tokens, so
attention can stay within a document. Row r is a pure function of (seed, r): the position to resume
at is one integer, and any worker makes its own rows.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinylm.backend import Random
from tinylm.errors import DataError


@dataclass(frozen=True)
class Packed:
    """Rows of packed documents, each (B, T).

    tokens     int64 ids
    segments   int64, which piece of its row a token belongs to, counted from 0; -1 is padding
    positions  int64, counted from 0 within the piece
    """

    tokens: np.ndarray
    segments: np.ndarray
    positions: np.ndarray

    def visible(self):
        """The attention mask that keeps tokens within their piece and blind to the future: (B, 1,
        T, T) bool.

        Padding sees padding, so no row of the mask is empty.
        """
        same = self.segments[:, :, None] == self.segments[:, None, :]  # (B, T) -> (B, T, T)
        return np.tril(same)[:, None]  # (B, 1, T, T)

    def targets(self, ignore_index=-100):
        """The next token of the same piece, or ignore_index where there is none: (B, T) int64."""
        targets = np.full_like(self.tokens, ignore_index)
        same = (self.segments[:, 1:] == self.segments[:, :-1]) & (self.segments[:, 1:] >= 0)
        targets[:, :-1] = np.where(same, self.tokens[:, 1:], ignore_index)
        return targets


class _Source:
    """Documents with an end-of-text token after each, and slices of them."""

    def __init__(self, documents, end_of_text):
        self.documents, self.end_of_text = documents, end_of_text
        if hasattr(documents, "sizes"):
            sizes = documents.sizes()
        else:
            sizes = np.array([len(d) for d in documents], np.int64)
        self.sizes = sizes + (end_of_text is not None)
        if self.sizes.sum() == 0:
            raise DataError(
                f"packing: {len(sizes)} documents hold no token at all: give documents with text in them"
            )

    def copy(self, document, start, stop, out):
        """Put tokens start .. stop-1 of a document (its end-of-text counted) into `out`."""
        text = self.documents[int(document)][start:stop]
        out[: len(text)] = text
        if len(text) < stop - start:
            out[len(text)] = self.end_of_text


class GreedyPacking:
    """Documents in a new order every epoch, written one after another without end, cut into rows of
    T.

    documents    sequence of integer arrays; `TokenFile.documents` stays on disk
    length       T, tokens of a row (context + 1 to train on windows)
    end_of_text  id put after each document; None if they carry their own
    seed         of the order

    A row that the end of an epoch cuts goes on with the next: over any whole number of epochs every
    token appears equally often. Memory: 32 bytes a document.
    """

    efficiency = 1.0  # no padding

    def __init__(self, documents, length, end_of_text, seed=0):
        self.source = _Source(documents, end_of_text)
        self.length = int(length)
        self.seed = int(seed)
        self.epoch_tokens = int(self.source.sizes.sum())
        self._order = lru_cache(maxsize=2)(self._order)  # the epochs a batch can lie across

    def _order(self, epoch):
        order = Random(self.seed, "packing", epoch).permutation(len(self.source.sizes))
        return order, np.cumsum(
            self.source.sizes[order]
        )  # and where each document ends in the epoch

    def rows(self, first, count):
        """Rows first .. first+count-1 of the endless stream. Returns Packed of (count, T)."""
        packed = _empty(count, self.length, self.source.end_of_text)
        for row in range(count):
            self._fill((first + row) * self.length, *(part[row] for part in packed))
        return Packed(*packed)

    def _fill(self, at, tokens, segments, positions):
        filled, segment = 0, 0
        while filled < self.length:
            epoch, offset = divmod(at + filled, self.epoch_tokens)
            order, ends = self._order(epoch)
            i = int(np.searchsorted(ends, offset, side="right"))  # passes empty documents
            size = int(self.source.sizes[order[i]])
            start = offset - (int(ends[i]) - size)
            take = min(size - start, self.length - filled)
            here = slice(filled, filled + take)
            self.source.copy(order[i], start, start + take, tokens[here])
            segments[here], positions[here] = segment, np.arange(take)
            filled, segment = filled + take, segment + 1


class BestFitPacking:
    """Documents packed whole: those longer than T are cut every T tokens, the pieces go where they
    fit best.

    Arguments as `GreedyPacking`. Every epoch packs anew and shuffles the rows; the number of rows
    is the same in each, for it depends on the lengths alone.

    rows_per_epoch  R
    efficiency      tokens / (R * T), the part of the rows that is not padding
    """

    def __init__(self, documents, length, end_of_text, seed=0):
        self.source = _Source(documents, end_of_text)
        self.length = int(length)
        self.seed = int(seed)
        sizes = self.source.sizes
        counts = -(-sizes // self.length)  # pieces of each document
        self.document = np.repeat(np.arange(len(sizes)), counts)  # (pieces,)
        self.start = (
            np.arange(len(self.document)) - np.repeat(np.cumsum(counts) - counts, counts)
        ) * self.length
        self.size = np.minimum(sizes[self.document] - self.start, self.length)
        self._epoch = lru_cache(maxsize=2)(self._epoch)
        self.rows_per_epoch = len(self._epoch(0))
        self.efficiency = int(sizes.sum()) / (self.rows_per_epoch * self.length)

    def _epoch(self, epoch):
        random = Random(self.seed, "best fit", epoch)
        order = random.permutation(len(self.size))  # breaks ties of equal lengths
        bins = best_fit(self.size[order], self.length)
        return [[order[i] for i in bins[b]] for b in random.permutation(len(bins))]

    def rows(self, first, count):
        """Rows first .. first+count-1 of the endless stream. Returns Packed of (count, T)."""
        packed = _empty(count, self.length, self.source.end_of_text)
        for row in range(count):
            epoch, at = divmod(first + row, self.rows_per_epoch)
            filled = 0
            for segment, piece in enumerate(self._epoch(epoch)[at]):
                start, size = int(self.start[piece]), int(self.size[piece])
                here = row, slice(filled, filled + size)
                self.source.copy(self.document[piece], start, start + size, packed[0][here])
                packed[1][here], packed[2][here] = segment, np.arange(size)
                filled += size
        return Packed(*packed)


def best_fit(sizes, capacity):
    """Best-fit-decreasing bin packing: longest first, each into the fullest bin that still has room
    for it.

    sizes     (N,) integers in [1, capacity]
    returns   list of bins, each a list of indices into sizes; at most 11/9 of the fewest possible,
              plus 6/9 (Johnson et al. 1974)

    Room is an integer below capacity, so the bins that have the same room wait in one stack and the
    search is a bisection over the rooms that occur: N log(capacity) in all.
    """
    bins, waiting, rooms = [], {}, []  # room -> its bins; the rooms that occur, ascending
    for i in np.argsort(-np.asarray(sizes), kind="stable"):
        size = int(sizes[i])
        at = bisect_left(rooms, size)
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
    """Rows of nothing but padding: tokens, segments, positions."""
    shape = (count, length)
    return (
        np.full(shape, padding or 0, np.int64),
        np.full(shape, -1, np.int64),
        np.zeros(shape, np.int64),
    )
