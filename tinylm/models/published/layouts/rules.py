"""Rules between our parameters and the tensors of a published file, in both directions.

Three things differ: torch keeps a linear map as (out, in), the transpose of ours; queries, keys and
values are three matrices there and one here, or one in another order of rows; and some gains are
published minus 1. Each is a kind of rule. Read next: gpt2.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import numpy as np

from tinylm.backend import DType
from tinylm.errors import CheckpointError
from tinylm.nn.module import Module

if TYPE_CHECKING:
    from tinylm.models.decoder.config import GPTConfig
    from tinylm.models.published.formats.mapped import WeightFile


@dataclass(frozen=True)
class Rule:
    """One of our parameters, made of tensors of a file.

    ours    its name in named_parameters()
    theirs  names of tensors
    read    (list of functions that return a tensor each, dtype) -> our array, freshly allocated
    write   our array -> list of their arrays
    shift   is added to a tensor when it is read (not to a gradient)
    part    None: `write` returns whole tensors. A number: the place of its rows in a tensor that
            several parameters share, from 0
    """

    ours: str
    theirs: tuple
    read: Callable
    write: Callable
    shift: float = 0.0
    part: int | None = None


def check_unchanged(model: Module, names: set[str], all_of_them: bool = True) -> None:
    """Refuse to write a model with other parameters than these: the file would be another model.

    names        of the parameters that a layout has rules for
    all_of_them  each of them must be in the model
    raises       CheckpointError naming what differs
    """
    mine = set(model.named_arrays())
    strange = sorted(mine - names)
    if all_of_them:
        strange += sorted(names - mine)
    if strange:
        raise CheckpointError(
            "save_pretrained: the model was changed since it was made "
            f"({', '.join(strange[:3])}): bake() what can be written into its weights, or keep "
            "what was added with finetune.save_trained()"
        )


def _copy(parts, dtype):
    """One tensor as it is."""
    return np.array(parts[0](), dtype, order="C")


def _stack(parts, dtype):
    """Vectors one after another."""
    return np.concatenate([np.asarray(part(), dtype) for part in parts])


def _side_by_side(parts, dtype):
    """Matrices (out, in) side by side as one (in, outs).

    A map that widens lies row by row in memory, one that narrows column by column: the longer axis
    is then contiguous, and the product with a single vector is faster (OpenBLAS, two cores,
    576 x 3072: 30 against 26 GB/s; 1536 x 576: 33 against 19).
    """
    arrays = [part() for part in parts]  # in memory together: queries, keys and values are small
    D, widths = arrays[0].shape[-1], [len(array) for array in arrays]
    # The assignment below would broadcast another shape without an error.
    if any(np.shape(array) != (width, D) for array, width in zip(arrays, widths)):
        raise ValueError("they must be matrices of one width")
    total = sum(widths)
    if total > D:
        out = np.empty((D, total), dtype)
    else:
        out = np.empty((total, D), dtype).T  # (D, total), columns contiguous
    at = 0
    for width, array in zip(widths, arrays):
        out[:, at : at + width] = array.T  # (out, D) -> (D, out)
        at += width
    return out


def same(ours: str, theirs: str, shift: float = 0.0) -> Rule:
    """A tensor of our shape: tables, gains, biases, GPT-2's matrices (Conv1D).

    shift  ours is theirs + shift: 1 for gains that are published minus 1
    """
    if not shift:
        return Rule(ours, (theirs,), _copy, lambda array: [array])

    def read(parts, dtype):
        array = _copy(parts, dtype)
        array += np.asarray(shift, array.dtype)
        return array

    def write(array):
        return [array - np.asarray(shift, array.dtype)]

    return Rule(ours, (theirs,), read, write, shift)


def linear_weight(ours: str, *theirs: str, sizes: Sequence[int] = ()) -> Rule:
    """torch's Linear maps (out, in), side by side in ours (in, out_1 + out_2 + ...).

    sizes  those outs, if they differ
    """
    return Rule(
        ours,
        theirs,
        _side_by_side,
        lambda array: np.split(array.T, _cuts(len(theirs), sizes)),  # (in, outs) -> (out, in) each
    )


def joined(ours: str, *theirs: str, sizes: Sequence[int] = ()) -> Rule:
    """Vectors one after another: biases of maps that stand side by side in ours."""
    return Rule(ours, theirs, _stack, lambda array: np.split(array, _cuts(len(theirs), sizes)))


def _cuts(parts, sizes):
    """Where np.split cuts: `parts` equal parts, or after each of `sizes` but the last."""
    if sizes:
        return np.cumsum(sizes)[:-1]
    return parts


def by_head(ours: str, *theirs: str, heads: int, turned: bool = False) -> Rule:
    """XLNet's maps, (D, H, K) there: side by side in ours, (D, parts * H K).

    turned  they lead from heads back: (H K, D) in ours
    """

    def read(parts, dtype):
        arrays = [np.asarray(part(), dtype) for part in parts]
        flat = [array.reshape(array.shape[0], -1) for array in arrays]  # (D, H, K) -> (D, H K)
        if turned:
            flat = [array.T for array in flat]
        return np.array(np.concatenate(flat, axis=-1), order="C")

    def write(array):
        flat = np.split(array, len(theirs), axis=-1)
        if turned:
            flat = [part.T for part in flat]
        return [part.reshape(part.shape[0], heads, -1) for part in flat]  # (D, H K) -> (D, H, K)

    return Rule(ours, theirs, read, write)


def part_of(ours: str, theirs: str, part: int, parts: int) -> Rule:
    """One of several torch Linears of one size whose rows share a tensor (Phi-3's gate and up).

    part, parts  its place among them, from 0, and how many there are
    """

    def read(tensors, dtype):
        return _side_by_side([lambda: np.split(tensors[0](), parts)[part]], dtype)

    return Rule(ours, (theirs,), read, lambda array: [array.T], part=part)


def rows_from(ours: str, theirs: str, first: int) -> Rule:
    """A table whose first rows no token uses (OPT's positions); they are written as zeros."""

    def write(array):
        return [np.concatenate([np.zeros_like(array, shape=(first, array.shape[1])), array])]

    def read(parts, dtype):
        return np.array(parts[0]()[first:], dtype, order="C")

    return Rule(ours, (theirs,), read, write)


def resting_pairs(rule: Rule, config: "GPTConfig") -> Rule:
    """A rule of packed queries, keys and values where only the first R numbers of a head turn.

    There a head is (a_1 .. a_R/2, b_1 .. b_R/2, rest), and a_i turns with b_i. Here every number of
    the first half of a head is paired with one of the second, and the pairs of the rest have angle
    0: (a, first half of the rest, b, second half of the rest). Queries and keys are reordered
    alike, so no score changes.
    """
    c = config
    half, K = c.turned_width // 2, c.key_width
    rest = np.arange(2 * half, K)
    a, b = np.arange(half), np.arange(half, 2 * half)
    # head[j]: the place in a published head of what is at place j here, (K,)
    head = np.concatenate([a, rest[: len(rest) // 2], b, rest[len(rest) // 2 :]])
    # The same for every head of queries and keys, one after another: (heads, K) -> (heads K,).
    turned = (np.arange(c.n_head + c.kv_heads)[:, None] * K + head).reshape(-1)
    # Values stay as they are.
    order = np.concatenate([turned, np.arange(len(turned), len(turned) + c.kv_heads * K)])
    back = np.argsort(order)  # the inverse permutation
    return Rule(
        rule.ours,
        rule.theirs,
        lambda parts, dtype: rule.read(parts, dtype)[..., order],
        lambda array: rule.write(array[..., back]),
    )


def reshaped(ours: str, theirs: str, mine: tuple[int, ...], shape: tuple[int, ...]) -> Rule:
    """A tensor of another shape: `mine` here, `shape` in the file."""
    return Rule(
        ours,
        (theirs,),
        lambda parts, dtype: np.array(parts[0](), dtype).reshape(mine),
        lambda array: [array.reshape(shape)],
    )


def grouped_qkv(ours: str, theirs: str, config: "GPTConfig") -> Rule:
    """One matrix or bias in groups of rows: R queries, their key, their value (BLOOM, Falcon).

    Ours has the queries of all groups first, then all keys, then all values.
    """
    # G groups, one for each head of keys; R heads of queries share it; K is the width of a head.
    G, R, K = config.kv_heads, config.n_head // config.kv_heads, config.key_width

    def read(parts, dtype):
        array = np.asarray(parts[0](), dtype)  # (outs, D), or (outs,) for a bias
        rest = array.shape[1:]
        x = array.reshape(G, R + 2, K, *rest)
        q, k, v = x[:, :R], x[:, R], x[:, R + 1]
        return np.concatenate([part.reshape(-1, *rest) for part in (q, k, v)]).T  # (D, outs)

    def write(array):
        array = array.T  # (D, outs) -> (outs, D)
        rest = array.shape[1:]
        q, k, v = np.split(array, [G * R * K, G * (R + 1) * K])
        parts = q.reshape(G, R, K, *rest), k.reshape(G, 1, K, *rest), v.reshape(G, 1, K, *rest)
        return [np.concatenate(parts, axis=1).reshape(-1, *rest)]

    return Rule(ours, (theirs,), read, write)


def adjacent_pairs(rule: Rule, heads: tuple[int, ...]) -> Rule:
    """A `linear_weight` or `joined` rule for tensors whose neighboring rows rotate (GGUF LLaMA).

    Ours rotate the two halves of a head: see nn/position/rotary_forms.py, adjacent_to_halves.

    heads  of each tensor; 0 for one that is not rotated
    """

    def turned(part, n):
        def get():
            array = np.asarray(part())
            # (n K, ...) -> (n, K/2, 2, ...) -> (n, 2, K/2, ...) -> (n K, ...)
            return array.reshape(n, -1, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)

        if n:
            return get
        return part

    def turned_back(array, n):
        if n:  # (n K, ...) -> (n, 2, K/2, ...) -> (n, K/2, 2, ...) -> (n K, ...)
            return array.reshape(n, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
        return array

    return Rule(
        rule.ours,
        rule.theirs,
        lambda parts, dtype: rule.read([turned(p, n) for p, n in zip(parts, heads)], dtype),
        lambda array: [turned_back(a, n) for a, n in zip(rule.write(array), heads)],
    )


def layer_norm(ours: str, theirs: str, bias: bool = True) -> list[Rule]:
    """The two rules of a layer norm; without bias, the one of an RMS norm."""
    made = [same(f"{ours}.gain", f"{theirs}.weight")]
    if bias:
        made.append(same(f"{ours}.bias", f"{theirs}.bias"))
    return made


def affine(ours: str, *theirs: str, bias: bool = True, sizes: Sequence[int] = ()) -> list[Rule]:
    """The two rules of torch Linears with biases, side by side; or the one without biases."""
    weight = linear_weight(f"{ours}.weight", *(f"{name}.weight" for name in theirs), sizes=sizes)
    if not bias:
        return [weight]
    return [weight, joined(f"{ours}.bias", *(f"{name}.bias" for name in theirs), sizes=sizes)]


def untied_head(config: "GPTConfig", theirs: str = "lm_head.weight") -> list[Rule]:
    """The rule of the output matrix, in a list; none where it is the table of embeddings."""
    if config.tied:
        return []
    return [linear_weight("head", theirs)]


def name_in_file(name: str, weights: "Sequence[str] | WeightFile", prefix: str = "") -> str | None:
    """The name that `weights` has for a tensor: `name`, or without or with `prefix`; else None."""
    spellings = name, name.removeprefix(prefix), prefix + name
    return next((spelling for spelling in spellings if spelling in weights), None)


def read_rule(
    rule: Rule,
    weights: "WeightFile",
    dtype: DType,
    prefix: str = "",
    where: str | Path = "the weights",
) -> tuple[np.ndarray, list[str]]:
    """(our array, names of the tensors it was made of).

    raises  CheckpointError naming a tensor that is missing, or tensors whose shapes do not fit
    """
    names = [name_in_file(name, weights, prefix) for name in rule.theirs]
    missing = [theirs for theirs, found in zip(rule.theirs, names) if found is None]
    if missing:
        raise CheckpointError(
            f"{where} has no tensor {missing[0]!r}, which a model of this configuration needs"
        )
    # Functions, so that a rule may read one tensor at a time.
    try:
        return rule.read([lambda name=name: weights[name] for name in names], dtype), names
    except (ValueError, IndexError) as error:  # of other sizes, or with fewer axes
        shapes = ", ".join(f"{name} {np.shape(weights[name])}" for name in names)
        raise CheckpointError(
            f"{where}: {shapes} do not make the parameter {rule.ours}: {error}"
        ) from error


def write_rules(rules: Sequence[Rule], parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{their name: array} from {our name: array}; rules of missing parameters are skipped."""
    made = {}
    pieces = {}  # {their name: {part: array}} of tensors that several parameters share
    for rule in rules:
        if rule.ours not in parameters:
            continue
        arrays = map(np.ascontiguousarray, rule.write(parameters[rule.ours]))
        if rule.part is None:
            made |= zip(rule.theirs, arrays)
        else:
            pieces.setdefault(rule.theirs[0], {})[rule.part] = next(arrays)
    for name, found in pieces.items():
        made[name] = np.concatenate([found[part] for part in sorted(found)])
    return made
