"""Tools are plain functions with named arguments   (book section 3.2.5).

    tools = Tools({"calculator": calculator, "web-search": searcher(index)})

A model writes calls that no programmer would: unknown names, missing arguments, a division by zero,
a search that never returns. Each becomes an error that the model can read, and none stops the
generation. Read next: loop.py.
"""

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinylm.errors import ConfigError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.reasoning.calculator import calculate, decimal_text
from tinylm.prompt.tools.markers import Marker, inert, is_name

if TYPE_CHECKING:
    from tinylm.prompt.tools.retrieval_in_inference import Watched


TIME_LIMIT = 10.0  # seconds of a call
LONGEST = 2000  # characters of a result; a longer one would fill the model's context


@dataclass(frozen=True)
class Result:
    """What a call returned.

    text    str that stands in the place of the call
    error   kind of the error, "" if there was none: "malformed", "unknown tool", "arguments",
            "failed", "time limit"
    """

    text: str
    error: str = ""


class Tools:
    """Functions by the names that a model uses for them.

    functions   {name: function}; its parameters are the named arguments of a call, all str. It
                returns what can be written as text; the first line of its docstring describes it
    time_limit  seconds of a call; None: a call may take for ever
    longest     characters of a result; the rest is cut off, and "..." shows it
    raises      ConfigError for a name that a marker cannot hold, or parameters without names
    """

    def __init__(
        self, functions: dict[str, Callable], time_limit: float = TIME_LIMIT, longest: int = LONGEST
    ) -> None:
        self.functions, self.time_limit, self.longest = dict(functions), time_limit, longest
        for name, function in self.functions.items():
            if not is_name(name):
                raise ConfigError(
                    f"Tools: the name {name!r} cannot stand in a call: begin it with a letter, and "
                    "use letters, digits, - and _"
                )
            try:
                parameters = inspect.signature(function).parameters.values()
            except (TypeError, ValueError) as error:  # no function, or one such as max
                raise ConfigError(
                    f"Tools: {name} has no list of arguments ({error}): give a function that has"
                ) from error
            # A call names its arguments, so *args and positional-only ones could not be given.
            kinds = {one.kind for one in parameters}
            named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
            if not kinds <= named:
                raise ConfigError(f"Tools: all arguments of {name} must have names")

    def describe(self) -> str:
        """One line for each tool, for a prompt: "calculator(expression): ..."."""
        lines = []
        for name, function in self.functions.items():
            # What a model needs to know of a function: name, arguments, and a line.
            arguments = ", ".join(inspect.signature(function).parameters)
            about = (inspect.getdoc(function) or "").partition("\n")[0]
            lines.append(f"{name}({arguments}): {about}".removesuffix(": "))
        return "\n".join(lines)

    def run(self, marker: Marker) -> Result:
        """The result of a call; an error is a result too.

        marker   Marker (markers.py)
        returns  Result, in whose text no other call begins
        """
        if marker.fault:
            return _error("malformed", f"malformed call: {marker.fault}")
        if marker.name not in self.functions:
            known = ", ".join(self.functions) or "none"
            return _error("unknown tool", f"no tool {marker.name!r}; there are: {known}")
        function = self.functions[marker.name]
        parameters = inspect.signature(function).parameters
        # Before the call, as a TypeError from inside the function is a fault of the tool.
        wrong = [f"no argument {name!r}" for name in marker.arguments if name not in parameters]
        for name, one in parameters.items():
            if one.default is inspect.Parameter.empty and name not in marker.arguments:
                wrong.append(f"the argument {name!r} is missing")
        if wrong:
            return _error("arguments", f"{marker.name}: {wrong[0]}")
        result = _within(function, marker, self.time_limit)
        text = result.text.rstrip()  # the next prompt would lose white space (protocol/seam.py)
        if len(text) > self.longest:
            text = f"{text[: self.longest].rstrip()} ..."
        # A text that was found on the web must not call tools.
        return Result(inert(text), result.error)


def _within(function, marker, time_limit):
    """The result of a function, or the error if it raises or takes too long.

    A thread cannot be stopped: a call that takes too long goes on, and its result is dropped.
    """
    box = []

    def call():
        try:
            box.append(Result(str(function(**marker.arguments))))
        except BaseException as error:  # whatever a tool raises is for the model to read
            if time_limit is None and isinstance(error, KeyboardInterrupt):
                raise  # by the user: only the main thread is interrupted
            box.append(_error("failed", f"{marker.name}: {_message(error)}"))

    if time_limit is None:
        call()
        return box[0]
    # A daemon: a tool that never returns does not keep the program from ending.
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(time_limit)
    if not box:
        return _error("time limit", f"{marker.name}: no result within {time_limit:g} seconds")
    return box[0]


def _message(error):
    """The words of an error, or its name if it has none, or cannot write them."""
    try:
        return str(error) or type(error).__name__
    except Exception:
        return type(error).__name__


def _error(kind, message):
    return Result(inert(f"[error: {message}]"), kind)


# Tools.


def calculator(expression: str) -> str:
    """Computes an arithmetic expression, such as 12 * (3 + 4)."""
    return decimal_text(calculate(expression))


def searcher(retriever: "InvertedIndex | Watched", k: int = 1) -> Callable:
    """A tool that searches a local index.

    retriever  has search(query, k) and documents (rag/retrievers.py)
    k          texts in a result
    returns    function(query) -> str, the texts with a space between them
    """

    def search(query):
        """Finds the text that is most relevant to a query."""
        # Several texts become one line: a call stands inside of a sentence.
        found = [retriever.documents[number].strip() for number, _ in retriever.search(query, k)]
        return " ".join(found) or "nothing found"

    return search


def calendar(today: Any) -> Callable[[], str]:
    """A tool that knows the day.

    today    datetime.date that it returns, or a function without arguments that returns one
    returns  function() -> str, as "Thursday, March 9, 2017"
    """

    def date():
        """Returns the day of today."""
        day = today
        if callable(today):
            day = today()
        return f"{day:%A, %B} {day.day}, {day.year}"

    return date
