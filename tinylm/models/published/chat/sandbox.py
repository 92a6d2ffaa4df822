"""The sandbox of chat programs: Jinja's immutable sandbox, made narrower.

A program is not trusted. It may use what published programs use: loops with break and continue,
conditions, macros, namespaces, methods of texts and mappings, a few filters and tests,
`raise_exception`, `strftime_now`, `tojson` and {% generation %}. Everything else is refused by
name: a tag, filter, attribute or function that is not on a list does not exist here. No attribute
of Python can be reached except the listed methods, no name begins with an underscore, and every
operation whose result can grow is counted (limits.py).

Read first: limits.py, functions.py, grammar.py.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from tinylm.models.published.chat.functions import (
    FUNCTIONS,
    METHODS,
    Method,
    callable_here,
    filters,
    tests,
)
from tinylm.models.published.chat.grammar import Guard
from tinylm.models.published.chat.limits import RUN, VIEWS, check_name, refuse

# Attributes of the variable `loop`.
_LOOP = frozenset(
    "changed cycle depth depth0 first index index0 last length nextitem previtem "
    "revindex revindex0".split()
)
# Formats of `%` with a width of three digits, or one given as a value: "%999d", "%*d".
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:\d{3}|\*)")


class Generation(Extension):
    """{% generation %} ... {% endgeneration %}: around the assistant's text."""

    tags = {"generation"}

    def parse(self, parser: Any) -> Any:
        """The block as a call of `marked` with the text in it."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("marked"), [], [], body).set_lineno(line)

    @callable_here
    def marked(self, caller: Any) -> Any:
        """The text of a block, between marks."""
        before, after = RUN.get().marks
        return before + caller() + after


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment that all chat programs share; the state of one rendering is in RUN."""

    intercepted_binops = frozenset(["+", "*", "%", "**"])

    def __init__(self) -> Any:
        super().__init__(
            trim_blocks=True,  # as the library renders chat templates
            lstrip_blocks=True,
            optimized=False,  # else constants are computed in the compiler, uncounted
            extensions=[Generation, loopcontrols],
        )
        self.filters, self.tests, self.globals = filters(), tests(), dict(FUNCTIONS)

    def guarded(self, program: str) -> Any:
        """The program as a template that can be rendered, once Guard has checked its syntax."""
        tree = self.parse(program)
        tree = Guard(tree).visit(tree)
        tree.set_environment(self)
        code = self.compile(tree)
        return self.template_class.from_code(self, code, self.make_globals(None), None)

    # The calls that Guard puts into programs.

    @callable_here
    def written(self, value: Any) -> Any:
        """{{ value }}: the text that it writes."""
        return RUN.get().meter.write(self._text(value))

    @callable_here
    def joined(self, *values: str) -> Any:
        """a ~ b"""
        texts = [self._text(value) for value in values]
        RUN.get().meter.fits(sum(map(len, texts)))
        return RUN.get().meter.check("".join(texts))

    @callable_here
    def made(self, value: Any) -> Any:
        """A list, tuple or mapping written out in the program, or a slice."""
        return RUN.get().meter.check(value)

    @callable_here
    def counted(self, values: Sequence[dict[str, str]]) -> Any:
        """The values of a loop, as a list, whose length is counted before the loop runs."""
        if isinstance(values, (Namespace, Macro, LoopContext, Method)):
            refuse(f"a loop over a {type(values).__name__}")
        items = list(values)
        RUN.get().meter.spend(1 + len(items))
        return items

    @callable_here
    def compared(self, value: Any) -> Any:
        """A side of a comparison."""
        if isinstance(value, (str, list, tuple, dict, *VIEWS)):
            RUN.get().meter.check(value)
        return value

    @staticmethod
    def _text(value):
        """A value as it is written; its size is checked before str() makes the text."""
        if isinstance(value, str):
            return value
        meter = RUN.get().meter
        meter.fits(meter.size(value))
        return str(value)

    # What Jinja's own sandbox calls.

    def getattr(self, obj: Any, attribute: str) -> Any:
        """obj.attribute: a listed method, or else the item of that name."""
        # Jinja's own order: `message.items` is the method even if the mapping has such a key.
        found = self._attribute(obj, attribute)
        if not isinstance(found, Undefined) or not isinstance(obj, dict):
            return found
        return obj.get(attribute, found)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """obj[argument], or a listed method where there is no such item."""
        try:
            return obj[argument]
        except (TypeError, LookupError):
            if isinstance(argument, str):
                return self._attribute(obj, argument)
        return self.undefined(obj=obj, name=argument)

    def _attribute(self, obj, name):
        """A listed method, an attribute of `loop` or of a namespace; all others are refused."""
        check_name(name)
        if isinstance(obj, Undefined):
            return getattr(obj, name)  # raises Jinja's own error, which names it
        for kind, names in METHODS.items():
            if isinstance(obj, kind) and name in names:
                return Method(obj, name)
        if isinstance(obj, LoopContext) and name in _LOOP:
            value = getattr(obj, name)
            if callable(value):  # cycle, changed: a new function to put the mark on
                return callable_here(functools.partial(value))
            return value
        if isinstance(obj, Namespace):
            return getattr(obj, name, self.undefined(obj=obj, name=name))
        if hasattr(obj, name):  # refused by name; what does not exist is undefined, as in Jinja
            refuse(f"the attribute {name!r} of a {type(obj).__name__}")
        return self.undefined(obj=obj, name=name)

    def call(__self, __context: Any, __obj: Callable, *args: Any, **kwargs: Any) -> Any:
        """Call a macro or what is marked for programs; nothing else can be called."""
        if isinstance(__obj, Undefined):
            return __obj()
        if not isinstance(__obj, Macro):
            if not getattr(__obj, "of_the_sandbox", False):
                raise SecurityError(f"a {type(__obj).__name__} cannot be called")
            return __context.call(__obj, *args, **kwargs)
        # A macro: it may call itself.
        meter = RUN.get().meter
        meter.spend(5)
        meter.enter()
        try:
            return __context.call(__obj, *args, **kwargs)
        finally:
            meter.leave()

    def call_binop(self, context: Any, operator: str, left: str, right: str) -> Any:
        """+, *, % and **, each of which can make something large."""
        meter = RUN.get().meter
        if operator == "**":
            refuse("the operator **")
        if operator == "*":
            _room_to_repeat(meter, left, right)
        if operator == "%" and isinstance(left, str):
            if _WIDE.search(left):
                refuse(f"the format {left[:40]!r}")
            # Every %s may write all of the right side, quoted.
            meter.fits(len(left) + left.count("%") * 2 * meter.size(right))
        return meter.check(super().call_binop(context, operator, left, right))

    def is_safe_callable(self, obj: Any) -> Any:
        """Only what is marked, and macros."""
        return isinstance(obj, Macro) or getattr(obj, "of_the_sandbox", False)


def _room_to_repeat(meter, left, right):
    """Refuse a product that would be too large: a text or list times a number, or two numbers."""
    for some, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(some, (str, list, tuple)):
            meter.fits(meter.size(some) * max(0, times))
    if isinstance(left, int) and isinstance(right, int):
        meter.digits(left.bit_length() + right.bit_length())
