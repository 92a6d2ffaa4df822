"""Rules between tinylm's names of weights and those of other layouts: which tensors, turned how, make one of ours.

A rule names one parameter of ours and the tensors it is made of. torch keeps a linear map as (out, in), tinylm as
(in, out): such tensors are turned, and queries, keys and values set side by side. The rules are read in both
directions, so a layout is written down once. Read next: encoders.py.
"""
from dataclasses import dataclass, field

import numpy as np

from tinylm import backend
from tinylm.errors import CheckpointError


@dataclass(frozen=True)
class Rule:
    """One parameter of ours.

    ours     its name
    theirs   names of the tensors it is made of, joined along our last axis
    turned   their two axes are exchanged
    flat     the shape to read each of theirs as, before turning; folded: the shape they have there. None: as it is
    """

    ours: str
    theirs: tuple
    turned: bool = False
    flat: tuple | None = field(default=None)
    folded: tuple | None = field(default=None)


def linear(ours, *theirs, bias=True):
    """The rules of a Linear made of torch's nn.Linear modules, side by side."""
    yield Rule(f"{ours}.weight", tuple(f"{name}.weight" for name in theirs), turned=True)
    if bias:
        yield Rule(f"{ours}.bias", tuple(f"{name}.bias" for name in theirs))


def norm(ours, theirs, bias=True):
    """The rules of a LayerNorm, or of an RMSNorm, which has no bias."""
    yield Rule(f"{ours}.gain", (f"{theirs}.weight",))
    if bias:
        yield Rule(f"{ours}.bias", (f"{theirs}.bias",))


def table(ours, theirs):
    """The rule of an Embedding."""
    yield Rule(f"{ours}.weight", (f"{theirs}.weight",))


def plain(ours, theirs):
    """The rule of one tensor that both sides keep alike."""
    yield Rule(ours, (theirs,))


def find(name, weights, prefix=""):
    """The name under which `weights` has a tensor: with or without the prefix of the bare model; None if not at all."""
    return next((n for n in (name, name.removeprefix(prefix), prefix + name) if n in weights), None)


def read(rules, weights, prefix=""):
    """Our parameters, one after another, from tensors of the other layout.

    rules    iterable of Rule;  weights mapping name -> array;  prefix of names that a bare model leaves out
    yields   (our name, array); rules of which no tensor is there are passed over
    raises   CheckpointError if some tensors of a rule are there and others are not, or their shapes do not fit
    """
    for rule in rules:
        names = [find(name, weights, prefix) for name in rule.theirs]
        if None in names:
            if any(names):
                lacking = [name for name, found in zip(rule.theirs, names) if found is None]
                raise CheckpointError(f"the weights have {[n for n in names if n]} but lack {lacking}, which belong together")
            continue
        try:
            parts = [weights[name] if rule.flat is None else weights[name].reshape(rule.flat) for name in names]
            parts = [part.T for part in parts] if rule.turned else parts
            yield rule.ours, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        except ValueError as error:
            raise CheckpointError(f"tensors {', '.join(names)} do not make {rule.ours}: {error}") from error


def write(rules, state):
    """The other direction: {their name: array} from our {name: array}; rules of parameters not in `state` are passed over."""
    made = {}
    for rule in rules:
        if rule.ours in state:
            for name, part in zip(rule.theirs, np.split(state[rule.ours], len(rule.theirs), axis=-1)):
                part = part.T if rule.turned else part
                made[name] = np.ascontiguousarray(part if rule.folded is None else part.reshape(rule.folded))
    return made


def fill(model, pairs):
    """Give a model its weights, one at a time; placeholders (seed=None) get memory only now.

    pairs    iterable of (name, array)
    returns  the model
    raises   CheckpointError naming parameters without weights, weights without a parameter, or a shape that differs
    """
    mine, filled = model.named_parameters(), set()
    for name, array in pairs:
        if name not in mine or array.shape != mine[name].shape:
            needed = f"needs {mine[name].shape}" if name in mine else "is no parameter of this model"
            raise CheckpointError(f"weights of {name}, {array.shape}: it {needed}; the configuration is another model's")
        p = mine[name]
        p.data = backend.to_device(np.array(array, p.dtype, order="C"), p.device)       # a copy: files stay untouched
        filled.add(name)
    missing = [name for name in mine if name not in filled]
    if missing:
        raise CheckpointError(f"the weights lack {len(missing)} parameters: {', '.join(missing[:6])}")
    return model
