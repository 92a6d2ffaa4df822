"""Learning in context as regression: the known methods a model is compared with   (book section
3.1.2; Akyürek et al. 2023, Garg et al. 2022).

A decoder that is trained on prompts of linear functions predicts as least squares does, and with
noise as ridge regression, which is then the best possible:

    w = (X^T X + lambda I)^-1 X^T y,   lambda = sigma^2 / tau^2   for w ~ N(0, tau^2 I), noise sigma

A predictor here is a function (x (B, k, d), y (B, k), query (B, d)) -> (B,), for any k, 0 included.
Read next: real_decoder.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.errors import ConfigError, ShapeError
from tinylm.prompt.in_context.gradient_descent import gradient_steps

# The settings that tuned_methods() tries.
STRENGTHS = 0.1, 0.3, 1.0, 3.0, 10.0
DESCENTS = [(n, rate) for n in (1, 2, 3, 5, 10) for rate in (0.1, 0.2, 0.3, 0.5, 0.7)]
METHODS = "least squares", "ridge", "descent", "nearest", "averaging"


def least_squares(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> np.ndarray:
    """w . x_q of the shortest w that minimizes the squared error: exact from k = d examples on."""
    w = np.linalg.pinv(x) @ y[..., None]  # (B, d, k) @ (B, k, 1)
    return (query[:, None] @ w)[:, 0, 0]


def ridge(strength: float) -> Callable:
    """Predictor with the penalty lambda |w|^2; sigma^2 / tau^2 gives the posterior mean."""
    if strength <= 0:
        raise ConfigError(f"ridge: strength {strength} must be positive; use least_squares for 0")

    def predict(x, y, query):
        gram = np.swapaxes(x, 1, 2) @ x + strength * np.eye(x.shape[2])  # (B, d, d)
        w = np.linalg.solve(gram, np.swapaxes(x, 1, 2) @ y[..., None])  # (B, d, 1)
        return (query[:, None] @ w)[:, 0, 0]

    return predict


def nearest(neighbors: int = 3) -> Callable:
    """The predictor by the mean value of the nearest examples; 0 without examples."""

    def predict(x, y, query):
        if not y.shape[1]:
            return np.zeros(len(query))
        far = ((x - query[:, None]) ** 2).sum(axis=2)  # (B, k)
        order = far.argsort(axis=1, kind="stable")[:, :neighbors]
        return np.take_along_axis(y, order, axis=1).mean(axis=1)

    return predict


def averaging(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> np.ndarray:
    """w . x_q with w the mean of y_i x_i: one step of gradient descent from 0 with rate 1."""
    return descent(1, 1.0)(x, y, query)


def descent(steps: int, rate: float) -> Callable:
    """The predictor by steps of gradient descent from w = 0 on (1/2k) sum of squared errors."""

    def predict(x, y, query):
        if not y.shape[1]:
            return np.zeros(len(query))
        start = np.zeros((len(query), 1, x.shape[2]))
        w = gradient_steps(x, y[..., None], start, rate, steps)  # (B, 1, d)
        return (w @ query[..., None])[:, 0, 0]

    return predict


def along(predictor: Callable, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Predictions of every value from the examples before it: x (B, K, d), y (B, K) -> (B, K)."""
    return np.stack(
        [predictor(x[:, :k], y[:, :k], x[:, k]) for k in range(x.shape[1])],
        axis=1,
    )


def prediction_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared difference of predictions, by the number of examples: (B, K) twice -> (K,).

    With the true values as b, it is the error. Akyürek et al. compare models with predictors by it,
    divided by d.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 2:
        raise ShapeError(f"prediction_difference: {a.shape} and {b.shape}, needs (B, K) twice")
    return ((a - b) ** 2).mean(axis=0)


def closest(
    model: np.ndarray, predictors: dict[str, Callable], x: np.ndarray, y: np.ndarray
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Which known method a model's predictions are nearest to, for every number of examples.

    model       (B, K) predictions
    predictors  {name: predictor}
    returns     (list of K names, {name: (K,) mean squared difference})
    """
    found = {
        name: prediction_difference(model, along(predictor, x, y))
        for name, predictor in predictors.items()
    }
    names = [min(found, key=lambda name: found[name][k]) for k in range(x.shape[1])]
    return names, found


def tuned_methods(x: np.ndarray, y: np.ndarray, noise: float = 0.0) -> dict[str, Callable]:
    """The known methods, with the settings that theory does not give chosen on these prompts.

    x, y     (B, K, d) and (B, K): prompts that no model is measured on
    noise    sigma of the values, w being N(0, I): the best strength of ridge regression is sigma^2
    returns  {name of METHODS: predictor}
    """

    def error(predictor):
        return prediction_difference(along(predictor, x, y), y).mean()

    strength = noise**2
    if not noise:
        strength = min(STRENGTHS, key=lambda one: error(ridge(one)))
    steps = min((descent(*setting) for setting in DESCENTS), key=error)
    return dict(zip(METHODS, (least_squares, ridge(strength), steps, nearest(), averaging)))
