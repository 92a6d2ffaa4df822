"""The best model size for a compute budget: in closed form, and three ways to find it from runs.

With C = 6 N D, minimizing A/N^alpha + B/D^beta gives N* = G (C/6)^(beta/(alpha+beta)), D* =
(C/6)/N*, with G = (alpha A / (beta B))^(1/(alpha+beta)): at the optimum the two errors fall equally
fast (book section 2.2.4; Hoffmann et al. 2022, eq. 4). The paper's three approaches: the lower
envelope of training curves; parabolas through runs of equal compute; a fitted law. The rounded
constants of eq. (2.39) give more than the famous 20 tokens a parameter, 93 at Chinchilla's own
compute; only the paper's first two approaches give about 20. Read next: sweep.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError
from tinylm.train.scaling.fits import DELTA, JOINT, POWER, fit_law
from tinylm.train.scaling.laws import CHINCHILLA, Parametric


def compute_optimal(
    C: ArrayLike, law: Parametric = CHINCHILLA, per_token: float = 6.0
) -> tuple[np.ndarray | float, np.ndarray | float, np.ndarray | float]:
    """The size and the tokens that give the least loss for C operations.

    C          operations, number or array;  per_token  operations per parameter and token
    returns    (N, D, loss)
    raises     ConfigError if an exponent is not positive: then there is no optimum
    """
    if min(law.alpha, law.beta) <= 0:
        raise ConfigError(
            f"compute_optimal: alpha {law.alpha:g} and beta {law.beta:g} must be positive"
        )
    # dL/dN = 0 with D = product / N:  alpha A / N^alpha = beta B / D^beta
    both = law.alpha + law.beta
    G = (law.alpha * law.A / (law.beta * law.B)) ** (1 / both)
    product = np.asarray(C, float) / per_token  # N D
    N = G * product ** (law.beta / both)
    return N, product / N, law(N, product / N)


def minimal_compute(
    target: float, law: Parametric = CHINCHILLA, per_token: float = 6.0
) -> float | np.ndarray:
    """The fewest operations that reach a loss, with the sizes of compute_optimal.

    raises   ConfigError if the target is not above the irreducible error: nothing reaches it
    """
    if not target > law.E:
        raise ConfigError(
            f"minimal_compute: a loss of {target:g} is not above the irreducible {law.E:g}: "
            "no compute reaches it"
        )
    # Both reducible terms are powers of C/6 with the same exponent:  L - E = k (C/6)^-g  with
    # g = alpha beta / (alpha + beta);  k is L - E at C/6 = 1.
    g = law.alpha * law.beta / (law.alpha + law.beta)
    at_one = compute_optimal(per_token, law, per_token)[2] - law.E
    return per_token * (at_one / (target - law.E)) ** (1 / g)


def tokens_to_reach(target: float, N: np.ndarray, law: Parametric = CHINCHILLA) -> np.ndarray:
    """Tokens after which a model of N parameters reaches a loss; inf if it never does."""
    # B / D^beta = target - E - A / N^alpha, solved for D
    room = target - law.E - law.A * np.asarray(N, float) ** -law.alpha
    with np.errstate(divide="ignore", invalid="ignore"):
        tokens = (law.B / room) ** (1 / law.beta)
    return np.where(room > 0, tokens, np.inf)


def envelope(
    curves: Sequence[tuple[float, np.ndarray, np.ndarray]],
    budgets: np.ndarray,
    per_token: float = 6.0,
) -> tuple[np.ndarray, ...]:
    """Approach 1: the training curve that is lowest at each budget.

    curves   list of (N, tokens (n,) rising, losses (n,)) of single runs
    budgets  operations (m,)
    returns  (budgets, N, D, loss) of the budgets that three curves reach and where the lowest is
             neither the smallest nor the largest of these models: at an end of the row the optimum
             may lie outside
    """
    found, order = [], sorted(curves, key=lambda curve: curve[0])
    for C in np.asarray(budgets, float):
        at = []  # (loss, N, D) of the models whose curve reaches this budget
        for N, tokens, losses in order:
            D = C / (per_token * N)
            if tokens[0] <= D <= tokens[-1]:
                # Straight between two points of the curve on double logarithmic paper.
                log_loss = np.interp(np.log(D), np.log(tokens), np.log(losses))
                at.append((float(np.exp(log_loss)), N, D))
        if len(at) > 2 and min(at) not in (at[0], at[-1]):
            loss, N, D = min(at)
            found.append((C, N, D, loss))
    return tuple(np.array(found, float).reshape(-1, 4).T)


def isoflop(runs: Sequence[tuple[float, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Approach 2: for runs of equal compute, the bottom of a parabola of the loss over log N.

    runs     list of (C, N (n,), losses (n,)), n >= 3, one for each budget
    returns  (budgets, N, loss at the bottom) for the parabolas that open upward and whose bottom
             lies between the runs
    raises   ConfigError for fewer than three runs of a budget
    """
    found = []
    for C, N, losses in runs:
        if len(N) < 3:
            raise ConfigError(
                f"isoflop: {len(N)} runs of {C:g} operations make no parabola: give at least 3"
            )
        x = np.log(np.asarray(N, float))
        # a z^2 + b z + c with z = x - mean: the bottom is at z = -b / 2a, of height c - b^2 / 4a.
        a, b, c = np.polyfit(x - x.mean(), losses, 2)
        if a <= 0:
            continue
        bottom = -b / (2 * a) + x.mean()
        if x.min() < bottom < x.max():
            found.append((C, np.exp(bottom), c - b * b / (4 * a)))
    return tuple(np.array(found, float).reshape(-1, 3).T)


def exponent(budgets: np.ndarray, sizes: np.ndarray, delta: float = DELTA) -> tuple[float, float]:
    """The power law through optima of approach 1 or 2: size = k C^a. Returns (k, a)."""
    numbers = fit_law(POWER, budgets, sizes, delta).numbers
    return numbers["A"], -numbers["alpha"]


def fit_parametric(N: np.ndarray, D: np.ndarray, losses: np.ndarray, delta: float = DELTA) -> tuple:
    """Approach 3: A/N^alpha + B/D^beta + E, fitted to all runs. Returns (Parametric, Fit)."""
    fit = fit_law(JOINT, (N, D), losses, delta)
    n = fit.numbers
    return Parametric(n["A"], n["alpha"], n["B"], n["beta"], n["E"]), fit
