"""An expression typed by the user, read as Tensor operations: sum(tanh(x @ w + b) ** 2).

The text is parsed by Python's `ast` and walked; nothing of it is ever run. Names become leaves,
with values that were given or drawn, of a shape that fits where they stand; + - * / @ ** and the
functions of the table become operations of tinylm.autograd. Read next: expression.py.
"""

import ast
import json
from collections.abc import Callable

import numpy as np

from tinylm import autograd
from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError

OPERATORS = {
    ast.Add: autograd.add,
    ast.Sub: autograd.sub,
    ast.Mult: autograd.mul,
    ast.Div: autograd.div,
    ast.MatMult: autograd.matmul,
    ast.Pow: autograd.power,
}
ELEMENTWISE = (
    "exp log sqrt tanh sigmoid sin cos abs relu gelu silu softplus erf maximum minimum transpose"
).split()
# These make fewer numbers of many: an array that is drawn for them has more than one.
REDUCING = "sum mean max min prod logsumexp softmax log_softmax cumsum var std norm".split()
OPTIONS = ("axis", "keepdims")
LONGEST, DEEPEST, LARGEST = 400, 40, 36  # characters; levels; numbers in one array


class Formula:
    """An expression, and the arrays that its names stand for.

    text    the expression
    given   {name: nested lists or a number}; other names are drawn
    seed    of what is drawn
    raises  ConfigError for what is no such expression
    """

    def __init__(self, text: str, given: dict | None = None, seed: int = 0) -> None:
        if len(text) > LONGEST:
            raise ConfigError(f"an expression of {len(text)} characters: at most {LONGEST} fit")
        try:
            self.tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or str(error)
            raise ConfigError(f"{text!r} is no expression: {reason}") from None
        self.text, self.seed = ast.unparse(self.tree), seed
        self.leaves = {name: self._leaf(name, value) for name, value in (given or {}).items()}
        self.unused = set(self.leaves)

    def run(self, after: Callable = lambda tree, result: None) -> Tensor:
        """The value, every operation recorded.

        after    called with each part of the tree and its Tensor, once it is computed
        raises   ConfigError for what is not in the tables; ShapeError where shapes do not fit
        """
        self._after = after
        with np.errstate(all="ignore"):  # nan and inf are shown
            result = self._value(self.tree, (), 0)
        if self.unused:
            names = ", ".join(sorted(self.unused))
            raise ConfigError(f"{names} is given, but does not occur in {self.text!r}")
        if not isinstance(result, Tensor) or result._node is None:
            raise ConfigError(f"{self.text!r} has no operation on a name: try x * x")
        return result

    def _leaf(self, name, value):
        try:
            array = np.array(value, np.float64)
        except (ValueError, TypeError):
            raise ConfigError(
                f"array {name}: needs a number or nested lists, not {value!r}"
            ) from None
        if array.size > LARGEST or array.ndim > 2 or array.size == 0:
            raise ConfigError(
                f"array {name} has shape {array.shape}: to be seen whole it needs 1 to {LARGEST} "
                "numbers, and two axes at most"
            )
        return Tensor(array, requires_grad=True, name=name)

    def _drawn(self, name, shape):
        """A leaf with normal numbers of one decimal; each name has a stream of its own."""
        numbers = Random(self.seed, f"explore {name}").normal(shape, np.float64)
        return self._leaf(name, np.round(numbers, 1) + 0.0)  # -0.0 becomes 0.0

    def _value(self, tree, hint, depth):
        """A Tensor or a number; `hint` is the shape of a name that is to be drawn here."""
        if depth > DEEPEST:
            raise ConfigError(f"an expression of more than {DEEPEST} levels")
        if isinstance(tree, ast.Constant) and type(tree.value) in (int, float):
            return tree.value
        if isinstance(tree, ast.Name):
            if tree.id not in self.leaves:
                self.leaves[tree.id] = self._drawn(tree.id, hint)
            self.unused.discard(tree.id)
            return self.leaves[tree.id]
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
            inner = self._value(tree.operand, hint, depth + 1)
            result = autograd.neg(inner) if isinstance(inner, Tensor) else -inner
        elif isinstance(tree, ast.BinOp) and type(tree.op) in OPERATORS:
            result = self._binary(tree, hint, depth)
        elif isinstance(tree, ast.Attribute) and tree.attr == "T":
            result = autograd.transpose(self._value(tree.value, hint[::-1], depth + 1))
        elif isinstance(tree, ast.Call):
            result = self._call(tree, hint, depth)
        else:
            raise ConfigError(
                f"{ast.unparse(tree)!r} is not understood: use names, numbers, + - * / @ **, .T, "
                f"{', '.join([*ELEMENTWISE, *REDUCING])}"
            )
        if isinstance(result, Tensor) and result.size > LARGEST:
            raise ConfigError(
                f"{ast.unparse(tree)} has shape {result.shape}, more than the {LARGEST} numbers "
                "that a figure can show: give smaller arrays"
            )
        self._after(tree, result)
        return result

    def _binary(self, tree, hint, depth):
        a, b = tree.left, tree.right
        if isinstance(tree.op, ast.MatMult):
            left = self._value(a, (2, 3), depth + 1)
            right = self._value(b, (np.shape(left)[-1:] or (3,)) + (2,), depth + 1)
        elif isinstance(a, ast.Name) and a.id not in self.leaves:
            # A name that is drawn takes the shape of what stands beside it, as a bias does.
            right = self._value(b, hint, depth + 1)
            left = self._value(a, np.shape(right)[-1:] or hint, depth + 1)
        else:
            left = self._value(a, hint, depth + 1)
            right = self._value(b, np.shape(left)[-1:], depth + 1)
        if not isinstance(left, Tensor) and not isinstance(right, Tensor):
            left = Tensor(float(left))  # numbers alone: constants, without a gradient
        return OPERATORS[type(tree.op)](left, right)

    def _call(self, tree, hint, depth):
        name = getattr(tree.func, "id", None)
        if name not in ELEMENTWISE and name not in REDUCING:
            raise ConfigError(
                f"{ast.unparse(tree.func)!r} is not among the functions: "
                f"{', '.join([*ELEMENTWISE, *REDUCING])}"
            )
        if not tree.args or any(isinstance(each, ast.Starred) for each in tree.args):
            raise ConfigError(f"{ast.unparse(tree)}: needs an argument, as in {name}(x)")
        inner = hint or (3,) if name in REDUCING else hint
        values = [self._value(each, inner, depth + 1) for each in tree.args]
        options = {}
        for keyword in tree.keywords:
            if keyword.arg not in OPTIONS:
                raise ConfigError(f"{name}: no option {keyword.arg}: there are axis and keepdims")
            try:
                options[keyword.arg] = ast.literal_eval(keyword.value)
            except ValueError:
                text = ast.unparse(keyword.value)
                raise ConfigError(f"{name}: {keyword.arg} is a number, not {text}") from None
        try:
            return getattr(autograd, name)(*values, **options)
        except TypeError as error:  # too many arguments, or an option that it does not have
            raise ConfigError(f"{ast.unparse(tree)}: {error}") from None


def given_arrays(words: tuple[str, ...]) -> dict:
    """{name: value} of words such as "x=[[1, 2], [3, 4]]" or "b=0.5".

    raises  ConfigError for a word of another form
    """
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ConfigError(f'array {word!r} has not the form NAME=NUMBERS, "x=[[1, 2], [3, 4]]"')
        try:
            found[name.strip()] = json.loads(text)
        except ValueError:
            raise ConfigError(
                f"array {name.strip()}: {text!r} is no number and no list of numbers"
            ) from None
    return found
