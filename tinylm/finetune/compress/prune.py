"""Pruning of single weights: set most of them to zero, and keep them there   (book section 1.3.3;
Gale et al. 2019)

    y = x (M * W) + b        M in {0, 1}, of the shape of W

Magnitude pruning drops the smallest weights, of each matrix or of all together, at once or along a
schedule; a mask keeps them at zero while the rest is trained. Movement pruning drops those that
training moves towards zero; the lottery ticket trains the rest from its initial values. Zeros save
memory when they are stored sparsely, and time only with sparse kernels, which NumPy does not have:
structured.py, read next, makes a model faster.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, no_grad, where
from tinylm.backend import device_of, to_device
from tinylm.errors import ConfigError
from tinylm.finetune.compress.reweight import (
    Reweighted,
    linear_maps,
    reweight,
    settle,
    straight_through,
)
from tinylm.finetune.wrap import places
from tinylm.nn import Module
from tinylm.nn.linear import undecayed

# Pattern of the linear maps in a transformer's blocks, also where the transformer is a part.
BLOCKS = "blocks.*"


def largest(scores: dict[str, np.ndarray], sparsity: float) -> dict[str, np.ndarray]:
    """Masks of the largest entries, compared over all matrices together ("global").

    scores    dict name -> array
    sparsity  share to drop, from 0 to 1: round(sparsity n) of n entries, of equal ones the first
    returns   dict name -> bool array, True = kept
    raises    ConfigError for a share outside [0, 1]
    """
    if not 0 <= sparsity <= 1:
        raise ConfigError(f"pruning: sparsity {sparsity} is a share of the weights, from 0 to 1")
    flat = np.concatenate([score.reshape(-1) for score in scores.values()])  # (n,)
    smallest = np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]
    keep = np.ones(flat.size, bool)
    keep[smallest] = False
    # cut the flat mask into the matrices again
    ends = np.cumsum([score.size for score in scores.values()])[:-1]
    parts = np.split(keep, ends)
    return {name: part.reshape(scores[name].shape) for name, part in zip(scores, parts)}


def largest_of_each(scores: dict[str, np.ndarray], sparsity: float) -> dict[str, np.ndarray]:
    """As largest(), with the same share dropped from every matrix ("uniform")."""
    masks = {}
    for name, score in scores.items():
        masks |= largest({name: score}, sparsity)
    return masks


class Mask(Module):
    """M * W: W where the mask is True, 0 elsewhere, and the same for the gradient.

    A weight that is 0 when it is masked stays 0 under any optimizer that starts then: its gradient,
    its moments and its decay are 0. Old momentum may still move it, but the layer then multiplies
    with 0 all the same.
    """

    def __init__(self, mask: np.ndarray | None) -> None:
        self.mask = mask

    def settings(self) -> dict[str, np.ndarray]:
        """The mask, which is saved with the weights."""
        return {"mask": self.mask}

    def check_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Accept any mask."""

    def take_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Load the mask."""
        self.mask = arrays["mask"].copy()

    def __call__(self, weight: Tensor) -> Tensor:
        if device_of(self.mask) != weight.device:
            self.mask = to_device(self.mask, weight.device)  # Module.to() moves parameters alone
        return where(self.mask, weight, 0.0)


def effective(model: Module, pattern: str = BLOCKS) -> dict[str, np.ndarray]:
    """The weights that the linear maps multiply with: dict name -> array, on the CPU."""
    weights = {}
    with no_grad():
        for name, layer in linear_maps(model, pattern).items():
            weight = layer.weight
            if isinstance(layer, Reweighted):
                weight = layer.change(weight)
            weights[name] = weight.numpy()
    return weights


def prune(
    model: Module,
    sparsity: float,
    choose: Callable = largest,
    pattern: str = BLOCKS,
    scores: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Magnitude pruning, in place: the smallest weights become 0 and stay 0 in training.

    Pruned weights are the smallest of all, so that pruning further keeps them pruned.

    sparsity  share of the weights that are 0 afterwards
    choose    largest, or largest_of_each
    pattern   of the names of linear maps; embeddings, gains and biases are never pruned
    scores    dict name -> array on the CPU, in place of |W| for the weights that are not 0
    returns   dict name -> mask, bool array
    """
    weights = effective(model, pattern)
    if scores is None:
        scores = {name: abs(weight) for name, weight in weights.items()}
    else:
        # weights that are 0 already come first, whatever their scores
        given, scores = scores, {}
        for name, weight in weights.items():
            scores[name] = np.where(weight == 0, -np.inf, given[name])
    masks = choose(scores, sparsity)
    for layer in reweight(model, lambda name, weight: Mask(masks[name]), pattern).values():
        settle(layer)
    return masks


def sparsity_of(model: Module, pattern: str = BLOCKS) -> float:
    """Share of the weights of linear maps that are 0."""
    weights = effective(model, pattern).values()
    return sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights)


def gradual_sparsity(step: int, steps: int, final: float, initial: float = 0.0) -> float:
    """The cubic schedule: fast while there is much to spare, slow at the end   (Zhu & Gupta 2017,
    eq. 1)

        s = s_f + (s_0 - s_f) (1 - t / n)^3

    In fit(): after_epoch=lambda t, losses: prune(model, gradual_sparsity(t, n, final)) and None.

    step     t, from 0;  steps  n: from then on the share is final
    returns  the share to be pruned at t
    """
    done = min(max(step / steps, 0), 1)
    return final + (initial - final) * (1 - done) ** 3


def rewind(model: Module, state: dict[str, np.ndarray]) -> Module:
    """Restore the weights of a state_dict() under the present masks: the "winning ticket"

    (Frankle & Carbin 2019). Returns the model.
    """
    masks = model.named_settings()  # `state` is from before the pruning and has none
    weights = {name: state[name] for name in model.named_parameters().keys()}
    model.load_state_dict({**masks, **weights})
    for _, _, _, layer in places(model, Reweighted):
        if isinstance(layer.change, Mask):
            settle(layer)
    return model


def lottery_ticket(
    model: Module, train: Callable, sparsity: float, rounds: int = 1, **options: Any
) -> dict[str, np.ndarray]:
    """Iterative magnitude pruning: train, prune, restore the initial weights, repeat   (Frankle &
    Carbin 2019)

    train     called as train(model) before the pruning of each round; the final ticket is not
              trained
    sparsity  in the end; every round drops the same share of the remaining weights
    options   of prune()
    returns   dict name -> mask
    """
    state = model.state_dict()
    for done in range(1, rounds + 1):
        train(model)
        kept = (1 - sparsity) ** (done / rounds)  # after the last round 1 - sparsity
        masks = prune(model, 1 - kept, **options)
        rewind(model, state)
    return masks


class Movement(Module):
    """W where a learned score is among the largest, 0 elsewhere   (movement pruning; Sanh et al.
    2020)

        W' = W * top(S),    dL/dS := dL/dW' * W    (straight-through: d top(S) / dS taken as 1)

    A step of gradient descent changes S by -dL/dW' * W, and W by -dL/dW': S grows where W moves
    away from 0 and falls where it shrinks, whatever its size.

    weight    (d_in, d_out) Tensor;  sparsity  share dropped, to be changed along a schedule
    """

    def __init__(self, weight: Tensor, sparsity: float = 0.0) -> None:
        self.scores = undecayed(Tensor(np.zeros_like(weight.data), requires_grad=True))
        self.sparsity = sparsity

    def settings(self) -> dict[str, np.ndarray]:
        """The share of weights that is dropped."""
        return {"sparsity": np.array(self.sparsity, np.float64)}

    def check_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Accept any share."""

    def take_settings(self, arrays: dict[str, np.ndarray]) -> None:
        """Load the share."""
        self.sparsity = float(arrays["sparsity"])

    def __call__(self, weight: Tensor) -> Tensor:
        keep = largest({"": self.scores.numpy()}, self.sparsity)[""]
        # the mask going forward, the gradient of the scores going backward
        return weight * straight_through(self.scores, to_device(keep, weight.device))


def movement(model: Module, sparsity: float, pattern: str = BLOCKS) -> Module:
    """Prune by movement, in place: adds scores, or sets the sparsity of existing ones.

    returns  the model
    """
    existing = [change for _, _, _, change in places(model, Movement)]
    for change in existing:
        change.sparsity = sparsity
    if not existing:
        reweight(model, lambda name, weight: Movement(weight, sparsity), pattern)
    return model
