"""Limits of a chat program: steps, characters and depth, all counted.

A published program writes a few lines a message. A hostile one can double a text forty times,
nest loops, or call itself. There is no clock: the same program on the same messages always ends in
the same way. A program cannot change its containers, so the size of each is computed once. Read
next: sandbox.py, which calls this at every operation that can grow.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

from jinja2.runtime import Undefined

from tinylm.errors import ConfigError

# The steps of a program, and more for long conversations: some programs look at each character.
_STEPS, _STEPS_PER_VALUE, _STEPS_PER_CHARACTER = 200_000, 1_000, 10
_ROOM, _ROOM_PER_CHARACTER = 1_000_000, 20  # characters of a text, and of all that is written
_DEPTH = 64  # macros inside macros
_DIGITS = 1_000  # bits of a whole number
_CHARACTERS_PER_STEP = 256  # copying so many takes about as long as a step

# Values of size 1; and views of other values, which are never written or kept.
_SINGLE = (bool, float, type(None), Undefined)
VIEWS = range, type(iter([])), type({}.keys()), type({}.values()), type({}.items())

RUN = ContextVar("run")  # the Run of the present rendering: the sandbox itself has no state


def refuse(what: str) -> NoReturn:
    """Raise ConfigError for a construct that is not on the lists."""
    raise ConfigError(f"chat template: {what} is not among what a chat program may use here")


def check_name(name: str) -> None:
    """Refuse a name that begins with an underscore."""
    if name.startswith("_"):
        refuse(f"the name {name!r}, which begins with an underscore,")


class Run:
    """One rendering: its meter, its clock, and the marks around {% generation %} blocks.

    meter  Meter
    now    function () -> datetime
    marks  ("", "") or two characters to write before and after the assistant's text
    """

    def __init__(self, meter: "Meter", now: Callable, marks: tuple[str, ...] = ("", "")) -> None:
        self.meter, self.now, self.marks = meter, now, marks


class Meter:
    """Counts the work of one rendering; each method raises ConfigError beyond the limits.

    values      numbers, texts and containers in the program's input
    characters  of the texts among them
    """

    def __init__(self, values: int, characters: int) -> None:
        self.steps = _STEPS + _STEPS_PER_VALUE * values + _STEPS_PER_CHARACTER * characters
        self.room = _ROOM + _ROOM_PER_CHARACTER * characters
        self.written, self.depth = 0, 0
        self._sizes = {}  # {id of a container: (container, its size)}

    def spend(self, steps: int) -> None:
        """Take steps from those that are left."""
        self.steps -= steps
        if self.steps < 0:
            raise ConfigError(
                "chat template: the program does not come to an end within the "
                "steps that a conversation of this length may need"
            )

    def fits(self, size: int) -> None:
        """Refuse a value of this size before it is made."""
        if size > self.room:
            raise ConfigError(
                f"chat template: the program makes a value of {size:,} characters; "
                f"{self.room:,} are allowed for this conversation"
            )

    def write(self, text: str) -> str:
        """Count a text that is written; returns it."""
        self.written += len(text)
        self.fits(self.written)
        self.spend(1 + len(text) // _CHARACTERS_PER_STEP)
        return text

    def check(self, value: int | str | Sequence[dict[str, str]]) -> Any:
        """Count a value that was made; returns it."""
        size = 1
        if not isinstance(value, VIEWS):
            size = self.size(value)
        self.fits(size)
        items = 0
        if not isinstance(value, str) and hasattr(value, "__len__"):
            items = len(value)
        self.spend(1 + items + size // _CHARACTERS_PER_STEP)
        return value

    def size(self, value: int | str | Sequence | dict[str, str]) -> int:
        """Characters and values in a value; a part that occurs twice counts twice.

        raises  ConfigError for a value that is no text, number, list or mapping of such
        """
        # Counted as it would be written: a list of ten references to one long text is ten texts.
        if isinstance(value, str):
            return len(value) + 1
        if isinstance(value, _SINGLE):
            return 1
        if isinstance(value, int):
            self.digits(value.bit_length())
            return 1
        if not isinstance(value, (list, tuple, dict)):
            raise ConfigError(
                f"chat template: the program uses a {type(value).__name__} as a "
                "value; it may use texts, numbers, lists and mappings"
            )
        if id(value) not in self._sizes:
            parts = value
            if isinstance(value, dict):
                parts = [*value, *value.values()]
            # The container is kept, so that its id cannot become another's.
            self._sizes[id(value)] = value, 1 + sum(map(self.size, parts))
        return self._sizes[id(value)][1]

    def digits(self, bits: int) -> None:
        """Refuse a whole number of so many bits."""
        if bits > _DIGITS:
            raise ConfigError(f"chat template: the program computes a number of {bits:,} bits")

    def enter(self) -> None:
        """Count one macro inside another."""
        self.depth += 1
        if self.depth > _DEPTH:
            raise ConfigError(f"chat template: macros call each other {_DEPTH} deep")

    def leave(self) -> None:
        """The end of a macro."""
        self.depth -= 1


def measured(value: Any) -> tuple[int, int]:
    """(values, characters) of plain data, the arguments of Meter."""
    if isinstance(value, str):
        return 1, len(value)
    parts = []
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, (list, tuple)):
        parts = value
    inner = [measured(part) for part in parts]
    return 1 + sum(values for values, _ in inner), sum(characters for _, characters in inner)
