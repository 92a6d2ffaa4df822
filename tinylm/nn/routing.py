"""Which experts a token goes to, and what a router is penalized for   (book section 2.2.2).

`route` chooses k of E experts for each of n tokens and drops choices for which there is no room;
two penalties keep the load even and the scores small. Shapes: n tokens, E experts, k experts per
token. Read next: experts.py.
"""

import math
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import Tensor, embedding, logsumexp, pad, softmax, take_along_axis, topk
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.errors import ConfigError, ShapeError


@dataclass(frozen=True)
class Routing:
    """Which experts n tokens are sent to, and with what weights.

    experts  (n, k) integers: the chosen experts, best first
    gates    (n, k) Tensor: the weight of each choice's output
    kept     (n, k) bool: False where the expert was full and the choice is dropped
    load     (E,) integers: how many choices each expert keeps
    dropped  how many choices are not kept
    """

    experts: np.ndarray
    gates: Tensor
    kept: np.ndarray
    load: np.ndarray
    dropped: int


def capacity(tokens: int, experts: int, k: int, factor: float) -> int:
    """ceil(factor n k / E): the most choices an expert takes.

    With factor 1 nothing is dropped only if all experts get equally many.
    """
    return math.ceil(factor * tokens * k / experts)


def route(
    logits: Tensor,
    k: int = 1,
    capacity_factor: float | None = None,
    mask: np.ndarray | None = None,
    gates: str = "probability",
    groups: np.ndarray | None = None,
) -> Routing:
    """Choose k experts for each token.

    logits           (n, E) Tensor, the router's scores
    k                experts per token. For k = 1 the gate is the expert's probability (Switch:
                     otherwise the router would get no gradient); for k > 1 the k probabilities are
                     divided by their sum (GShard, Mixtral)
    capacity_factor  see capacity(); None drops nothing
    gates            "share": for k = 1, too, the gate is divided by the sum, so it is 1 (Mixtral)
    mask             (n,) bool, True for tokens: padding goes to no expert, and the capacity is that
                     for the tokens alone. None: all rows are tokens
    groups           (n,) integers, see admitted(); None: all tokens are one group
    returns          Routing. An expert takes all first choices before any second one, and among
                     these the earlier tokens
    """
    n, E = logits.shape
    if not 1 <= k <= E:
        raise ConfigError(f"route: k = {k} experts of {E}: choose between 1 and {E}")
    rows = real_rows(mask, n, "route")
    if rows is not None:  # route the tokens alone, then put them back among the padding
        at, rank = rows
        among = None if groups is None else groups[at]
        inner = route(embedding(at, logits), k, capacity_factor, gates=gates, groups=among)
        experts = np.zeros_like(at, shape=(n, k))
        kept = np.zeros_like(at, bool, shape=(n, k))
        experts[at] = inner.experts
        kept[at] = inner.kept
        return Routing(experts, spread(inner.gates, rank), kept, inner.load, inner.dropped)

    experts, gates = choose(logits, k, gates)
    kept = admitted(experts, E, capacity_factor, groups)
    load = np.bincount(experts[kept], minlength=E)  # (E,)
    return Routing(experts, gates, kept, load, int(n * k - load.sum()))


def choose(logits: Tensor, k: int, gates: str = "probability") -> tuple[np.ndarray, Tensor]:
    """The k experts with the highest scores for each token, and their gates: (n, k) each."""
    chosen, experts = topk(logits, k)  # (n, k) each
    if k == 1 and gates == "probability":
        return experts, take_along_axis(softmax(logits), experts, -1)  # p_e over all E, (n, 1)
    return experts, softmax(chosen)  # p_e / sum of the chosen p, (n, k)


def admitted(
    experts: np.ndarray, E: int, capacity_factor: float | None, groups: np.ndarray | None = None
) -> np.ndarray:
    """Which choices find room in their expert: (n, k) bool.

    experts  (n, k) integers in [0, E), best first
    groups   (n,) integers: tokens of one group share the room that their number gives an expert
             (GShard's local groups; Lepikhin et al. 2021). None: all are one group

    A group decides alone, so what is kept does not depend on which groups are computed together.
    """
    n, k = experts.shape
    if capacity_factor is None or n == 0:
        return np.ones_like(experts, bool)
    if groups is None:
        groups = np.zeros_like(experts, shape=(n,))
    # Each expert has a queue in each group: all first choices in order of the tokens, then all
    # second ones. Sorted by group and expert, a queue lies together, and keeps its order.
    places = np.concatenate([groups] * k)  # (k n,)
    lines = places * E + experts.T.reshape(-1)  # (n, k) -> (k n,)
    order = np.argsort(lines, kind="stable")
    ahead = np.arange(k * n, like=order) - np.searchsorted(lines[order], lines[order])
    number = np.empty_like(order)
    number[order] = ahead  # choices before this one in its queue
    tokens = np.bincount(groups)  # of each group
    room = np.ceil(capacity_factor * tokens * k / E).astype(int)
    return (number < room[places]).reshape(k, n).T


def real_rows(
    mask: np.ndarray | None, n: int, operation: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Which of n rows are tokens and not padding.

    Rows of padding are left out rather than multiplied by 0: 0 x nan is nan.

    mask     bool of n elements in any shape, True for tokens; or None
    returns  None if all rows are tokens; else (indices (r,) of the tokens, rank (n,)): rank counts
             the tokens from 1, and is 0 for padding
    raises   DtypeError if it is not bool, ShapeError if it has another size
    """
    mask = bool_mask(mask, operation, bias=None)
    if mask is None:
        return None
    if mask.size != n:
        raise ShapeError(
            f"{operation}: a mask of shape {mask.shape} for {n} tokens: give one entry for each"
        )
    mask = mask.reshape(-1)
    if mask.all():
        return None
    return mask.nonzero()[0], np.cumsum(mask) * mask


def spread(rows: Tensor, rank: np.ndarray) -> Tensor:
    """Rows of the tokens put back among the padding, which gets zeros: (r, D) -> (n, D).

    rank  (n,), as of real_rows()
    """
    with_zeros = pad(rows, ((1, 0), (0, 0)))  # (r + 1, D), row 0 for padding
    return embedding(rank, with_zeros)


def load_balancing_loss(
    logits: Tensor, experts: np.ndarray, mask: np.ndarray | None = None
) -> Tensor:
    """E sum_e f_e P_e   (Fedus et al. 2022, eq. 4).

    f_e is the fraction of choices that fall on expert e, P_e its mean probability. f is constant,
    so the gradient comes through P.

    logits   (n, E) Tensor
    experts  (n, k) integers, the choices before any is dropped
    mask     (n,) bool, True for tokens; padding does not count. None: all rows are tokens
    returns  Tensor (); 1 if the load is even, up to E if all goes to one expert; 0 if n = 0
    """
    n, E = logits.shape
    rows = real_rows(mask, n, "load_balancing_loss")
    if rows is not None:
        return load_balancing_loss(embedding(rows[0], logits), experts[rows[0]])
    if n == 0:
        return logits.sum()
    takes = experts.reshape(-1)[:, None] == np.arange(E, like=experts)  # (n k, E)
    f = takes.mean(0).astype(logits.dtype)  # (E,)
    P = softmax(logits).mean(axis=0)  # (E,)
    return (P * f).sum() * E


def router_z_loss(logits: Tensor, mask: np.ndarray | None = None) -> Tensor:
    """mean over tokens of (log sum_e exp(logit_e))^2   (Zoph et al. 2022, eq. 5).

    It keeps the router's scores small, where softmax in low precision is accurate.

    logits   (n, E) Tensor
    mask     (n,) bool, True for tokens; padding does not count. None: all rows are tokens
    returns  Tensor ()
    """
    rows = real_rows(mask, len(logits), "router_z_loss")
    if rows is not None:
        logits = embedding(rows[0], logits)
    if len(logits) == 0:
        return logits.sum()
    return (logsumexp(logits, axis=-1) ** 2).mean()


def loads(experts: np.ndarray, E: int, counted: np.ndarray | None = None) -> np.ndarray:
    """How many choices fall on each expert, before any is dropped: (E,) integers.

    experts  (n, k);  counted  (n,) bool, the tokens that count; None: all
    """
    if counted is not None:
        experts = experts[counted]
    return np.bincount(experts.reshape(-1), minlength=E)


def token_penalties(
    logits: Tensor, load: np.ndarray, counted: np.ndarray, balance: float, z: float
) -> Tensor:
    """The two penalties of n tokens, added up; of a batch it is the sum over its parts.

        sum over tokens t of  balance E sum_e f_e p_e(t) + z (log sum_e exp(logit_e(t)))^2

    Divided by the number of tokens it is balance * load_balancing_loss + z * router_z_loss. The
    only number that all tokens have a say in is f, a constant to the gradient: where it is taken
    from the whole batch, the penalties do not depend on how the batch is cut. (f of a part would
    ask every micro-batch to be even in itself; Qiu et al. 2025 measure what that costs.)

    logits   (n, E) Tensor
    load     (E,) how many choices of the whole batch fall on each expert, see loads()
    counted  (n,) bool, the tokens that count
    """
    E = logits.shape[1]
    f = (load / max(load.sum(), 1)).astype(logits.dtype)  # (E,)
    each = (softmax(logits) * f).sum(axis=-1) * (balance * E)  # (n,)
    if z:
        each = each + logsumexp(logits, axis=-1) ** 2 * z
    return (each * counted.astype(logits.dtype)).sum()
