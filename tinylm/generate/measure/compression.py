"""Arithmetic coding: a language model is a compressor   (Rissanen 1976; Witten, Neal and Cleary
1987; Deletang et al. 2024).

The code of a text is a number in [0, 1). Each token narrows an interval by its probability, and an
interval of width Pr(text) holds a number of at most -log2 Pr(text) + 2 bits: the compressed size is
the loss. Whoever has the same model narrows the same way and reads the text back. Everything is in
integers: probabilities are rounded to counts that sum to 2^32, so both sides agree bit for bit as
long as the model gives both the same logits. They read token by token through the same calls for
that reason; another machine or BLAS may round differently, which the check sum then reports. Read
next: the script compression.py.
"""

import math
import zlib

import numpy as np

from tinylm.errors import DataError
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.loop import Rows, check_prompt
from tinylm.generate.protocol.language_model import as_language_model, check_token_ids
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import probabilities

TOTAL = 2**32  # counts of a distribution sum to this
BITS = 62  # of the interval's ends
WHOLE, HALF, QUARTER = 1 << BITS, 1 << BITS - 1, 1 << BITS - 2
HEADER = 8  # bytes: tokens in the text, check sum of the tokens


def counts(logits):
    """A distribution as whole numbers that sum to 2^32, each at least 1: (V,) -> (V,) int64.

    A token of probability 0 can still be coded, in 32 bits; what is lost against exact
    probabilities is at most V / 2^32 of each of them, or V / 2^32 nats a token.
    """
    p = probabilities(np.asarray(logits, np.float64)[None])[0]
    out = 1 + np.floor(p * (TOTAL - len(p))).astype(np.int64)
    out[int(np.argmax(p))] += TOTAL - int(out.sum())  # what rounding down left over: at most V
    return out


class Encoder:
    """Narrows [low, high] token by token and writes bits as soon as they are certain."""

    def __init__(self):
        self.low, self.high, self.pending, self.bits = 0, WHOLE - 1, 0, []

    def encode(self, start, stop):
        """Take in a token whose counts are start .. stop of TOTAL."""
        width = self.high - self.low + 1
        self.low, self.high = (
            self.low + width * start // TOTAL,
            self.low + width * stop // TOTAL - 1,
        )
        while True:
            if self.high < HALF:
                self._write(0)
            elif self.low >= HALF:
                self._write(1)
                self._shift(HALF)
            elif (
                self.low >= QUARTER and self.high < HALF + QUARTER
            ):  # around the middle: the next bit is not known, but
                self.pending += 1  # the one after it is its opposite
                self._shift(QUARTER)
            else:
                return
            self.low, self.high = 2 * self.low, 2 * self.high + 1

    def finish(self):
        """End with the two bits that name a number inside the interval. Returns all bits, a list of
        0 and 1.
        """
        self.pending += 1
        self._write(int(self.low >= QUARTER))
        return self.bits

    def _write(self, bit):
        self.bits += [bit] + [1 - bit] * self.pending
        self.pending = 0

    def _shift(self, by):
        self.low, self.high = self.low - by, self.high - by


class Decoder:
    """Follows the encoder's interval with the number that its bits are.

    bits  as `Encoder.finish` gave them; after the last come zeros
    """

    def __init__(self, bits):
        self.low, self.high, self.value, self._bits, self._missing = 0, WHOLE - 1, 0, iter(bits), 0
        for _ in range(BITS):
            self._read()

    def decode(self, heights):
        """The next token, from the cumulative counts (V,) int64 that the encoder had."""
        width = self.high - self.low + 1
        place = ((self.value - self.low + 1) * TOTAL - 1) // width
        token = int(np.searchsorted(heights, place, side="right"))
        start = int(heights[token - 1]) if token else 0
        self.low, self.high = (
            self.low + width * start // TOTAL,
            self.low + width * int(heights[token]) // TOTAL - 1,
        )
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
        if bit is None:  # a whole code is read at most BITS - 2 beyond its end
            self._missing += 1
            if self._missing > BITS:
                raise DataError(
                    "decompress: the code ends before its text: the bytes are cut off or damaged"
                )
        self.value = 2 * self.value + (bit or 0)


def encode_tokens(lm, ids, start):
    """The bits of ids after a start, and what the model's loss says they take.

    lm       a language model;  ids (n,) integers;  start (m,) integers that the decoder knows, at least one
    returns  (list of 0 and 1, -sum of log2 Pr(x_i | before) in bits)
    """
    rows, encoder, loss = Rows(lm, [check_prompt(start, lm)], notice=None), Encoder(), 0.0
    check_token_ids(ids, lm.vocab_size)
    for token in np.asarray(ids).tolist():
        logits = rows.next_logits()[0]
        stop = np.cumsum(counts(logits))
        encoder.encode(int(stop[token - 1]) if token else 0, int(stop[token]))
        loss -= log_probabilities(logits)[token] / math.log(2)
        rows.append([token])
    return encoder.finish(), float(loss)


def compress(lm, ids, start):
    """Tokens as bytes: an 8-byte header, and the bits of `encode_tokens` in whole bytes.

    Texts longer than the context are read as in `generate`: half a window is read anew where it is
    full.
    """
    lm = fastest(as_language_model(lm))
    bits, _ = encode_tokens(lm, ids, start)
    return (
        len(ids).to_bytes(4, "big")
        + _check_sum(ids)
        + np.packbits(np.array(bits, np.uint8)).tobytes()
    )


def decompress(lm, data, start):
    """The tokens of `compress`: list of int.

    raises  DataError if the bytes are cut off or not made by this model on a machine that rounds
            alike
    """
    if len(data) < HEADER:
        raise DataError(f"decompress: {len(data)} bytes, but the header alone is {HEADER}")
    lm = fastest(as_language_model(lm))
    rows = Rows(lm, [check_prompt(start, lm)], notice=None)
    decoder, ids = Decoder(np.unpackbits(np.frombuffer(data, np.uint8, offset=HEADER)).tolist()), []
    for _ in range(int.from_bytes(data[:4], "big")):
        ids.append(decoder.decode(np.cumsum(counts(rows.next_logits()[0]))))
        rows.append(ids[-1:])
    if _check_sum(ids) != data[4:HEADER]:
        raise DataError(
            "decompress: the check sum does not fit: the bytes are damaged, or written with another model, other "
            "start tokens, or where arithmetic rounds differently"
        )
    return ids


def _check_sum(ids):
    return zlib.crc32(np.asarray(ids, "<i8").tobytes()).to_bytes(4, "big")
