"""Distillation from a weak model, with less and less weight   (book section 4.2.5, eqs. 4.12, 4.13,
Fig. 4.5b).

    Loss_kd = KL(Pr_w(. | x) || Pr_s(. | x))              forward: the strong model covers the weak
    theta~  = argmax sum over (x, y) of log Pr_s(y | x) - lambda Loss_kd

The same divergence as in compression (finetune/compress/distill_losses.py), where the teacher is
the larger one. A strong model outgrows its teacher, so lambda falls to 0. Read next: ensembles.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.align.aggregation import aggregate
from tinylm.autograd import Tensor, cross_entropy
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.divergence import divergences


def kd_loss(
    strong: Tensor,
    weak: np.ndarray,
    counted: np.ndarray,
    temperature: float = 1.0,
    how: str = "token",
    total: int | None = None,
) -> Tensor:
    """KL(p_w || p_s) of next-token distributions, p = softmax(z / temperature)   (book eq. 4.12)

        d loss / d z_s = (p_s - p_w) / temperature       at a position that weighs 1

    It wants logits; it is minimized, and 0 only where the distributions agree. TRL's GKDTrainer has
    the same limit of its generalized divergence. Hinton's factor temperature^2 is left to lambda.

    strong       (B, T, V) Tensor of logits
    weak         (B, T, V) Tensor or array of logits, -inf for probability 0; it gets no gradient
    counted      (B, T) bool
    how, total   see aggregate()
    returns      Tensor ()
    raises       ShapeError for other shapes, ConfigError for a temperature that is not above 0

    Check: tinylm gradcheck align.kd_loss
    """
    if not temperature > 0:
        raise ConfigError(f"kd_loss: temperature {temperature} must be above 0")
    if strong.shape != weak.shape or strong.shape[:-1] != counted.shape:
        raise ShapeError(
            f"kd_loss: logits {strong.shape} and {weak.shape}, counted {counted.shape}: need "
            "(B, T, V) twice and (B, T)"
        )
    if not isinstance(weak, Tensor):
        weak = Tensor(weak)
    each = divergences(weak.detach() / temperature, strong / temperature)  # (B, T)
    return aggregate(each, counted, how, total)


def combined_loss(
    strong: Tensor,
    weak: np.ndarray,
    targets: np.ndarray,
    counted: np.ndarray,
    weight: int,
    how: str = "token",
    total: int | None = None,
) -> Tensor:
    """- log Pr_s(y | x) + lambda KL(p_w || p_s)   (book eq. 4.13), minimized

    weight   lambda, 0 or more: 0 is supervised fine-tuning
    targets  (B, T) integers; where nothing is counted any number

    Others as in kd_loss(), at temperature 1.

    Check: tinylm gradcheck align.combined_loss
    """
    if weight < 0:
        raise ConfigError(f"combined_loss: lambda {weight} must be 0 or more")
    B, T, V = strong.shape
    flat = (targets * counted).reshape(-1)  # IGNORE becomes 0
    losses = cross_entropy(strong.reshape(B * T, V), flat, reduction="none").reshape(B, T)
    hard = aggregate(losses, counted, how, total)
    if weight == 0:
        return hard
    return hard + kd_loss(strong, weak, counted, how=how, total=total) * weight


def anneal(start: float, steps: int) -> Callable[[int], float]:
    """lambda at each step: from `start` in a straight line to 0 at `steps`, and 0 from then on.

    returns  function step -> float
    raises   ConfigError for a negative start, or no steps
    """
    if start < 0 or steps < 1:
        raise ConfigError(f"anneal: from {start} over {steps} steps; needs 0 or more, and a step")

    def weight(step):
        return start * max(0.0, 1 - step / steps)

    return weight
