"""Rules between our parameters and the tensors of a published file, in both directions.

Three things differ: torch keeps a linear map as (out, in), the transpose of ours; queries, keys and values are three
matrices there and one here, or one in another order of rows; and some gains are published less 1. Each is a kind of rule.
Read next: gpt2.py.
"""
from dataclasses import dataclass
from typing import Callable

import numpy as np

from tinylm.errors import CheckpointError


@dataclass(frozen=True)
class Rule:
    """One of our parameters, made of tensors of a file.

    ours    its name in named_parameters()
    theirs  names of tensors
    read    (list of functions that give a tensor each, dtype) -> our array, freshly allocated
    write   our array -> list of their arrays
    shift   is added to a tensor when it is read (not to a gradient)
    """

    ours: str
    theirs: tuple
    read: Callable
    write: Callable
    shift: float = 0.0


def check_unchanged(model, names, all_of_them=True):
    """Refuse to write a model that is not made of these parameters alone: read again it would be another.

    names        of the parameters that a layout has rules for; all_of_them: each must be in the model
    raises       CheckpointError naming what differs
    """
    mine = set(model.named_arrays())
    strange = sorted(mine - names) + (sorted(names - mine) if all_of_them else [])
    if strange:
        raise CheckpointError(f"save_pretrained: the model was changed since it was made ({', '.join(strange[:3])}): bake() "
                              "what can be written into its weights, or keep what was added with finetune.save_trained()")


def _copy(parts, dtype):
    return np.array(parts[0](), dtype, order="C")


def _stack(parts, dtype):
    """Vectors one after another."""
    return np.concatenate([np.asarray(part(), dtype) for part in parts])


def _side_by_side(parts, dtype):
    """Matrices (out, in) side by side as one (in, outs).

    A map that widens lies row by row, one that narrows column by column: the longer way is then contiguous, and the
    product with a single vector is faster (OpenBLAS, two cores, 576 x 3072: 30 against 26 GB/s; 1536 x 576: 33 against 19).
    """
    arrays = [part() for part in parts]                      # queries, keys and values together are small
    D, widths = arrays[0].shape[-1], [len(array) for array in arrays]
    if any(np.shape(array) != (width, D) for array, width in zip(arrays, widths)):      # NumPy would repeat them
        raise ValueError("they must be matrices of one width")
    total = sum(widths)
    out = np.empty((D, total), dtype) if total > D else np.empty((total, D), dtype).T
    at = 0
    for width, array in zip(widths, arrays):
        out[:, at:at + width] = array.T
        at += width
    return out


def same(ours, theirs, shift=0.0):
    """A tensor of our shape: tables, gains, biases, GPT-2's matrices (Conv1D)."""
    def read(parts, dtype):
        array = _copy(parts, dtype)
        array += np.asarray(shift, array.dtype)
        return array

    def write(array):
        return [array - np.asarray(shift, array.dtype) if shift else array]

    return Rule(ours, (theirs,), read if shift else _copy, write, shift)


def linear(ours, *theirs, sizes=()):
    """torch's Linear maps (out, in), side by side in ours (in, out_1 + out_2 + ...); `sizes` are those outs."""
    cuts = np.cumsum(sizes)[:-1]
    return Rule(ours, theirs, lambda parts, dtype: _side_by_side(parts, dtype),
                lambda array: np.split(array.T, cuts) if len(theirs) > 1 else [array.T])


def joined(ours, *theirs, sizes):
    """Vectors one after another: biases of maps that stand side by side in ours."""
    return Rule(ours, theirs, _stack, lambda array: np.split(array, np.cumsum(sizes)[:-1]))


def grouped_qkv(ours, theirs, config):
    """One matrix (or bias) whose rows go group by group: R queries, their key, their value (BLOOM, Falcon).

    Ours has the queries of all groups first, then all keys, then all values.
    """
    G, R, K = config.kv_heads, config.n_head // config.kv_heads, config.key_width

    def read(parts, dtype):
        array = np.asarray(parts[0](), dtype)
        rest = array.shape[1:]
        x = array.reshape(G, R + 2, K, *rest)
        return np.concatenate([part.reshape(-1, *rest) for part in (x[:, :R], x[:, R], x[:, R + 1])]).T

    def write(array):
        array = array.T
        rest = array.shape[1:]
        q, k, v = np.split(array, [G * R * K, G * (R + 1) * K])
        parts = q.reshape(G, R, K, *rest), k.reshape(G, 1, K, *rest), v.reshape(G, 1, K, *rest)
        return [np.concatenate(parts, axis=1).reshape(-1, *rest)]

    return Rule(ours, (theirs,), read, write)


def adjacent_pairs(rule, heads):
    """A `linear` or `joined` rule whose tensors rotate neighboring rows, changed to our halves of a head.

    heads    of each tensor; 0 for one that is not rotated
    (GGUF keeps LLaMA so; see nn/position/rotary_forms.py, adjacent_to_halves)
    """
    def turned(part, n):
        def get():
            array = np.asarray(part())
            return array.reshape(n, -1, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
        return get if n else part

    def turned_back(array, n):
        return array.reshape(n, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape) if n else array

    return Rule(rule.ours, rule.theirs, lambda parts, dtype: rule.read([turned(p, n) for p, n in zip(parts, heads)], dtype),
                lambda array: [turned_back(a, n) for a, n in zip(rule.write(array), heads)])


def layer_norm(ours, theirs, bias=True):
    """The two rules of a layer norm, or the one of an RMS norm."""
    return [same(f"{ours}.gain", f"{theirs}.weight")] + [same(f"{ours}.bias", f"{theirs}.bias")] * bias


def affine(ours, theirs, bias=True):
    """The two rules of a torch Linear with its bias, or the one without."""
    return [linear(f"{ours}.weight", f"{theirs}.weight")] + [same(f"{ours}.bias", f"{theirs}.bias")] * bias
