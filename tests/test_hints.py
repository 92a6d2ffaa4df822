"""Every public function says what it takes and returns, in hints that resolve.

`mypy` (pyproject.toml, .ci/run) compares the hints with one another.
"""

import ast
import importlib
import inspect
import typing
from pathlib import Path

import pytest

from tinylm.autograd import Tensor, methods
from tinylm.autograd.engine.attached import Attached

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tinylm"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())


def files(room):
    """The files of a room; of "" those that stand in no room.

    Without cases.py, where the gradient checker finds its inputs: nobody else calls what is there.
    """
    found = sorted((PACKAGE / room).rglob("*.py")) if room else sorted(PACKAGE.glob("*.py"))
    return [path for path in found if path.name != "cases.py"]


def public_functions(node, prefix="", inside=False):
    """(dotted name, definition, whether it is a method) of all that a user may call."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child, f"{prefix}{child.name}.", True)
        elif isinstance(child, ast.FunctionDef):
            special = child.name.startswith("__") and child.name.endswith("__")
            if special or not child.name.startswith("_"):
                yield f"{prefix}{child.name}", child, inside
        elif isinstance(child, (ast.If, ast.Try, ast.With)):
            yield from public_functions(child, prefix, inside)


def without_hint(definition, method):
    """Names of the parameters that have no hint, and "return"."""
    arguments = definition.args
    named = [*arguments.posonlyargs, *arguments.args]
    static = any(ast.unparse(one) == "staticmethod" for one in definition.decorator_list)
    if method and not static:
        named = named[1:]  # self, cls
    named += [*arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    missing = [one.arg for one in named if one is not None and one.annotation is None]
    if definition.returns is None:
        missing.append("return")
    return missing


def module_of(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return importlib.import_module(name.removesuffix(".__init__"))


def names_for_checkers(tree):
    """What a file imports for type checkers alone, under `if TYPE_CHECKING:`."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                source = importlib.import_module(line.module)
                found |= {one.asname or one.name: getattr(source, one.name) for one in line.names}
    return found


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_public_functions_have_hints(room):
    bare = []
    for path in files(room):
        for name, definition, method in public_functions(ast.parse(path.read_text("utf-8"))):
            if missing := without_hint(definition, method):
                bare.append(f"{path.relative_to(ROOT)} {name}: {', '.join(missing)}")
    assert not bare, "\n".join(bare)


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_hints_resolve(room):
    for path in files(room):
        tree = ast.parse(path.read_text("utf-8"))
        functions = list(public_functions(tree))
        if path.name in ("__main__.py", "warm.py") or not functions:  # these run when imported
            continue
        try:
            module = module_of(path)
        except ModuleNotFoundError as missing:  # a library to compare with, such as torch
            assert not missing.name.startswith("tinylm")
            continue
        names = names_for_checkers(tree)
        for _, definition, _ in functions:
            for hint in hints_of(definition):
                # As Python reads it where the function stands: a quoted hint is read again.
                value = eval(hint, vars(module) | names)
                typing.get_type_hints(_Holder(value), vars(module) | names)


class _Holder:
    """Something with one annotation, for typing.get_type_hints."""

    def __init__(self, value):
        self.__annotations__ = {"value": value}


def hints_of(definition):
    arguments = definition.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    hints = [one.annotation for one in every] + [definition.returns]
    return [ast.unparse(hint) for hint in hints if hint is not None]


def test_what_is_attached_to_tensor_is_written_down():
    written = {name for name, value in vars(Attached).items() if inspect.isfunction(value)}
    attached = {name for name, value in vars(Tensor).items() if is_attached(value)}
    known = written | set(Attached.__annotations__) | {"__format__"}  # object has __format__
    # What raises an error, or is for NumPy alone, is no operator that a checker should accept.
    known |= {f"__{side}{name}__" for name in methods.REFUSED for side in ("", "r")}
    known |= {"__getattr__", "__array_function__"}
    assert attached <= known, f"write down in attached.py: {sorted(attached - known)}"
    assert written <= set(dir(Tensor)), f"not attached: {sorted(written - set(dir(Tensor)))}"


def is_attached(value):
    """Whether an attribute of Tensor was made outside of its class."""
    function = value.fget if isinstance(value, property) else value
    module = getattr(function, "__module__", None)
    return inspect.isfunction(function) and module != Tensor.__module__


@pytest.mark.parametrize(
    "name",
    [name for names in methods.METHODS.values() for name in names],
)
def test_a_method_written_down_takes_what_its_operation_takes(name):
    (operations,) = [module for module, names in methods.METHODS.items() if name in names]
    operation = inspect.signature(getattr(operations, name)).parameters.values()
    written = inspect.signature(getattr(Attached, name)).parameters.values()
    assert [(one.name, one.default) for one in written][1:] == [
        (one.name, one.default) for one in operation
    ][1:]
