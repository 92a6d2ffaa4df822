"""Small errors in the source of a symbol, to see whether tests notice them: mutation testing.

A mutant differs from the program in one place: a comparison, an operator, a number, a sign, the
branches of a condition, a sum that becomes a mean. Docstrings, annotations, messages and what is
raised are left alone. A mutant that passes its row's tests is either a missing test or the same
program in other words; only a reader can tell which. Read next: audit.py, which runs the tests.
"""

import ast
import inspect
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinylm.book import check

COMPARISONS = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
FUNCTIONS = {
    "sum": "mean",
    "mean": "sum",
    "max": "min",
    "min": "max",
    "maximum": "minimum",
    "minimum": "maximum",
    "argmax": "argmin",
}


@dataclass(frozen=True)
class Mutant:
    """One changed place. `text` is the whole file with the change."""

    path: Path
    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {self.before}  ->  {self.after}"


def source(symbol: str) -> tuple[Path, int, int]:
    """(path, first line, last line) of a symbol's own source, lines counted from 1.

    raises   LookupError for what has none: a constant, or an object of a compiled module
    """
    found = _unwrapped(check.resolve(symbol))
    try:
        lines, first = inspect.getsourcelines(found)
        path = Path(inspect.getsourcefile(found))
    except (TypeError, OSError):
        raise LookupError(f"{symbol} has no source to change") from None
    if inspect.ismodule(found):
        first = 1
    return path, first, first + len(lines) - 1


def _unwrapped(found):
    """The function behind a property, a method, a decorator or a registered primitive."""
    found = getattr(found, "fget", None) or getattr(found, "func", None) or found
    found = getattr(found, "__func__", found)
    return inspect.unwrap(getattr(found, "kernel", found))


def mutants(symbol: str) -> list[Mutant]:
    """Every mutant of a symbol, in the order of its lines.

    symbol   "package.module:name", as in the index of the book
    returns  list of Mutant
    raises   LookupError if the symbol has no source
    """
    path, first, last = source(symbol)
    text = path.read_text(encoding="utf-8")
    places = _Places(first, last)
    places.visit(ast.parse(text))
    # The syntax tree counts columns in bytes, so the file is cut as bytes.
    raw = text.encode()
    starts = [0]
    for line in raw.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    made = []
    for node, new in places.found:
        start = starts[node.lineno - 1] + node.col_offset
        stop = starts[node.end_lineno - 1] + node.end_col_offset
        after = ast.unparse(ast.fix_missing_locations(new))
        changed = (raw[:start] + f"({after})".encode() + raw[stop:]).decode()
        if _parses(changed):
            before = " ".join(raw[start:stop].decode().split())
            made.append(Mutant(path, node.lineno, before, after, changed))
    return made


def sample(symbols: Sequence[str], count: int, seed: int = 0) -> list[Mutant]:
    """About `count` mutants of a row's symbols, the same number of each; symbols without source are
    passed over.
    """
    rng = random.Random(seed)
    pools = []
    for symbol in symbols:
        try:
            pools.append(mutants(symbol))
        except LookupError:
            continue
    each = max(1, count // max(1, len(pools)))
    return [mutant for pool in pools for mutant in rng.sample(pool, min(each, len(pool)))]


def _parses(text):
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


class _Places(ast.NodeVisitor):
    """(node, its replacement) for every place between two lines."""

    def __init__(self, first, last):
        self.first, self.last = first, last
        self.found = []

    def add(self, node, new):
        if self.first <= node.lineno and node.end_lineno <= self.last:
            self.found.append((node, new))

    # What is raised, asserted, imported or put into a message is no arithmetic.
    def visit_Raise(self, node):
        pass

    visit_Assert = visit_JoinedStr = visit_Import = visit_ImportFrom = visit_Raise

    def visit_FunctionDef(self, node):
        """Defaults and the body: no decorators, annotations or docstring."""
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node):
        if node.value:
            self.visit(node.value)

    def visit_Compare(self, node):
        if len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
            opposite = COMPARISONS[type(node.ops[0])]()
            self.add(node, ast.Compare(node.left, [opposite], node.comparators))
        self.generic_visit(node)

    def visit_BinOp(self, node):
        of_text = isinstance(node.left, (ast.JoinedStr, ast.List)) or (
            isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
        )
        if type(node.op) in OPERATORS and not of_text:
            self.add(node, ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right))
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        signs = ast.USub, ast.Invert, ast.Not
        if isinstance(node.op, signs) and not isinstance(node.operand, ast.Constant):
            self.add(node, node.operand)
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        if isinstance(node.op, ast.And):
            opposite = ast.Or()
        else:
            opposite = ast.And()
        self.add(node, ast.BoolOp(opposite, node.values))
        self.generic_visit(node)

    def visit_If(self, node):
        self._negate(node)

    def visit_While(self, node):
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.add(node, ast.IfExp(node.test, node.orelse, node.body))
        self.generic_visit(node)

    def _negate(self, node):
        """`if x:` becomes `if not x:`; a comparison or an `and` has a mutant of its own."""
        guard = len(node.body) == 1 and isinstance(node.body[0], ast.Raise)
        if isinstance(node.test, (ast.Name, ast.Attribute, ast.Call)) and not guard:
            self.add(node.test, ast.UnaryOp(ast.Not(), node.test))
        self.generic_visit(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self.add(node, ast.Constant(not value))
        elif isinstance(value, int) and abs(value) < 10_000:
            self.add(node, ast.Constant(value + 1))
        elif isinstance(value, float):
            self.add(node, ast.Constant(value * 1.5 if value else 0.5))

    def visit_Call(self, node):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name == "where" and len(node.args) == 3:
            condition, yes, no = node.args
            self.add(node, ast.Call(node.func, [condition, no, yes], node.keywords))
        if name in FUNCTIONS and isinstance(node.func, ast.Attribute):
            other = ast.Attribute(node.func.value, FUNCTIONS[name], ast.Load())
            self.add(node, ast.Call(other, node.args, node.keywords))
        elif name in ("max", "min"):  # as functions; there is no built-in mean
            other = ast.Name(FUNCTIONS[name], ast.Load())
            self.add(node, ast.Call(other, node.args, node.keywords))
        self.generic_visit(node)
