"""Checks of the index: every symbol must import, every test and every script must be there.

Symbols are imported; tests are looked up in the syntax tree of their file, so nothing is run.
"""

import ast
import functools
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tinylm

if TYPE_CHECKING:
    from tinylm.book import Row


def repository() -> Path:
    """The folder that holds tests/ and scripts/ beside tinylm/, or None when only the package is
    installed.

    For an installed package that runs inside a checkout it is that checkout.
    """
    for folder in (Path(tinylm.__file__).resolve().parent.parent, Path.cwd()):
        if (folder / "tests").is_dir() and (folder / "tinylm" / "book").is_dir():
            return folder
    return None


def names(column: str) -> list[str]:
    """The things a column names: 'a b' and 'a, b' are two, '-' is none."""
    return [name for name in column.replace(",", " ").split() if name != "-"]


def resolve(symbol: str) -> Any:
    """The object of `package.module:attribute.attribute`, or of a dotted name.

    raises   LookupError naming the part that is not there
    """
    module_name, path = module_of(symbol)
    attributes = [part for part in path.split(".") if part]
    try:
        found = importlib.import_module(module_name)
    except ImportError as error:
        raise LookupError(f"{module_name} does not import: {error}") from None
    for i, attribute in enumerate(attributes):
        if not hasattr(found, attribute):
            raise LookupError(f"{'.'.join([module_name, *attributes[:i]])} has no {attribute!r}")
        found = getattr(found, attribute)
    return found


def module_of(symbol: str) -> tuple[str, str]:
    """(module, path of attributes) of a symbol in either spelling; the path of a module is ""."""
    if ":" in symbol:
        module_name, _, path = symbol.partition(":")
        return module_name, path.lstrip(":")
    module_name, attributes = _longest_module(symbol)
    return module_name, ".".join(attributes)


def _longest_module(dotted):
    parts = dotted.split(".")
    for stop in range(len(parts), 0, -1):
        name = ".".join(parts[:stop])
        try:
            if importlib.util.find_spec(name):
                return name, parts[stop:]
        except (ImportError, ValueError):  # the parent is no package
            continue
    return parts[0], parts[1:]


def test_complaint(test: str, root: Path) -> str | None:
    """What is wrong with a test id `path::name` or `path::Class::name`, or None."""
    path, *parts = test.partition("[")[0].split("::")
    if not (root / path).is_file():
        return f"test file {path} is not there"
    scope = _statements(root / path, (root / path).stat().st_mtime_ns)
    for part in parts:
        node = next(
            (n for n in scope if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name == part),
            None,
        )
        if node is None:
            return f"{path} has no {part!r}"
        scope = node.body
    return None


@functools.lru_cache(maxsize=64)  # the rows of a section have their tests in few files
def _statements(path, changed):
    """The statements of a file; `changed`, its time, so that a file that changes is read again."""
    return ast.parse(path.read_text(encoding="utf-8")).body


def commands(script: str) -> list[str]:
    """The commands that a reader types, of the words of a row's last column: list of str.

    The first word begins a command, and so does each word in scripts/; what follows belongs to it.
    """
    found = []
    for number, word in enumerate(script.split()):
        if word.startswith("scripts/") or (number == 0 and word != "tinylm"):
            found.append(f"python {word}")
        elif number == 0:
            found.append(word)
        else:
            found[-1] += f" {word}"
    return found


def script_complaint(
    script: str, root: Path, verbs: tuple | dict[str, tuple[str, str]] = ()
) -> str | None:
    """What is wrong with paths of scripts or a `tinylm VERB` command, or None. `verbs` are those
    that exist.
    """
    for command in commands(script):
        program, *rest = command.split()
        if program == "tinylm" and (not rest or rest[0] not in verbs):
            return f"tinylm has no verb {' '.join(rest[:1])!r}"
        if program == "python" and root is not None and not (root / rest[0]).is_file():
            return f"script {rest[0]} is not there"
    return None


def complaints(
    table: "Sequence[Row]", root: str | Path | None = None, verbs: tuple = ()
) -> list[str]:
    """What is wrong with the symbols, tests and scripts of a table.

    table    list of Row
    root     the repository; None: tests and scripts are not checked
    verbs    the verbs of the command line, for scripts that are commands
    returns  list of lines "id: what is wrong"; empty if nothing is
    """
    root = None if root is None else Path(root)
    found = []
    for row in table:
        for symbol in names(row.symbol):
            try:
                resolve(symbol)
            except LookupError as error:
                found.append(f"{row.id}: symbol {symbol}: {error}")
        wrong = [test_complaint(test, root) for test in names(row.test)] if root else []
        wrong += [script_complaint(row.script, root, verbs)] if row.script != "-" else []
        found += [f"{row.id}: {what}" for what in wrong if what]
    return found
