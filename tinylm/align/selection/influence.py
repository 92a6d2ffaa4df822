"""Which samples lower the loss of the target task? Gradients tell   (book section 4.2.3; Xia et al.
2024, LESS).

A step of size lr on a training sample z changes the loss of a validation sample z' by

    L(z'; theta - lr g(z)) - L(z'; theta) = - lr <g(z), g(z')> + O(lr^2),    g = gradient of L

so samples whose gradients point as those of the target task's are chosen. Two refinements: Adam's
step instead of the gradient, and a random projection of the P parameters to d numbers, which keeps
inner products in expectation. Cosines are compared, since short answers have large gradients. Read
next: perplexity.py.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import grad
from tinylm.backend import ArrayLike, to_cpu
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.freezing import trainable
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import evaluating

if TYPE_CHECKING:
    from tinylm.finetune.instruct.instructions import InstructionTuning


class RandomProjection:
    """P numbers -> d numbers: x -> R x / sqrt(d), R of random signs   (Achlioptas 2003)

        E <R x, R y> / d = <x, y>,    since E R^T R = d I

    d     the reduced width;  seed  of the signs: equal seeds give equal projections
    """

    def __init__(self, d: int, seed: int = 0) -> None:
        if d < 1:
            raise ConfigError(f"RandomProjection: d={d} must be 1 or more")
        self.d, self.seed = d, seed

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """(P,) -> (d,). The signs are drawn again at each call, row by row: P d are never held."""
        rng = np.random.default_rng(self.seed)
        x = np.asarray(x, np.float64)
        rows = (rng.integers(2, size=len(x)) * 2 - 1 for _ in range(self.d))
        return np.array([row @ x for row in rows]) / np.sqrt(self.d)


def adam_direction(
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    betas: tuple[float, ...] = (0.9, 0.999),
    eps: float = 1e-8,
) -> np.ndarray:
    """Adam's step for one sample, divided by the learning rate   (Xia et al. 2024, section 3.1)

        m^ = (b1 m + (1 - b1) g) / (1 - b1^t),   v^ = (b2 v + (1 - b2) g^2) / (1 - b2^t)
        direction = m^ / (sqrt(v^) + eps)

    gradient  (P,);  m, v (P,) moments before the step;  step  t, from 1
    """
    b1, b2 = betas
    first = (b1 * m + (1 - b1) * gradient) / (1 - b1**step)
    second = (b2 * v + (1 - b2) * gradient**2) / (1 - b2**step)
    return first / (np.sqrt(second) + eps)


def sample_gradients(
    model: GPT,
    task: "InstructionTuning",
    examples: Sequence[Encoded],
    project: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of the loss of each example, over the parameters that are not frozen.

    model    Module, in evaluation mode during the call
    task     Task, such as InstructionTuning
    project  function (P,) -> (d,), such as RandomProjection; None: the gradient itself
    returns  (n, P) or (n, d) float64
    raises   ConfigError if everything is frozen
    """
    tensors = list(trainable(model).values())
    if not tensors:
        raise ConfigError("sample_gradients: every parameter of the model is frozen")
    rows = []
    with evaluating(model):
        for example in examples:
            loss, _ = task.loss(model, task.make_batch([example]).to(tensors[0].device))
            parts = [to_cpu(g.data).reshape(-1) for g in grad(loss, tensors)]
            row = np.concatenate(parts).astype(np.float64)  # (P,)
            if project is not None:
                row = project(row)
            rows.append(row)
    return np.stack(rows)


def predicted_change(
    training: np.ndarray, validation: np.ndarray, learning_rate: float
) -> np.ndarray:
    """The first-order change of validation losses by a step on each training sample.

    training, validation  (n, P), (m, P) gradients
    returns               (n, m) float64: below 0 where the step helps
    """
    return -learning_rate * (np.asarray(training) @ np.asarray(validation).T)


def influence(training: ArrayLike, validation: ArrayLike) -> np.ndarray:
    """The cosine of each training sample's direction with the mean validation gradient: (n,).

    training    (n, P) gradients, or Adam's directions; validation (m, P) gradients
    returns     (n,) float64; 0 for a gradient of 0
    raises      ShapeError for other shapes
    """
    training, validation = np.asarray(training), np.asarray(validation)
    if training.ndim != 2 or validation.ndim != 2 or training.shape[1] != validation.shape[1]:
        raise ShapeError(
            f"influence: gradients {training.shape} and {validation.shape}; need (n, P) and (m, P)"
        )
    target = validation.mean(axis=0)  # (P,)
    sizes = np.linalg.norm(training, axis=1) * np.linalg.norm(target)
    return training @ target / np.where(sizes > 0, sizes, 1.0)


def gradient_influence(
    model: GPT,
    task: "InstructionTuning",
    training: Sequence[Encoded],
    validation: Sequence[Encoded],
    project: np.ndarray | None = None,
) -> np.ndarray:
    """The influence of training examples on a target task, given by validation examples: (n,).

    model, task, project  as in sample_gradients()
    training, validation  lists of examples
    """
    rows = [sample_gradients(model, task, some, project) for some in (training, validation)]
    return influence(*rows)
