"""Rewards of parts of a response   (book section 4.4.1.3, eqs. 4.67 to 4.70; Wu et al. 2023).

    y = [segment 1, .., segment S]        r(x, y) = sum over k of r(x, y, segment k)

A long response may be right here and wrong there; one number for all of it does not show where. A
segmentation is the list of its ends: segment k are tokens ends[k-1] .. ends[k]-1. The label of a
segment may be the difference of two scores of a judge that reads beginnings of the response:

    s(segment k) = s(segments 1 .. k) - s(segments 1 .. k-1)

which sums to s(y) - s(empty): a shaping potential with gamma = 1 (shaping.py). Read next:
segment_modeling.py, a model trained on such labels.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.rag.chunks import sentence_ends


def fixed_ends(length: int, size: int) -> list[int]:
    """Segments of `size` tokens, the last perhaps shorter: ceil(length / size) ends, rising."""
    if size < 1:
        raise ConfigError(f"fixed_ends: a segment has at least one token, not {size}")
    return [*range(size, length, size), length][: max(length, 0)]


def change_ends(scores: Sequence[float], threshold: float) -> list[int]:
    """A segment ends where the reward changes: before token t if |s_t - s_{t-1}| > threshold.

    scores   (T,) a reward for every token, such as the values of a ValueModel
    returns  list of int, rising; the last is T
    """
    scores = np.asarray(scores, np.float64)
    if not len(scores):
        return []
    jumps = np.flatnonzero(np.abs(np.diff(scores)) > threshold) + 1
    return [*jumps.tolist(), len(scores)]


def sentence_token_ends(pieces: Sequence[str]) -> list[int]:
    """A segment for every sentence of a text that is given as tokens.

    pieces   list of str, the texts of the tokens, as TextLM.token_texts gives them
    returns  list of int, rising; the last is len(pieces). A token in which one sentence ends and
             the next begins belongs to the first
    """
    return tokens_of_ends(sentence_ends("".join(pieces)), pieces)


def tokens_of_ends(ends: Sequence[int], pieces: Sequence[str]) -> list[int]:
    """Ends counted in characters, counted in tokens: each moves to the end of its token.

    ends     list of int, rising: characters of "".join(pieces)
    returns  list of int, rising, without repetition
    raises   DataError for an end outside the text
    """
    borders = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)  # end of every token
    if len(ends) and (not len(borders) or not 0 < min(ends) <= max(ends) <= borders[-1]):
        raise DataError(
            f"tokens_of_ends: ends {list(ends)} are not all in a text of {pieces!r:.60}"
        )
    # the first token that ends at the border or after it
    found = np.searchsorted(borders, ends) + 1
    return np.unique(found).tolist()


def segments_of(response: str | Sequence[int], ends: Sequence[int]) -> list:
    """The segments themselves: list of slices of a response, which together are the response.

    raises   DataError for ends that do not rise from 1 to the end of the response
    """
    ends = list(ends)
    if len(response) == 0 and not ends:
        return []
    if (np.diff(ends, prepend=0) <= 0).any() or not ends or ends[-1] != len(response):
        raise DataError(
            f"segments_of: ends {ends} must rise from 1 or more to {len(response)}, the length of "
            "the response"
        )
    return [response[start:end] for start, end in zip([0, *ends], ends)]


def prefix_differences(scores: ArrayLike) -> np.ndarray:
    """Scores of beginnings as scores of segments   (book eq. 4.69)

    scores   (..., S + 1): s(empty), s(segment 1), s(segments 1 and 2), .., s(y)
    returns  (..., S) array, whose sum is s(y) - s(empty)
    """
    scores = np.asarray(scores, np.float64)
    return scores[..., 1:] - scores[..., :-1]


def judged_segments(judge: Callable, prompt: str, response: str, ends: Sequence[int]) -> np.ndarray:
    """The label of each segment, from a judge that scores beginnings   (book eq. 4.69)

    judge    function: (prompt, a beginning of the response) -> number, such as a RewardModel or a
             prompted model; called once for every beginning, the empty one included
    response text or tokens;  ends as in segments_of
    returns  (S,) array, the targets of eq. 4.70
    """
    segments_of(response, ends)  # raises for ends that do not fit
    return prefix_differences([judge(prompt, response[:end]) for end in (0, *ends)])


def independent_rewards(
    reward: Callable,
    prompt: str | Sequence[int],
    response: str | Sequence[int],
    ends: Sequence[int],
) -> np.ndarray:
    """The reward of each segment by itself: it does not depend on what the others hold.

    A process reward (process_model.py) judges a step given all steps before it: the same step may
    be right after one beginning and wrong after another   (book section 4.4.4).

    reward   function: (prompt, segment) -> number
    returns  (S,) array; r(x, y) is its sum   (book eq. 4.68)
    """
    return np.array([reward(prompt, one) for one in segments_of(response, ends)], np.float64)
