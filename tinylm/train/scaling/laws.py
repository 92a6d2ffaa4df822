"""The published scaling laws as functions: sizes -> loss in nats per token   (book section 2.2.4,
eqs. 2.36 to 2.39).

A power law is a straight line of log loss over log size: every doubling of the size multiplies the
loss by the same factor. It cannot go on forever, since text has entropy; the constant that is left
is the irreducible error. Papers: Hestness et al. 2017, Kaplan et al. 2020, Rosenfeld et al. 2020,
Brown et al. 2020, Hoffmann et al. 2022. Constants belong to one tokenizer, one text and one way of
counting parameters: they are history, not laws of nature. Read next: fits.py, which estimates them.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike

PF_DAY = 1e15 * 24 * 3600  # operations of a petaflop per second in a day: 8.64e19


def power_law(x: ArrayLike, a: int, b: float, floor: float = 0.0) -> np.ndarray | float:
    """a x^b + floor, with b < 0   (eq. 2.36; with the irreducible error eps_inf = floor, eq. 2.37)

    x        size: parameters, tokens or operations; number or array
    returns  loss, of x's shape
    """
    return a * np.asarray(x, float) ** b + floor


def rosenfeld_loss(
    N: ArrayLike, D: float, a: int, b: float, c: int, d: float, floor: float
) -> np.ndarray | float:
    """a N^b + c D^d + eps_inf: model and data have separate errors   (eq. 2.38; Rosenfeld 2020)"""
    return power_law(N, a, b) + power_law(D, c, d) + floor


@dataclass(frozen=True)
class Parametric:
    """L(N, D) = A / N^alpha + B / D^beta + E   (eq. 2.39): model, data, irreducible error.

    Calling it with parameters N and tokens D gives nats per token.
    """

    A: float
    alpha: float
    B: float
    beta: float
    E: float = 0.0

    def __call__(self, N: ArrayLike, D: ArrayLike) -> np.ndarray | float:
        return sum(self.terms(N, D))

    def terms(
        self, N: ArrayLike, D: ArrayLike
    ) -> tuple[np.ndarray | float, np.ndarray | float, float]:
        """The three summands: (of the model's size, of the data, irreducible)."""
        return (
            self.A * np.asarray(N, float) ** -self.alpha,
            self.B * np.asarray(D, float) ** -self.beta,
            self.E,
        )


# As the book prints them, rounded   (Hoffmann et al. 2022).
CHINCHILLA = Parametric(406.4, 0.34, 410.7, 0.28, 1.69)


# Kaplan et al. 2020. N counts no embeddings; each law is for training to convergence in the sizes
# it does not name; there is no irreducible error.
N_C, ALPHA_N = 8.8e13, 0.076  # parameters
D_C, ALPHA_D = 5.4e13, 0.095  # tokens
C_C, ALPHA_C = 3.1e8, 0.050  # in PF-days of the compute-optimal run
B_C, ALPHA_B = 2.1e8, 0.21  # tokens; the critical batch is the law of the paper's eq. 1.4


def kaplan_loss(
    N: ArrayLike = np.inf,
    D: ArrayLike = np.inf,
    alpha_N: float = ALPHA_N,
    alpha_D: float = ALPHA_D,
    N_c: float = N_C,
    D_c: float = D_C,
) -> np.ndarray:
    """[(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D   (Kaplan et al. 2020, eq. 1.5; book figure 2.4
    for the two limits)

    Without D it is L(N) = (N_c/N)^0.076, without N it is L(D) = (D_c/D)^0.095. The paper fits
    the joint law separately (0.076, 0.103, 6.4e13, 1.8e13); the defaults are those of the limits,
    so that they agree.

    N        parameters without embeddings;  D  tokens
    returns  nats per token
    """
    model = (N_c / np.asarray(N, float)) ** (alpha_N / alpha_D)
    data = D_c / np.asarray(D, float)
    return (model + data) ** alpha_D


def kaplan_loss_of_compute(pf_days: float) -> float | np.ndarray:
    """(C_c / C_min)^0.050: the least loss for so many PF-days   (Kaplan et al. 2020, eq. 1.3)"""
    return (C_C / np.asarray(pf_days, float)) ** ALPHA_C


def gpt3_loss_of_compute(pf_days: float) -> float | np.ndarray:
    """2.57 C^-0.048, C in PF-days: the trend of GPT-3's runs   (Brown et al. 2020, figure 3.1)"""
    return 2.57 * np.asarray(pf_days, float) ** -0.048


def critical_batch(loss: float) -> float | np.ndarray:
    """B* / L^(1/alpha_B): tokens of a batch beyond which larger ones save few steps   (Kaplan et
    al. 2020, eq. 1.4)
    """
    return B_C / np.asarray(loss, float) ** (1 / ALPHA_B)


def minimal_of_spent(compute: float, batch: float, loss: float) -> float | np.ndarray:
    """C_min = C / (1 + B / B_crit(L)): the cost of the same run at a small batch   (Kaplan et al.
    2020, eq. 5.5)

    compute  spent, in any unit;  batch  tokens;  loss  reached
    """
    return compute / (1 + batch / critical_batch(loss))
