"""What a chat program may call: methods of texts and mappings, filters, tests and a few functions.

Each counts its arguments and its result (limits.py), and refuses a result that would be too large
before making it. Read next: sandbox.py.
"""

import functools
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from jinja2 import defaults
from jinja2.utils import Namespace

from tinylm.errors import DataError
from tinylm.models.published.chat.limits import RUN, VIEWS, check_name, refuse

# Of Jinja's own; tojson is ours.
FILTERS = (
    "abs capitalize count d default dictsort e escape first float indent int items join last "
    "length list lower map max min reject rejectattr replace reverse round safe select selectattr "
    "sort string title trim unique upper"
).split()
TESTS = (
    "boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable "
    "le lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper "
    "== != > >= < <="
).split()
# Filters that would write a range or a view as Python shows it.
_OF_TEXT = frozenset(
    "capitalize e escape indent lower replace safe string title trim upper".split()
)
# {type: the methods that a program may use}; none of them changes its object.
METHODS = {
    str: "capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit "
    "islower isnumeric isspace istitle isupper join lower lstrip partition removeprefix "
    "removesuffix replace rfind rindex rpartition rsplit rstrip split splitlines startswith "
    "strip swapcase title upper",
    dict: "copy get items keys values",
    list: "copy count index",
    tuple: "count index",
}
METHODS = {kind: frozenset(names.split()) for kind, names in METHODS.items()}
_DATE = re.compile(r"(?:[^%]|%-?[A-Za-z]|%%)*")  # no widths: "%999999999d" would fill the memory


def callable_here(function: Callable) -> Callable:
    """Marks a function that programs may call."""
    function.of_the_sandbox = True
    return function


class Method:
    """A listed method of a text, list or mapping, ready to be called."""

    of_the_sandbox = True

    def __init__(self, value: Any, name: str) -> None:
        self.value, self.name = value, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        meter = RUN.get().meter
        meter.check(self.value)
        # Of the listed methods, these two can make a text much longer than their arguments.
        if self.name == "join" and args:
            args = ([meter.check(part) for part in args[0]], *args[1:])
            meter.fits(sum(map(meter.size, args[0])) + len(self.value) * len(args[0]))
        if self.name == "replace" and len(args) > 1:
            _room_to_replace(meter, self.value, *args[:2])
        return meter.check(getattr(self.value, self.name)(*args, **kwargs))


def _room_to_replace(meter, text, old, new):
    """Refuse a replacement whose result would be too long."""
    text, old, new = str(text), str(old), str(new)
    meter.fits(len(text) + text.count(old) * len(new))


def _guarded(name, function, test=False):
    """A filter or test of Jinja that counts its arguments and its result."""
    first = int(hasattr(function, "jinja_pass_arg"))  # Jinja passes its own environment to some

    @functools.wraps(function)
    def run(*args, **kwargs):
        meter, given = RUN.get().meter, args[first:]
        if name in _OF_TEXT and given and isinstance(given[0], VIEWS):
            refuse(f"the text of a {type(given[0]).__name__}")
        if name == "join" and given and isinstance(given[0], VIEWS):  # so that it has a length
            given = (list(given[0]), *given[1:])
            args = (*args[:first], *given)
        for value in given:
            if not test or isinstance(value, (str, list, tuple, dict, *VIEWS)):
                meter.check(value)  # a test takes any object: `f is defined`
        _grows(name, meter, given, kwargs)
        made = function(*args, **kwargs)
        if hasattr(made, "__next__"):  # stays an iterator, truthy and without a length
            return iter([meter.check(item) for item in made])
        return meter.check(made)

    return run


def _grows(name, meter, given, kwargs):
    """Refuse a result that would be too large, before it is made."""
    if name == "replace" and len(given) > 2:
        _room_to_replace(meter, *given[:3])
    if name == "join":
        between, parts = kwargs.get("d", ""), 1
        if len(given) > 1:
            between = given[1]
        if hasattr(given[0], "__len__"):
            parts = len(given[0])
        meter.fits(len(str(between)) * parts)
    if name == "indent":
        width = kwargs.get("width", 4)
        if len(given) > 1:
            width = given[1]
        meter.fits(_width(width) * (1 + str(given[0]).count("\n")))


def _width(indent):
    """The characters of an indentation, given as a text or a number."""
    if isinstance(indent, str):
        return len(indent)
    return int(indent)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as published programs expect it: not escaped for HTML, as Jinja's own filter does."""
    meter = RUN.get().meter
    meter.check(value)
    if _width(indent or 0) > 16 or any(len(part) > 16 for part in separators or ()):
        refuse("JSON so far indented")
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    # Piece by piece, so that a text too long is refused before it is whole.
    text, length = [], 0
    for chunk in encoder.iterencode(value):
        text.append(chunk)
        length += len(chunk)
        meter.fits(length)
    return meter.check("".join(text))


@callable_here
def raise_exception(message: Any = "") -> NoReturn:
    """Called by a program to refuse a conversation."""
    raise DataError(f"chat: the template refuses this conversation: {str(message)[:500]}")


@callable_here
def strftime_now(pattern: str) -> str:
    """The date, in the form of strftime."""
    if not isinstance(pattern, str) or len(pattern) > 200 or not _DATE.fullmatch(pattern):
        refuse(f"the date format {str(pattern)[:40]!r}")
    return RUN.get().meter.check(RUN.get().now().strftime(pattern))


@callable_here
def namespace(*args: Any, **kwargs: Any) -> Any:
    """Jinja's namespace: an object whose attributes a loop can change."""
    given = dict(*args, **kwargs)
    for name in given:
        check_name(str(name))
    return Namespace(given)


@callable_here
def mapping(*args: Any, **kwargs: Any) -> dict:
    """dict(...)"""
    return RUN.get().meter.check(dict(*args, **kwargs))


@callable_here
def numbers(*bounds: int) -> range:
    """range(...)"""
    made = range(*bounds)
    return RUN.get().meter.check(made)


def filters() -> dict[str, Callable]:
    """{name: function} of the filters."""
    known = defaults.DEFAULT_FILTERS
    return {name: _guarded(name, known[name]) for name in FILTERS} | {"tojson": to_json}


def tests() -> dict[str, Callable]:
    """{name: function} of the tests."""
    known = defaults.DEFAULT_TESTS
    return {name: _guarded(name, known[name], test=True) for name in TESTS}


# {name in programs: function}
FUNCTIONS = {
    "raise_exception": raise_exception,
    "strftime_now": strftime_now,
    "namespace": namespace,
    "dict": mapping,
    "range": numbers,
}
