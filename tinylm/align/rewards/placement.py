"""Where in a response a reward stands   (book sections 4.3.2, 4.4.1.3, eqs. 4.33, 4.68).

    r_t = 0 for t < n,  r_n = r(x, y)                        of the whole response
    r_t = r(x, y, segment k) at the last token of segment k  of its segments

Rewards are arrays: no gradient goes through them. Read next: shaping.py; segments.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.errors import DataError, ShapeError


def place_terminal_reward(
    scores: np.ndarray,
    counted: np.ndarray,
    ended: np.ndarray | None = None,
    missing_end: float | None = None,
) -> np.ndarray:
    """The reward of each response at its last token, 0 elsewhere   (book eq. 4.33)

    scores       (B,) array
    counted      (B, T) bool, True for tokens of the response
    ended        (B,) bool, False for a response that was cut off before its end mark; None: all
                 have ended
    missing_end  reward of those that have not, in place of their score; None: they keep it, and it
                 stands at the last token that was generated. No end mark is added to them
    returns      (B, T) array: the sum of a row is its score
    raises       ShapeError for other shapes, DataError for a response without tokens
    """
    scores = np.asarray(scores, np.float64)
    counted = np.asarray(counted)
    if scores.shape != counted.shape[:1] or counted.ndim != 2:
        raise ShapeError(
            f"place_terminal_reward: {scores.shape} scores for responses {counted.shape}; they "
            "must be (B,) and (B, T)"
        )
    if not counted.any(axis=1).all():
        raise DataError("place_terminal_reward: a response has no token to put its reward at")
    if ended is not None and missing_end is not None:
        scores = np.where(ended, scores, missing_end)
    rewards = np.zeros(counted.shape)
    last = counted.shape[1] - 1 - counted[:, ::-1].argmax(axis=1)  # (B,)
    rewards[np.arange(len(scores)), last] = scores
    return rewards


def place_segment_rewards(scores: np.ndarray, ends: Sequence[int], length: int) -> np.ndarray:
    """The reward of each segment of a response at its last token   (book eq. 4.68)

    scores   (S,) rewards of the segments
    ends     (S,) integers, the index after the last token of each segment: rising
    length   T, tokens of the response
    returns  (T,) array, whose sum is that of the scores
    raises   ShapeError for another number of ends, DataError for ends that do not rise within
             1 .. T
    """
    scores, ends = np.asarray(scores, np.float64), np.asarray(ends, np.int64)
    if scores.shape != ends.shape or ends.ndim != 1:
        raise ShapeError(
            f"place_segment_rewards: {scores.shape} scores for {ends.shape} segments: one each"
        )
    if (np.diff(ends, prepend=0) <= 0).any() or (ends > length).any():
        raise DataError(
            f"place_segment_rewards: segments end at {ends.tolist()}; each must have a token and "
            f"end at {length} at most"
        )
    rewards = np.zeros(length)
    rewards[ends - 1] = scores
    return rewards
