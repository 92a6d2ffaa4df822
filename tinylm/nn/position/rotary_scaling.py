"""RoPE beyond its training length: change how fast each pair rotates   (book eqs. 2.99-2.104).

Trained on m_l positions and used on m = s m_l, a model meets angles it has never seen. Position
interpolation slows every pair by s; a larger base slows the last pair by s and the first not at
all; YaRN slows only the pairs that made few turns in training; LongRoPE searches a factor for each
pair. Every scheme here is a function (width, base, ...) -> (frequencies (K/2,) float64, magnitude),
where the magnitude multiplies cosine and sine.

Keys in a cache were rotated with the frequencies of their time. With dynamic_ntk, whose frequencies
change with the length, either cache keys before rotation or decode with the frequencies of the
final length. Book section 2.3.5. Read next: bias.py.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike, DType, Random
from tinylm.errors import ConfigError
from tinylm.nn.position.rotary import rotary_frequencies, turns


def interpolate_positions(positions: np.ndarray, trained: int, length: int) -> np.ndarray:
    """position * m_l / m: 0 .. m compressed to 0 .. m_l   (book eq. 2.100; Chen et al. 2023).

    positions  numbers
    trained    m_l, the longest length in training
    length     m, the length of the input
    returns    numbers of the same shape; unchanged if m <= m_l
    """
    if length > trained:
        return positions * (trained / length)
    return positions


def unscaled(width: int, base: float = 10000.0) -> tuple[np.ndarray, float]:
    """The frequencies of training."""
    return rotary_frequencies(width, base), 1.0


def interpolated(width: int, base: float = 10000.0, *, factor: float) -> tuple[np.ndarray, float]:
    """theta_k / s: position interpolation as a change of frequencies   (book eq. 2.99).

    Every period is s times as long.
    """
    return rotary_frequencies(width, base) / _checked(factor), 1.0


def ntk_base(width: int, base: float, factor: float) -> float:
    """lambda b with lambda = s^(K/(K-2)), so that the last pair is s times slower.

    Book eqs. 2.101, 2.102.

    raises   ConfigError for K = 2, whose only pair has frequency 1 for any base
    """
    if width == 2:
        raise ConfigError(
            f"ntk: with head width {width} the only pair turns by 1 radian whatever the base: "
            "use linear"
        )
    # The last pair has theta = b^(-(K-2)/K); (lambda b)^(-(K-2)/K) = theta / s.
    return base * _checked(factor) ** (width / (width - 2))


def ntk(width: int, base: float = 10000.0, *, factor: float) -> tuple[np.ndarray, float]:
    """A larger base: the first pair keeps its frequency, the last has it divided by s.

    Book eqs. 2.103, 2.104.
    """
    return rotary_frequencies(width, ntk_base(width, base, factor)), 1.0


def dynamic_ntk(
    width: int, base: float = 10000.0, *, trained: int, length: int, factor: float = 1.0
) -> tuple[np.ndarray, float]:
    """ntk() with s = factor (length / trained) - (factor - 1), which grows with the sequence.

    Up to the trained length s is 1.

    factor  of published configurations, how steeply s grows; 1 is the plain rule s = m / m_l
    """
    s = factor * length / trained - (factor - 1)
    return ntk(width, base, factor=max(1.0, s))


def yarn_magnitude(factor: float) -> float:
    """0.1 ln s + 1, on cosine and sine   (Peng et al. 2024).

    Scores q k^T grow by its square, so it acts as a temperature of the softmax.
    """
    if factor > 1:
        return 0.1 * math.log(factor) + 1.0
    return 1.0


def yarn(
    width: int,
    base: float = 10000.0,
    *,
    factor: float,
    trained: int,
    fast: float = 32.0,
    slow: float = 1.0,
) -> tuple[np.ndarray, float]:
    """NTK by parts: pairs with many turns in training stay, the others are interpolated.

    Peng et al. 2024.

    factor    s
    trained   m_l, the length of the original training
    fast      pairs that made at least this many turns within m_l keep their frequency (the paper's
              beta)
    slow      pairs that made at most this many have it divided by s (its alpha); between, a ramp
              linear in the turns
    """
    frequencies = rotary_frequencies(width, base)
    done = trained * frequencies / (2 * math.pi)  # turns within m_l: m_l / T_k
    ramp = (done - slow) / (fast - slow)
    kept = np.clip(ramp, 0, 1)  # gamma in the paper: 1 keeps a frequency, 0 divides it by s
    frequencies = frequencies * kept + frequencies / _checked(factor) * (1 - kept)
    return frequencies, yarn_magnitude(factor)


def yarn_by_index(
    width: int,
    base: float = 10000.0,
    *,
    factor: float,
    trained: float,
    fast: float = 32.0,
    slow: float = 1.0,
    magnitude: float | None = None,
) -> tuple[np.ndarray, float]:
    """yarn() as computed by its authors' code and Hugging Face, for published YaRN weights.

    The ramp is linear in the index of the pair, between the pairs (rounded outwards) that make
    `fast` and `slow` turns.

    magnitude  replaces yarn_magnitude(factor)
    """

    def index(turns_made):
        """The k for which trained * base^(-2k/K) / (2 pi) = turns_made."""
        return width * math.log(trained / (turns_made * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(index(fast)), 0)
    high = min(math.ceil(index(slow)), width - 1)  # as in their code; the last pair is K/2 - 1
    length = max(high - low, 1)  # indices are whole: no pair lies on a ramp of 1 or shorter
    kept = 1 - np.clip((np.arange(width // 2) - low) / length, 0, 1)
    frequencies = rotary_frequencies(width, base)
    frequencies = frequencies * kept + frequencies / _checked(factor) * (1 - kept)
    if magnitude is None:
        magnitude = yarn_magnitude(factor)
    return frequencies, magnitude


def llama3(
    width: int,
    base: float = 500000.0,
    *,
    factor: float,
    trained: int,
    low: float = 1.0,
    high: float = 4.0,
) -> tuple[np.ndarray, float]:
    """The rule of LLaMA 3.1: the ramp of yarn() between `low` and `high` turns, no temperature."""
    frequencies, _ = yarn(width, base, factor=factor, trained=trained, fast=high, slow=low)
    return frequencies, 1.0


def longrope(
    width: int,
    base: float = 10000.0,
    *,
    factors: ArrayLike,
    factor: float = 1.0,
    trained: float | None = None,
) -> tuple[np.ndarray, float]:
    """A factor for every pair, found by a search   (Ding et al. 2024; see search_factors).

    factors  (K/2,) divisors of the frequencies
    factor   s = m / m_l
    trained  m_l: the magnitude is sqrt(1 + ln s / ln m_l) if s > 1, else 1
    raises   ConfigError if there is not one factor per pair
    """
    factors = np.asarray(factors, np.float64)
    if factors.shape != (width // 2,):
        raise ConfigError(
            f"longrope: {factors.size} factors for {width // 2} pairs (head width {width}): "
            "one each"
        )
    magnitude = 1.0
    if factor > 1:
        magnitude = math.sqrt(1 + math.log(factor) / math.log(trained))
    return rotary_frequencies(width, base) / factors, magnitude


def longrope_by_length(
    width: int,
    base: float = 10000.0,
    *,
    short: Sequence[float],
    long: Sequence[float],
    trained: int,
    length: int,
    factor: float = 1.0,
    magnitude: float | None = None,
) -> tuple[np.ndarray, float]:
    """longrope() as in Phi-3: factors `short` up to the trained length, `long` beyond it."""
    factors = short
    if length > trained:
        factors = long
    frequencies, usual = longrope(width, base, factors=factors, factor=factor, trained=trained)
    if magnitude is None:
        magnitude = usual
    return frequencies, magnitude


# Schemes whose frequencies depend on the length of the sequence: they need `length`, and no table
# of angles can be computed ahead for them.
BY_LENGTH = "dynamic_ntk", "longrope_by_length"
SCALINGS = {
    "none": unscaled,
    "linear": interpolated,
    "ntk": ntk,
    "dynamic_ntk": dynamic_ntk,
    "yarn": yarn,
    "yarn_by_index": yarn_by_index,
    "llama3": llama3,
    "longrope": longrope,
    "longrope_by_length": longrope_by_length,
}


def scaled_rotary_angles(
    positions: np.ndarray,
    width: int,
    scaling: str,
    base: float = 10000.0,
    dtype: DType = np.float32,
    keep_first: int = 0,
    **settings: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """rotary_angles() with the frequencies of a scheme.

    positions   (T,) or (B, T) integers
    scaling     name in SCALINGS
    settings    of the scheme: factor=, trained=, ...; `length`, where a scheme depends on it, is
                one more than the last position unless given
    keep_first  positions below this keep the unscaled frequencies (LongRoPE's first tokens)
    returns     (cos, sin), each (T, K/2), or (B, 1, T, K/2)
    raises      ConfigError for a scheme that does not exist
    """
    if scaling not in SCALINGS:
        raise ConfigError(f"rotary scaling {scaling!r} is not one of {', '.join(SCALINGS)}")
    if scaling in BY_LENGTH and "length" not in settings:
        settings["length"] = 1
        if positions.size:
            settings["length"] += int(np.max(positions))
    frequencies, magnitude = SCALINGS[scaling](width, base, **settings)
    scaled = turns(positions, frequencies, dtype, magnitude)
    if not keep_first:
        return scaled
    early = (positions < keep_first)[..., None]  # (T, 1) or (B, T, 1)
    if early.ndim == 3:
        early = early[:, None]  # (B, 1, T, 1)
    plain = turns(positions, rotary_frequencies(width, base), dtype, magnitude)
    cos, sin = [np.where(early, old, new) for old, new in zip(plain, scaled)]
    return cos, sin


def search_factors(
    score: Callable,
    start: Sequence,
    limit: float,
    rng: Random,
    rounds: int = 10,
    children: int = 8,
    spread: float = 0.2,
    keep_first: tuple[int, ...] = (0,),
) -> tuple[np.ndarray, int, float]:
    """LongRoPE's factors by evolution: mutate the best, keep what scores better.

    Ding et al. 2024, section 3.

    score       (factors (K/2,), keep_first) -> number, smaller is better: perplexity on long text
    start       list of (K/2,) initial factors: all s is position interpolation
    limit       s; factors stay in [1, s] and never fall from one pair to the next, as in the paper
    rng         tinylm Random
    spread      standard deviation of a mutation of the logarithms
    keep_first  choices for how many first tokens stay unscaled
    returns     (factors, keep_first, score), never worse than the best start
    """
    candidates = []
    for factors in start:
        factors = np.asarray(factors, np.float64)
        candidates += [(score(factors, first), factors, first) for first in keep_first]
    best, factors, first = min(candidates, key=lambda candidate: candidate[0])

    for _ in range(rounds):
        parent = factors
        for _ in range(children):
            # Factors are positive, so their logarithms are mutated; then the two constraints.
            child = np.exp(np.log(parent) + spread * rng.normal(parent.shape, np.float64))
            child = np.maximum.accumulate(np.clip(child, 1, limit))
            its_first = keep_first[int(rng.integers(0, len(keep_first)))]
            found = score(child, its_first)
            if found < best:
                best, factors, first = found, child, its_first
    return factors, first, best


def _checked(factor):
    """The factor s, if it is one that makes a context longer."""
    if factor < 1:
        raise ConfigError(
            f"rotary scaling: factor {factor} must be at least 1: "
            "it is the new length over the old one"
        )
    return factor
