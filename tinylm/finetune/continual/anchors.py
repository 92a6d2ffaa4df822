"""Anchors: stay near the parameters that solved the old task   (EWC, L2-SP; book section 1.4)

    L_new(theta) + (lambda / 2) sum_i F_i (theta_i - theta*_i)^2        theta* solves the old task

With F = 1 the penalty is weight decay towards the start instead of zero (L2-SP, Li et al. 2018).
Elastic weight consolidation (Kirkpatrick et al. 2017) takes the diagonal of the Fisher information
for F: parameters that do not influence the old task may move. The penalty is the old task's loss to
second order without the entries off the diagonal. Read next: rehearsal.py, which keeps old examples
instead; forgetting.py, which measures.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, grad, log_softmax, weigh
from tinylm.backend import Random, to_device
from tinylm.errors import ConfigError
from tinylm.nn import evaluating
from tinylm.nn.module import Module


def moved_apart(
    parameters: Sequence[Tensor],
    start: Sequence[np.ndarray],
    importance: Sequence[np.ndarray] | None = None,
    strength: float = 1.0,
) -> Tensor | float:
    """The penalty (strength / 2) sum_i F_i (theta_i - theta*_i)^2.

    parameters  list of Tensors theta
    start       list of arrays theta*
    importance  list of arrays F >= 0 of the same shapes; None: 1 for all
    returns     Tensor ()
    """
    total = 0.0
    for k, (p, before) in enumerate(zip(parameters, start)):
        if p.dtype == np.float16:  # which ends at 65504: 256**2 overflows
            p = p.astype(np.float32)
        square = (p - before) ** 2
        if importance is not None:
            square = weigh(importance[k], square)
        total = total + square.sum()
    total = total * (0.5 * strength)
    if total.dtype == parameters[0].dtype:
        return total
    return total.astype(parameters[0].dtype)


class Anchor:
    """The penalty on the distance from the present parameters, as a function of no argument.

    parameters  dict name -> Tensor, such as trainable(model.encoder); a new head is better left out
    strength    lambda
    importance  dict name -> array F of the parameter's shape; None: 1 for all, which is L2-SP
    raises      ConfigError if importance has other names than parameters
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        strength: float,
        importance: dict[str, np.ndarray] | None = None,
    ) -> None:
        if importance is not None and importance.keys() != parameters.keys():
            odd = sorted(importance.keys() ^ parameters.keys())
            raise ConfigError(
                f"Anchor: importance and parameters differ in {', '.join(odd[:4])}: "
                "take both from one dict"
            )
        self.parameters, self.strength = list(parameters.values()), strength
        self.importance = None
        if importance is not None:
            self.importance = [importance[name] for name in parameters.keys()]
        # copies: optimizers change the parameters in place
        self.start = [p.data.copy() for p in self.parameters]

    def __call__(self) -> Any:
        """The penalty as a Tensor ()."""
        start, importance = self._beside(self.start), None
        if self.importance is not None:
            importance = self._beside(self.importance)
        return moved_apart(self.parameters, start, importance, self.strength)

    def _beside(self, arrays):
        """The arrays on the devices of the parameters, which may have moved since."""
        return [to_device(a, p.device) for a, p in zip(arrays, self.parameters)]


def squared_slopes(
    model: Module,
    logits: Callable,
    parameters: dict[str, Tensor],
    examples: Sequence,
    weights: Callable,
) -> dict[str, np.ndarray]:
    """(1/n) sum over examples x and labels y of w_y (d log p(y | x) / d theta)^2.

    One example at a time: the square of a batch's mean gradient is something else, and near an
    optimum nearly zero.

    weights  (index of x, list of p(y | x)) -> pairs (y, w_y)
    others   as in true_fisher()
    """
    if not len(examples):
        raise ConfigError("Fisher information: there are no examples to take the expectation over")
    tensors = list(parameters.values())
    total = {name: np.zeros_like(p.data) for name, p in parameters.items()}
    with evaluating(model):
        for index, example in enumerate(examples):
            log_p = log_softmax(logits(example)).reshape(-1)  # (C,) or (1, C) -> (C,)
            one_hot = to_device(np.eye(len(log_p), dtype=log_p.dtype), log_p.device)  # (C, C)
            # grad(log_p, cotangent=e_y) is d log p(y | x) / d theta; the graph serves all labels
            for label, weight in weights(index, np.exp(log_p.numpy()).tolist()):
                slopes = grad(log_p, tensors, cotangent=one_hot[label], retain_graph=True)
                for name, slope in zip(parameters.keys(), slopes):
                    total[name] += weight * slope.data**2
    return {name: value / len(examples) for name, value in total.items()}


def true_fisher(
    model: Module, logits: Callable, parameters: dict[str, Tensor], examples: Sequence
) -> dict[str, np.ndarray]:
    """F_i = E_x sum_y p(y | x) (d log p(y | x) / d theta_i)^2, exact over the model's own labels.

    model       Module; in evaluation mode during the call
    logits      example -> Tensor of C logits
    parameters  dict name -> Tensor
    examples    list; labels are ignored
    returns     dict name -> array of the parameter's shape. C backward passes per example
    """
    return squared_slopes(model, logits, parameters, examples, lambda index, p: enumerate(p))


def empirical_fisher(
    model: Module,
    logits: Callable,
    parameters: dict[str, Tensor],
    examples: Sequence,
    labels: np.ndarray,
) -> dict[str, np.ndarray]:
    """E_x (d log p(gold label | x) / d theta_i)^2, with one backward pass per example.

    labels   (n,) integers; the rest as in true_fisher(). Where the model is confident and right it
             is nearly zero like the true one; where the model is wrong it is larger, and not a
             curvature (Kunstner et al. 2019)
    """

    def gold_label(index, p):
        return [(int(labels[index]), 1.0)]

    return squared_slopes(model, logits, parameters, examples, gold_label)


class Penalized:
    """A task with penalties added to its mean loss; batches and measures are the task's.

    task       Task
    penalties  functions () -> Tensor (): Anchors, one for every task learnt before
    """

    def __init__(self, task: Any, *penalties: Anchor) -> None:
        self.task, self.penalties = task, penalties

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """The batch of the task."""
        return self.task.make_batch(examples, rng)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The task's mean loss plus the penalties."""
        # The weights of micro-batches add up to 1, so a penalty counts once in the whole batch.
        loss, metrics = self.task.loss(model, batch)
        for penalty in self.penalties:
            loss = loss + penalty()
        return loss, {**metrics, "loss": float(loss.item())}

    def predict(self, model: Module, batch: Any) -> list:
        """The answers of the task."""
        return self.task.predict(model, batch)

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """The scores of the task."""
        return self.task.measure(answers, examples)
