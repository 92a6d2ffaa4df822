"""A linear-chain conditional random field: each tag depends on its neighbors   (Lafferty et al.
2001; book section 1.4.4).

With emissions e (a score of every tag for every word) and transitions A (a score of every tag after
every other),

    score(x, y) = a_{y_1} + sum_i e_{i, y_i} + sum_i A_{y_i, y_{i+1}} + b_{y_m}
    Pr(y | x)   = exp(score(x, y)) / Z(x),       Z(x) = sum over all K^m sequences y of exp(score)

With alpha_{i, j} the log of the sum over all beginnings of i words that end in tag j, the forward
recursion computes log Z in O(m K^2): what follows depends on a beginning through j alone.

    alpha_{i+1, j} = e_{i+1, j} + logsumexp over k of (alpha_{i, k} + A_{k, j})

Where A is the same for all pairs, tags are independent and this is the loss of eq. 1.23. With max
in place of logsumexp the recursion finds the best sequence: viterbi (Huang 2009).
"""

from typing import Any

import numpy as np

from tinylm.autograd import Array, Tensor, logsumexp, take_along_axis, where
from tinylm.backend import ArrayLike, DType
from tinylm.errors import ShapeError
from tinylm.nn import Module
from tinylm.nn.linear import undecayed


def log_partition(
    emissions: Tensor,
    transitions: Tensor,
    start: Tensor,
    stop: Tensor,
    held: np.ndarray | None = None,
) -> Tensor:
    """log Z of every row, by the forward recursion.

    emissions    (B, m, K) Tensor, m >= 1
    transitions  (K, K): [k, j] for tag j after tag k;  start, stop (K,)
    held         (B, m) bool, True for words, then False for padding, at least one word a row;
                 None: all are words
    returns      (B,) Tensor
    """
    if held is not None:
        # padding may hold inf or nan, whose product with 0 is nan: chosen, not multiplied
        emissions = where(held[..., None], emissions, 0.0)
    alpha = emissions[:, 0] + start  # (B, K)
    for i in range(1, emissions.shape[1]):
        # (B, K before, 1) + (K before, K after), then summed over the tag before -> (B, K)
        after = logsumexp(alpha[:, :, None] + transitions, axis=1) + emissions[:, i]
        if held is not None:
            after = where(held[:, i, None], after, alpha)  # behind its last word a row keeps alpha
        alpha = after
    return logsumexp(alpha + stop, axis=-1)  # (B, K) -> (B,)


def path_score(
    emissions: Tensor,
    tags: np.ndarray,
    transitions: Tensor,
    start: Tensor,
    stop: Tensor,
    held: np.ndarray | None = None,
) -> Tensor:
    """score(x, y) of tags (B, m) integers, (B,) Tensor; other arguments as log_partition()."""
    if held is None:
        held = np.ones_like(tags, dtype=bool)
    tags = np.where(held, tags, 0)
    # where(), not a product with the mask: a transition of -inf behind a row's words counts 0, and
    # -inf * 0 is nan
    at_word = where(held, take_along_axis(emissions, tags[..., None], -1)[..., 0], 0.0)  # (B, m)
    between = where(held[:, 1:], transitions[tags[:, :-1], tags[:, 1:]], 0.0)  # (B, m - 1)
    last = tags[np.arange(len(tags), like=tags), np.sum(held, axis=1) - 1]  # (B,)
    return at_word.sum(axis=1) + between.sum(axis=1) + start[tags[:, 0]] + stop[last]


class LinearChain(Module):
    """The parameters of a CRF over K tags; all 0 at first, which makes tags independent.

    tags  K
    """

    def __init__(self, tags: int, dtype: DType = np.float32) -> None:
        # A (K, K), a (K,) and b (K,) of the module's header
        self.transitions = undecayed(Tensor(np.zeros((tags, tags), dtype), requires_grad=True))
        self.start = Tensor(np.zeros(tags, dtype), requires_grad=True)
        self.stop = Tensor(np.zeros(tags, dtype), requires_grad=True)

    def __call__(
        self, emissions: Tensor, tags: np.ndarray, held: np.ndarray | None = None
    ) -> Tensor:
        """-log Pr(tags | x) of every row: (B, m, K), (B, m) -> (B,). At least 0."""
        own = self.transitions, self.start, self.stop
        dtype = emissions.dtype
        if dtype == np.float16:
            # The loss is a difference of two numbers that grow with the text, and float16 has steps
            # of 1/2 near 1000.
            emissions, *own = (x.astype(np.float32) for x in (emissions, *own))
        loss = log_partition(emissions, *own, held) - path_score(emissions, tags, *own, held)
        if loss.dtype == dtype:
            return loss
        return loss.astype(dtype)

    def best(
        self,
        emissions: Array,
        held: np.ndarray | None = None,
        allowed: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Any:
        """The most probable tags of every row, by viterbi().

        emissions  (B, m, K) Tensor or array
        allowed    (transitions, start) of tagging.bio_constraints, added to the scores, or None
        """
        if isinstance(emissions, Tensor):
            emissions = emissions.numpy()
        transitions, start = self.transitions.numpy(), self.start.numpy()
        if allowed is not None:
            transitions, start = transitions + allowed[0], start + allowed[1]
        return viterbi(emissions, transitions, start, self.stop.numpy(), held)


def viterbi(
    emissions: np.ndarray,
    transitions: ArrayLike = 0.0,
    start: ArrayLike = 0.0,
    stop: ArrayLike = 0.0,
    held: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | float]:
    """The sequence of tags with the highest score, in O(m K^2).

    Of equally good sequences, the one whose last tag has the lowest number, then the last but one.

    emissions    (m, K) or (B, m, K) array: log-probabilities, or scores of a CRF
    transitions  (K, K), -inf for pairs that are not allowed;  start, stop (K,)
    held         as in log_partition()
    returns      tags (m,) or (B, m) integers, 0 behind a row's words; their scores () or (B,)
    raises       ShapeError if emissions have other axes
    """
    e = np.asarray(emissions)
    if e.ndim not in (2, 3) or not e.shape[-2]:
        raise ShapeError(
            f"viterbi: emissions of shape {e.shape}, needs (m, K) or (B, m, K) "
            "with at least one word"
        )
    if e.ndim == 2:
        tags, score = viterbi(e[None], transitions, start, stop)
        return tags[0], score[0]
    B, m, K = e.shape
    if held is None:
        held = np.ones((B, m), bool)
    # best[:, j]: the highest score of a beginning that ends in tag j; came_from[i, :, j]: the tag
    # before it, at word i - 1
    best = e[:, 0] + start  # (B, K)
    came_from = np.empty((m, B, K), np.int64)
    for i in range(1, m):
        ways = best[:, :, None] + transitions  # (B, K before, K after)
        came_from[i] = ways.argmax(axis=1)
        best = np.where(held[:, i, None], ways.max(axis=1) + e[:, i], best)
        # in padding a tag comes from itself, so that the way back passes it unchanged
        came_from[i] = np.where(held[:, i, None], came_from[i], np.arange(K))
    final = best + stop
    tags, rows = np.empty((B, m), np.int64), np.arange(B)
    tags[:, -1] = final.argmax(axis=-1)
    # backwards along the pointers, from the best last tag
    for i in range(m - 1, 0, -1):
        tags[:, i - 1] = came_from[i, rows, tags[:, i]]
    return np.where(held, tags, 0), final.max(axis=-1)
