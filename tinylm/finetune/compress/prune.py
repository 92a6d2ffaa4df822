"""Pruning of single weights: set most of them to zero, and keep them there   (book section 1.3.3;
Gale et al. 2019)

Magnitude pruning drops the smallest weights, of each matrix or of all together, at once or along a
schedule; a mask keeps them at zero while the rest is trained on. Movement pruning drops those that
training moves towards zero; the lottery ticket trains what is left from where it began. Zeros save
memory when they are stored sparsely, and time only with kernels for them, which NumPy has not: what
makes a model faster here is structured.py, read next.
"""

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

BLOCKS = "blocks.*"  # the linear maps of a transformer's blocks, wherever it sits in a model


def largest(scores, sparsity):
    """Which entries to keep, the largest of all matrices together ("global").

    scores    dict name -> array
    sparsity  share to drop, from 0 to 1: round(sparsity n) of n entries go, of equal ones the first
    returns   dict name -> bool array, True = kept
    raises    ConfigError for a share outside [0, 1]
    """
    if not 0 <= sparsity <= 1:
        raise ConfigError(f"pruning: sparsity {sparsity} is a share of the weights, from 0 to 1")
    flat = np.concatenate([score.reshape(-1) for score in scores.values()])
    keep = np.ones(flat.size, bool)
    keep[np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]] = False
    ends = np.cumsum([score.size for score in scores.values()])[:-1]
    return {
        name: part.reshape(scores[name].shape) for name, part in zip(scores, np.split(keep, ends))
    }


def largest_of_each(scores, sparsity):
    """As largest(), with the same share dropped from every matrix ("uniform")."""
    return {name: largest({name: score}, sparsity)[name] for name, score in scores.items()}


class Mask(Module):
    """W where the mask is True, 0 elsewhere; so is the gradient.

    A weight that is 0 when it is masked stays 0 under any optimizer that starts then: its gradient,
    its moments and its decay are 0. An optimizer that still has momentum may move it; what the
    layer multiplies with is 0 all the same.
    """

    def __init__(self, mask):
        self.mask = mask

    def settings(self):
        """The mask."""
        return {"mask": self.mask}

    def check_settings(self, arrays):
        """Any mask is taken."""

    def take_settings(self, arrays):
        """Take over a mask."""
        self.mask = arrays["mask"].copy()

    def __call__(self, weight):
        if device_of(self.mask) != weight.device:
            self.mask = to_device(self.mask, weight.device)
        return where(self.mask, weight, 0.0)


def effective(model, pattern=BLOCKS):
    """What the linear maps multiply with: dict name -> array, on the CPU."""
    with no_grad():
        return {
            name: (m.change(m.weight) if isinstance(m, Reweighted) else m.weight).numpy()
            for name, m in linear_maps(model, pattern).items()
        }


def prune(model, sparsity, choose=largest, pattern=BLOCKS, scores=None):
    """Magnitude pruning, in place: the smallest weights become 0 and are held there. What was
    pruned before stays pruned.

    sparsity  share of the weights that are 0 afterwards
    choose    largest, or largest_of_each
    pattern   of the names of linear maps; embeddings, gains and biases are never pruned
    scores    dict name -> array on the CPU that decides in place of |W| among the weights that are
              not 0
    returns   dict name -> mask, bool array
    """
    weights = effective(model, pattern)
    if scores is None:
        scores = {name: abs(weight) for name, weight in weights.items()}
    else:
        scores = {
            name: np.where(weight == 0, -np.inf, scores[name]) for name, weight in weights.items()
        }
    masks = choose(scores, sparsity)
    for m in reweight(model, lambda name, weight: Mask(masks[name]), pattern).values():
        settle(m)
    return masks


def sparsity_of(model, pattern=BLOCKS):
    """Share of the weights of linear maps that are 0."""
    weights = effective(model, pattern).values()
    return sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights)


def gradual_sparsity(step, steps, final, initial=0.0):
    """The cubic schedule: fast while there is much to spare, slow at the end   (Zhu & Gupta 2017,
    eq. 1)

    s = s_f + (s_0 - s_f) (1 - t / n)^3

    step     t, from 0;  steps n: from then on it is final
    returns  the share to be pruned at t
    """
    return final + (initial - final) * (1 - min(max(step / steps, 0), 1)) ** 3


def rewind(model, state):
    """Put back the weights of a state_dict() and prune them by the masks in place: the ticket
    (Frankle & Carbin 2019)
    """
    masks = model.named_settings()  # of the state as it was before pruning there are none
    model.load_state_dict({**masks, **{name: state[name] for name in model.named_parameters()}})
    for _, _, _, m in places(model, Reweighted):
        if isinstance(m.change, Mask):
            settle(m)
    return model


def lottery_ticket(model, train, sparsity, rounds=1, **options):
    """Train, prune, put back the first weights, and again: a sparse network that trains from its
    start   (Frankle & Carbin 2019)

    train     called as train(model) before each round's pruning; the ticket that is left is not
              trained yet
    sparsity  in the end; every round drops the same share of what is left
    options   of prune()
    returns   dict name -> mask
    """
    state = model.state_dict()
    for done in range(1, rounds + 1):
        train(model)
        masks = prune(model, 1 - (1 - sparsity) ** (done / rounds), **options)
        rewind(model, state)
    return masks


class Movement(Module):
    """W where a learned score is among the largest, 0 elsewhere   (movement pruning; Sanh et al.
    2020)

    Going backward the choice counts as the score itself, so dL/dS = dL/dW' * W: under gradient
    descent S grows where W moves away from 0 and falls where it shrinks, whatever W's size.

    weight    (d_in, d_out) Tensor;  sparsity share dropped, to be changed along a schedule
    """

    def __init__(self, weight, sparsity=0.0):
        self.scores = undecayed(Tensor(np.zeros_like(weight.data), requires_grad=True))
        self.sparsity = sparsity

    def settings(self):
        """The share that is dropped."""
        return {"sparsity": np.array(self.sparsity, np.float64)}

    def check_settings(self, arrays):
        """Any share is taken."""

    def take_settings(self, arrays):
        """Take over the share."""
        self.sparsity = float(arrays["sparsity"])

    def __call__(self, weight):
        keep = largest({"": self.scores.numpy()}, self.sparsity)[""]
        return weight * straight_through(self.scores, to_device(keep, weight.device))


def movement(model, sparsity, pattern=BLOCKS):
    """Prune by movement, in place: adds scores, or gives those that are there another sparsity.
    Returns the model.
    """
    there = [change for _, _, _, change in places(model, Movement)]
    for change in there:
        change.sparsity = sparsity
    if not there:
        reweight(model, lambda name, weight: Movement(weight, sparsity), pattern)
    return model
