"""The gradients of an expression, step by step: what the tape recorded, and the walk back along it.

Forward: an observer of the engine sees every operation as it is recorded. Backward: the engine's
own walk() calls back at every node, in its own order; the derivatives that the node's rule returns
are written down as they pass by, and so is the sum that has gathered so far. Nothing is computed
twice, and nothing in another way than in training. Read first: formula.py; next:
web/expression.js, which draws it.
"""

import ast
import copy
import functools
import inspect
import linecache
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.engine.backward import send, walk
from tinylm.autograd.engine.cotangent import cotangent_of
from tinylm.autograd.engine.operation import fused_operations, primitives
from tinylm.autograd.engine.part import Gathered, Part
from tinylm.autograd.engine.tensor import edge_of, observers
from tinylm.errors import ConfigError
from tinylm.explore.formula import Formula, given_arrays
from tinylm.explore.page import Figure, relative, source_of

if TYPE_CHECKING:
    from tinylm.explore.at_hand import AtHand


EXAMPLE = "sum(tanh(x @ w + b) ** 2)"
LONGEST_RULE = 14  # lines of a rule that is a function


def figures(at_hand: "AtHand") -> list[Figure]:
    """The figure of at_hand.expression, or of EXAMPLE."""
    formula = Formula(at_hand.expression or EXAMPLE, given_arrays(at_hand.arrays), at_hand.seed)
    return [
        Figure(
            "expression",
            "Gradients, step by step",
            f"Every operation of `{formula.text}` as the tape recorded it, then the chain rule "
            "from the end: each node that knows the whole gradient of its result sends a part to "
            "every argument, and parts add up (reverse-mode differentiation; the walk is "
            f"`{source_of(walk)}`, the sum `{source_of(send)}`). Step with the arrow keys.",
            traced(formula),
        )
    ]


def traced(formula: Formula) -> dict:
    """Everything that happens in one forward and one backward pass.

    formula  Formula of a scalar
    returns  {"text", "nodes": leaves, then operations in the order of the tape; "steps": the
             backward steps in the order of the walk}. A node is {name, op, text, value, inputs
             (places of its arguments; -1 for a constant), constants, at (file:line), rules}; a step
             is {node, gradient, sends: [{to, argument, part, total}]}, total only with the last
             part that the step sends to a value
    raises   ConfigError if the result is no scalar
    """
    seen, texts = [], {}

    def observe(label, args, result, options):
        if result._node is not None:
            seen.append((label, args, result, options))

    def after(tree, result):
        if isinstance(result, Tensor) and result._node is not None:
            texts[id(result._node)] = ast.unparse(tree)

    observers.append(observe)
    try:
        output = formula.run(after)
    finally:
        observers.remove(observe)
    if output.size != 1:
        raise ConfigError(
            f"{formula.text} has shape {output.shape}, and a gradient starts from one number: "
            f"try sum({formula.text})"
        )
    leaves = list(formula.leaves.values())
    edges = leaves + [result._node for _, _, result, _ in seen]
    places = {id(edge): i for i, edge in enumerate(edges)}
    nodes = [
        {"name": leaf.name, "op": "", "text": leaf.name, "value": shown(leaf.data), "inputs": []}
        for leaf in leaves
    ]
    for label, args, result, options in seen:
        nodes.append(_operation(label, args, result, options, texts, places))
    return {"text": formula.text, "nodes": nodes, "steps": _steps(output, edges, places)}


def shown(array: np.ndarray) -> dict:
    """An array for the page: {"shape", "rows"}, a row for each line of numbers, in float64."""
    rows = np.asarray(array, np.float64).reshape(-1, array.shape[-1] if array.ndim else 1)
    return {"shape": list(array.shape), "rows": rows.tolist()}


def _operation(label, args, result, options, texts, places):
    """A node of the page for one recorded operation."""
    node = result._node
    # Operands alone: options such as an axis have no edge, and stand by their names.
    inputs = [places[id(edge)] if edge is not None else -1 for edge in node.inputs]
    constants = [None if place >= 0 else _constant(value) for place, value in zip(inputs, args)]
    operation = primitives.get(label) or fused_operations.get(label)
    return {
        "name": "",
        "op": label,
        "text": texts.get(id(node), label),
        "value": shown(result.data),
        "inputs": inputs,
        "constants": constants,
        "options": {name: repr(value) for name, value in options.items() if value is not None},
        "at": _made_at(operation),
        "rules": [_rule(operation, i) if place >= 0 else None for i, place in enumerate(inputs)],
    }


def _constant(value):
    value = np.asarray(getattr(value, "data", value))
    if value.size == 1:
        return f"{value.item():g}"
    return f"constant {value.shape}"


def _steps(output, edges, places):
    """The backward pass of the engine, written down at every node."""
    steps = []
    leaf_totals = {}

    def sink(leaf, g, fresh):
        old = leaf_totals.get(id(leaf))
        leaf_totals[id(leaf)] = np.array(g) if old is None else old + g

    def apply(node, g, waiting, heap, sink):
        derivatives = []

        def derive(g, same):
            # A fused rule may give functions, which write into the optimizer's buffers: called.
            for d in node.derive(g, node):
                derivatives.append(d(None) if callable(d) else d)
            return derivatives

        # Only the rule is replaced, by one that keeps what it returns; the engine does the rest.
        watched = copy.copy(node)
        watched.derive = derive
        before = len(steps)
        send(watched, g, waiting, heap, sink)
        sends = [
            {"to": places[id(edge)], "argument": i, "part": shown(_whole(part))}
            for i, (edge, part) in enumerate(zip(node.inputs, derivatives))
            if edge is not None and part is not None
        ]
        # Of two parts to one value, as in x * x, the sum is read after the second.
        for each in {each["to"]: each for each in sends}.values():
            edge = edges[each["to"]]
            total = leaf_totals[id(edge)] if isinstance(edge, Tensor) else waiting[edge]
            each["total"] = shown(total.array if isinstance(total, Gathered) else total)
        steps.insert(before, {"node": places[id(node)], "gradient": shown(g), "sends": sends})

    with np.errstate(all="ignore"):
        walk(output, cotangent_of(output, None), sink, True, False, apply)
    assert edge_of(output) is edges[steps[0]["node"]]
    return steps


def _whole(part):
    """The array of a derivative; a Part, which knows only a slice, with its zeros."""
    if isinstance(part, Part):
        return part.data
    return part


@functools.cache
def _rule(operation, i):
    """The derivative by argument i: {"text", "at"}; of a kernel, where it is derived by hand."""
    if operation is None:
        return None
    if not hasattr(operation, "rules"):
        twin = f"derived by hand; its plain twin is {source_of(operation.twin)}"
        return {"text": twin, "at": source_of(operation.kernel)}
    rule = operation.rules[0 if operation.variadic else i]
    if rule is None:
        return None
    code = rule.__code__
    path = Path(code.co_filename)
    at = f"{relative(path.resolve())}:{code.co_firstlineno}"
    if code.co_name != "<lambda>":
        lines = inspect.getsource(rule).rstrip().splitlines()
        if len(lines) > LONGEST_RULE:
            lines[LONGEST_RULE:] = ["    ..."]
        return {"text": textwrap.dedent("\n".join(lines)), "at": at}
    return {"text": _lambda_text(code), "at": at}


def _lambda_text(code):
    """The body of a lambda as it stands in its file."""
    source = "".join(linecache.getlines(code.co_filename))
    for tree in ast.walk(ast.parse(source)):
        # Several may stand in one line, and only their code tells them apart.
        if isinstance(tree, ast.Lambda) and tree.lineno == code.co_firstlineno:
            made = compile(ast.Expression(tree), code.co_filename, "eval").co_consts
            same = [
                c
                for c in made
                if hasattr(c, "co_code")
                and c.co_code == code.co_code
                and c.co_names == code.co_names
                and c.co_varnames == code.co_varnames
                and c.co_consts == code.co_consts
            ]
            if same:
                return ast.get_source_segment(source, tree.body)
    return linecache.getline(code.co_filename, code.co_firstlineno).strip()


def _made_at(operation):
    """file:line of an operation's forward."""
    if operation is None:
        return ""
    return source_of(operation)
