"""Deduplication: exact copies and near copies of texts.

Copies make a model memorize (Lee et al. 2022) and put training text into the validation set. Exact
copies share a hash. Near copies share most of their word n-grams: their Jaccard similarity
|A and B| / |A or B| is high. MinHash (Broder 1997) estimates it from small signatures: under a
random order of all n-grams, two sets have the same first element with probability exactly their
similarity. Locality-sensitive hashing (Indyk & Motwani 1998) cuts a signature into bands and
compares only texts that agree on all rows of some band, so the work does not grow with the square
of the corpus. Book section 2.2.1. Read next: contamination.py.
"""

import hashlib
import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from tinylm.backend import Random
from tinylm.data.clean.words import words
from tinylm.errors import ConfigError
from tinylm.writing import composed


class ExactDuplicates:
    """A rule with a memory: True for a text that was not seen before.

    key  function text -> str to compare; by default the text in NFC with single spaces

    Memory: 16 bytes of hash a text, in a set.
    """

    def __init__(self, key: Callable | None = None) -> None:
        self.key, self.seen = key or _one_spacing, set()

    def __call__(self, text: str) -> bool:
        data = self.key(text).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, digest_size=16).digest()  # 2^64 texts until a collision
        new = digest not in self.seen
        self.seen.add(digest)
        return new


def _one_spacing(text):
    return " ".join(composed(text).split())


def shingles(text: str, n: int = 5) -> np.ndarray:
    """The distinct n-grams of words of a text, each as a 64-bit hash.

    A text of fewer than n words is one n-gram. In a text without words its characters other than
    white space take their place: "!!!" is no copy of "***".

    returns  sorted (S,) uint64, S >= 1
    """
    parts = words(text) or list("".join(text.split()))
    codes = [zlib.crc32(part.encode("utf-8", "surrogatepass")) for part in parts]
    hashes = np.array(codes, np.uint64)
    n = min(n, max(len(hashes), 1))
    total = np.zeros(max(len(hashes) - n + 1, 1), np.uint64)
    for i in range(n if len(hashes) else 0):  # a polynomial in the words' hashes, modulo 2^64
        total = total * np.uint64(0x9E3779B97F4A7C15) + hashes[i : len(hashes) - n + 1 + i]
    return np.unique(_mixed(total))


def _mixed(x):
    """Every bit of x spread over all bits (the end of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|A and B| / |A or B| of two sorted arrays without repeats."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / max(len(a) + len(b) - common, 1)


class MinHash:
    """Signatures whose share of equal entries is an unbiased estimate of the Jaccard similarity s.

    Its variance is s (1 - s) / length.

    length   entries P of a signature
    n        words of a shingle
    seed     of the random orders
    """

    def __init__(self, length: int = 128, n: int = 5, seed: int = 0) -> None:
        self.n = n
        random = Random(seed, "minhash").uniform((4, length), np.float64)
        # A random order of 64-bit hashes: multiply by an odd number and add, modulo 2^64, and
        # compare the upper 32 bits (Dietzfelbinger et al. 1997).
        high = (random[:2] * 2.0**32).astype(np.uint64)
        low = (random[2:] * 2.0**32).astype(np.uint64)
        factors = (high << np.uint64(32)) | low  # (2, P)
        self.multiply, self.add = factors[0] | np.uint64(1), factors[1]

    def __call__(self, text: str) -> np.ndarray:
        """The signature of a text: (P,) uint32."""
        found, least = shingles(text, self.n), np.full(len(self.multiply), 2**32 - 1, np.uint64)
        for start in range(0, len(found), 1024):  # a table of at most 1024 x P at a time
            ranks = found[start : start + 1024, None] * self.multiply + self.add  # (S, 1) -> (S, P)
            least = np.minimum(least, (ranks >> np.uint64(32)).min(0))
        return least.astype(np.uint32)


def lsh_probability(similarity: float, bands: int, rows: int) -> float:
    """The probability that two texts of similarity s are compared: 1 - (1 - s^rows)^bands."""
    # A band agrees if all its rows do, s^rows; none of the bands agrees with (1 - s^rows)^bands.
    return 1 - (1 - similarity**rows) ** bands


def choose_bands(length: int, similarity: float, recall: float = 0.95) -> tuple[int, ...]:
    """The most rows a band such that pairs at the threshold are compared with probability `recall`.

    More rows mean fewer comparisons of different texts, but also more missed pairs.

    length      entries of a signature
    similarity  threshold s
    returns     (bands, rows) with bands * rows <= length
    """
    best = (length, 1)
    for rows in range(1, length + 1):
        bands = length // rows
        if lsh_probability(similarity, bands, rows) >= recall:
            best = (bands, rows)
    return best


class NearDuplicates:
    """A rule with a memory: True for a text that is no near duplicate of a text kept before.

    similarity   estimated Jaccard similarity from which on texts are near duplicates
    length, n    of `MinHash`; fewer words n a shingle find looser copies
    recall       share of the pairs at the threshold that are compared
    raises       ConfigError for a similarity outside (0, 1]

    Memory: 4 * length bytes of signature and one small entry per band, about 2 KB a kept text; the
    text itself is not stored.
    """

    def __init__(
        self,
        similarity: float = 0.8,
        length: int = 128,
        n: int = 5,
        recall: float = 0.95,
        seed: int = 0,
    ) -> None:
        if not 0 < similarity <= 1:
            raise ConfigError(
                f"near duplicates: similarity is {similarity}, which is not in (0, 1]"
            )
        self.similarity, self.minhash = similarity, MinHash(length, n, seed)
        self.bands, self.rows = choose_bands(length, similarity, recall)
        self.signatures = np.empty((64, length), np.uint32)
        self.kept = 0
        # For each band: its rows as bytes -> numbers of the kept texts that have them.
        self.buckets = [defaultdict(lambda: array("I")) for _ in range(self.bands)]

    def __call__(self, text: str) -> bool:
        signature = self.minhash(text)  # (P,)
        bands = signature[: self.bands * self.rows].reshape(self.bands, self.rows)
        keys = [band.tobytes() for band in bands]
        near = {i for bucket, key in zip(self.buckets, keys) for i in bucket.get(key, ())}
        if near:
            equal = self.signatures[sorted(near)] == signature  # (candidates, P)
            if equal.mean(1).max() >= self.similarity:
                return False
        if self.kept == len(self.signatures):  # full: double the table
            self.signatures = np.concatenate([self.signatures, np.empty_like(self.signatures)])
        self.signatures[self.kept] = signature
        for bucket, key in zip(self.buckets, keys):
            bucket[key].append(self.kept)
        self.kept += 1
        return True
