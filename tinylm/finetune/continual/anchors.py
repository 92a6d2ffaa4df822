"""Anchors: stay near the parameters that solved the old task   (EWC, L2-SP; book section 1.4)

A penalty (strength / 2) sum_i F_i (theta_i - theta*_i)^2 is added to the loss of the new task. With
F = 1 it is weight decay towards the start instead of zero (L2-SP, Li et al. 2018). Elastic weight
consolidation (Kirkpatrick et al. 2017) takes for F the diagonal of the Fisher information: what the
old task does not feel may move. It is the old task's loss to second order, off the diagonal left
out. Read next: rehearsal.py, which keeps old examples instead; forgetting.py, which measures.
"""

import numpy as np

from tinylm.autograd import grad, log_softmax, weigh
from tinylm.backend import to_device
from tinylm.errors import ConfigError
from tinylm.nn import evaluating


def moved_apart(parameters, start, importance=None, strength=1.0):
    """(strength / 2) sum_i F_i (theta_i - theta*_i)^2

    parameters  list of Tensors theta
    start       list of arrays theta*;  importance list of arrays F >= 0 of the same shapes, or None: 1 for all
    returns     Tensor ()
    """
    total = 0.0
    for k, (p, before) in enumerate(zip(parameters, start)):
        wide = p.astype(np.float32) if p.dtype == np.float16 else p  # 300**2 is no float16
        square = (wide - before) ** 2
        total = total + (square if importance is None else weigh(importance[k], square)).sum()
    total = total * (0.5 * strength)
    if total.dtype == parameters[0].dtype:
        return total
    return total.astype(parameters[0].dtype)


class Anchor:
    """The penalty for moving away from where the parameters are now.

    parameters  dict name -> Tensor, such as trainable(model.encoder): what is held; a new head is
                better left out
    strength    lambda
    importance  dict name -> array F of the parameter's shape; None: 1 for all, which is L2-SP
    raises      ConfigError if the names of importance are others
    """

    def __init__(self, parameters, strength, importance=None):
        if importance is not None and set(importance) != set(parameters):
            odd = sorted(set(importance) ^ set(parameters))
            raise ConfigError(
                f"Anchor: importance and parameters differ in {', '.join(odd[:4])}: take both from one dict"
            )
        self.parameters, self.strength = list(parameters.values()), strength
        self.importance = None if importance is None else [importance[name] for name in parameters]
        self.start = [p.data.copy() for p in self.parameters]

    def __call__(self):
        """The penalty as a Tensor ()."""
        start, importance = (
            None
            if arrays is None
            else [to_device(a, p.device) for a, p in zip(arrays, self.parameters)]
            for arrays in (self.start, self.importance)
        )
        return moved_apart(self.parameters, start, importance, self.strength)


def squared_slopes(model, logits, parameters, examples, weights):
    """sum over examples and labels y of weights(p)[y] (d log p(y | x) / d theta)^2, over the number
    of examples.

    Examples go one by one: the square of a batch's mean gradient is another thing, and near an
    optimum nearly zero.
    """
    if not len(examples):
        raise ConfigError("Fisher information: there are no examples to take the expectation over")
    tensors = list(parameters.values())
    total = {name: np.zeros_like(p.data) for name, p in parameters.items()}
    with evaluating(model):
        for index, example in enumerate(examples):
            log_p = log_softmax(logits(example)).reshape(-1)  # (1, C) -> (C,)
            one_hot = to_device(np.eye(len(log_p), dtype=log_p.dtype), log_p.device)  # (C, C)
            for label, weight in weights(index, np.exp(log_p.numpy()).tolist()):
                slopes = grad(log_p, tensors, cotangent=one_hot[label], retain_graph=True)
                for name, slope in zip(parameters, slopes):
                    total[name] += weight * slope.data**2
    return {name: value / len(examples) for name, value in total.items()}


def true_fisher(model, logits, parameters, examples):
    """F_i = E_x sum_y p(y | x) (d log p(y | x) / d theta_i)^2: the expectation over the model's own
    labels, exactly.

    model       whose dropout is turned off meanwhile
    logits      example -> Tensor of C logits
    parameters  dict name -> Tensor
    examples    a list; their labels are not looked at
    returns     dict name -> array of the parameter's shape. C backward passes for an example
    """
    return squared_slopes(model, logits, parameters, examples, lambda index, p: enumerate(p))


def empirical_fisher(model, logits, parameters, examples, labels):
    """E (d log p(gold label | x) / d theta_i)^2: the same with the labels of the data, one backward
    pass for an example.

    labels   (n,) integers; the rest as true_fisher(). Where the model is sure and right it is
             nearly zero, as the true one is; where the model is wrong it is larger, and no
             curvature (Kunstner et al. 2019)
    """
    return squared_slopes(
        model, logits, parameters, examples, lambda index, p: [(int(labels[index]), 1.0)]
    )


class Penalized:
    """A task whose loss has penalties added to its mean; it asks and measures as the task does.

    task       make_batch, loss, and what else it has
    penalties  functions () -> Tensor (): Anchors, one for every task learnt before
    """

    def __init__(self, task, *penalties):
        self.task, self.penalties = task, penalties

    def make_batch(self, examples, rng=None):
        """As the task's."""
        return self.task.make_batch(examples, rng)

    def loss(self, model, batch):
        """The task's mean loss plus the penalties. Micro-batches weigh 1 together, so a penalty
        counts once.
        """
        loss, metrics = self.task.loss(model, batch)
        for penalty in self.penalties:
            loss = loss + penalty()
        return loss, {**metrics, "loss": float(loss.item())}

    def predict(self, model, batch):
        """As the task's."""
        return self.task.predict(model, batch)

    def measure(self, answers, examples):
        """As the task's."""
        return self.task.measure(answers, examples)
