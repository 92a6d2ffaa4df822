"""Arithmetic coding: a language model is a compressor   (Rissanen 1976; Witten, Neal and Cleary
1987; Deletang et al. 2024).

The code of a text is a number in [0, 1). Each token narrows an interval by its probability, and an
interval of width Pr(text) contains a number of at most -log2 Pr(text) + 2 bits: the compressed size
is the loss. A decoder with the same model narrows the interval in the same way and recovers the
text. Arithmetic is in integers: probabilities are rounded to counts that sum to 2^32, so encoder
and decoder agree bit for bit as long as the model gives both the same logits. For that reason both
read token by token through the same calls; another machine or BLAS may round differently, which the
check sum detects. Read next: the script compression.py.
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np

from tinylm.errors import DataError
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.loop import Rows, check_prompt
from tinylm.generate.protocol.language_model import (
    Model,
    as_language_model,
    check_token_ids,
)
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import probabilities

TOTAL = 2**32  # counts of a distribution sum to this
BITS = 62  # of the interval's ends
WHOLE, HALF, QUARTER = 1 << BITS, 1 << BITS - 1, 1 << BITS - 2
HEADER = 8  # bytes: 4 for the number of tokens, 4 for their check sum


def counts(logits: np.ndarray) -> np.ndarray:
    """A distribution as whole numbers that sum to 2^32, each at least 1: (V,) -> (V,) int64.

    A token of probability 0 can still be coded, in 32 bits; a probability is lowered by at most a
    share of V / 2^32, which costs V / 2^32 nats a token.
    """
    p = probabilities(np.asarray(logits, np.float64)[None])[0]
    out = 1 + np.floor(p * (TOTAL - len(p))).astype(np.int64)
    # What rounding down left over, at most V, goes to the most probable token.
    out[int(np.argmax(p))] += TOTAL - int(out.sum())
    return out


class Encoder:
    """Narrows [low, high] token by token and writes a bit once both ends begin with it."""

    def __init__(self) -> None:
        self.low, self.high = 0, WHOLE - 1
        self.pending = 0  # bits that will be the opposite of the next one written
        self.bits = []

    def encode(self, start: int, stop: int) -> None:
        """Narrow the interval to a token whose cumulative counts are start .. stop of TOTAL."""
        self.low, self.high = narrowed(self.low, self.high, start, stop)
        while True:
            if self.high < HALF:
                self._write(0)
            elif self.low >= HALF:
                self._write(1)
                self._shift(HALF)
            elif self.low >= QUARTER and self.high < HALF + QUARTER:
                # Around the middle the code goes on with 01 or 10: the next bit is open, but the
                # one after it is its opposite.
                self.pending += 1
                self._shift(QUARTER)
            else:
                return
            # The interval was inside a half (or the middle half): double it, which frees a bit.
            self.low, self.high = 2 * self.low, 2 * self.high + 1

    def finish(self) -> list[int]:
        """Write two more bits that select a number inside the interval; returns all bits.

        returns  list of 0 and 1
        """
        # The interval reaches over HALF and is wider than a quarter: it contains the whole second
        # quarter (bits 01) or the whole third (bits 10), so zeros may follow.
        self.pending += 1
        self._write(int(self.low >= QUARTER))
        return self.bits

    def _write(self, bit):
        self.bits += [bit] + [1 - bit] * self.pending
        self.pending = 0

    def _shift(self, by):
        self.low, self.high = self.low - by, self.high - by


def narrowed(low: int, high: int, start: int, stop: int) -> tuple[int, int]:
    """The part start .. stop of TOTAL of an interval [low, high], ends included."""
    width = high - low + 1
    return low + width * start // TOTAL, low + width * stop // TOTAL - 1


class Decoder:
    """Follows the encoder's interval; `value` is the next BITS bits of the code as a number in it.

    bits  as `Encoder.finish` gave them; after the last come zeros
    """

    def __init__(self, bits: Sequence[int]) -> None:
        self.low, self.high, self.value = 0, WHOLE - 1, 0
        self._bits, self._missing = iter(bits), 0
        for _ in range(BITS):
            self._read()

    def decode(self, heights: np.ndarray) -> int:
        """The next token, from the cumulative counts (V,) int64 that the encoder had."""
        # The inverse of `narrowed`: the count in which `value` lies.
        width = self.high - self.low + 1
        count = ((self.value - self.low + 1) * TOTAL - 1) // width
        token = int(np.searchsorted(heights, count, side="right"))
        start = int(heights[token - 1]) if token else 0
        self.low, self.high = narrowed(self.low, self.high, start, int(heights[token]))
        # The encoder's steps, with `value` shifted and doubled like the interval.
        while True:
            if self.high < HALF:
                by = 0
            elif self.low >= HALF:
                by = HALF
            elif self.low >= QUARTER and self.high < HALF + QUARTER:
                by = QUARTER
            else:
                return token
            self.low = 2 * (self.low - by)
            self.high = 2 * (self.high - by) + 1
            self.value = self.value - by
            self._read()

    def _read(self):
        bit = next(self._bits, None)
        if bit is None:  # of a complete code at most BITS - 2 bits beyond its end are read
            self._missing += 1
            if self._missing > BITS:
                raise DataError(
                    "decompress: the code ends before its text: the bytes are cut off or damaged"
                )
        self.value = 2 * self.value + (bit or 0)


def encode_tokens(lm: Model, ids: Sequence[int], start: Sequence[int]) -> tuple[list[int], float]:
    """The bits of ids after a start, and the model's loss on them in bits.

    lm       a language model;  ids (n,) integers
    start    (m,) integers that the decoder also has, at least one
    returns  (list of 0 and 1, -sum of log2 Pr(x_i | start, x_1 .. x_{i-1}))
    """
    rows, encoder, loss = Rows(lm, [check_prompt(start, lm)], notice=None), Encoder(), 0.0
    check_token_ids(ids, lm.vocab_size)
    for token in np.asarray(ids).tolist():
        logits = rows.next_logits()[0]  # (V,)
        heights = np.cumsum(counts(logits))  # token v has the counts heights[v - 1] .. heights[v]
        first = int(heights[token - 1]) if token else 0
        encoder.encode(first, int(heights[token]))
        loss -= log_probabilities(logits)[token] / math.log(2)
        rows.append([token])
    return encoder.finish(), float(loss)


def compress(lm: Model, ids: Sequence[int], start: Sequence[int]) -> bytes:
    """Tokens as bytes: an 8-byte header, and the bits of `encode_tokens` in whole bytes.

    Texts longer than the context are read in windows, as in `generate` (loop.py).
    """
    lm = fastest(as_language_model(lm))
    bits, _ = encode_tokens(lm, ids, start)
    header = len(ids).to_bytes(4, "big") + _check_sum(ids)
    return header + np.packbits(np.array(bits, np.uint8)).tobytes()


def decompress(lm: Model, data: bytes, start: Sequence[int]) -> list[int]:
    """The tokens of `compress`: list of int.

    raises  DataError if the bytes are cut off or not made by this model on a machine that rounds
            alike
    """
    if len(data) < HEADER:
        raise DataError(f"decompress: {len(data)} bytes, but the header alone is {HEADER}")
    lm = fastest(as_language_model(lm))
    rows = Rows(lm, [check_prompt(start, lm)], notice=None)
    bits = np.unpackbits(np.frombuffer(data, np.uint8, offset=HEADER))
    decoder, ids = Decoder(bits.tolist()), []
    for _ in range(int.from_bytes(data[:4], "big")):
        heights = np.cumsum(counts(rows.next_logits()[0]))
        ids.append(decoder.decode(heights))
        rows.append(ids[-1:])
    if _check_sum(ids) != data[4:HEADER]:
        raise DataError(
            "decompress: the check sum does not fit: the bytes are damaged, or written with "
            "another model, other start tokens, or where arithmetic rounds differently"
        )
    return ids


def _check_sum(ids):
    return zlib.crc32(np.asarray(ids, "<i8").tobytes()).to_bytes(4, "big")
