"""Calls are run while the text is generated   (book section 3.2.5; Parisi et al. 2022, Schick et
al. 2023).

    the model writes   10 m * 4 m * 2 m = {tool: calculator, expression: 10 * 4 * 2}
    the text becomes   10 m * 4 m * 2 m = 80
    the model goes on  80 m^3

As soon as a call is complete its tool is run, the result replaces the call, and generation goes on
with the replaced text: the model never reads its own call again. What it had read up to the call is
in its prefix store, and only the rest is read (protocol/prefix_store.py): the text is the one that
a model without any store would write.

A piece of the reply ends at "}", or, while a call is open, before the end of its line; never after
white space, which the next prompt would lose (protocol/seam.py). So a reply without calls has the
probabilities of plain completion, where no token holds more than the brace. Stop strings are looked
for in the joined text, across pieces and results. Read next: answer.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinylm.errors import ConfigError
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.calculator_loop import cut_at, piece_seed, room_after
from tinylm.prompt.tools.markers import find_marker, inert, open_marker

if TYPE_CHECKING:
    from tinylm.prompt.tools.registry import Tools


# Inside another call a result must not change where that call ends, or what its arguments are.
_NOT_INSIDE = frozenset('{}":\\\n')


@dataclass(frozen=True)
class ToolCall:
    """One call and its result.

    call      str, as the model wrote it
    name      of the tool; "" if the call could not be read
    result    str that replaced it
    error     kind of the error, "" if there was none (registry.Result); "nested": the result cannot
              stand inside another call, and "[error]" stands there
    position  characters of the text before the result
    """

    call: str
    name: str
    result: str
    error: str
    position: int


@dataclass(frozen=True)
class ToolText:
    """A reply in which all calls were replaced by their results.

    text        str
    calls       list of ToolCall, in order
    finish      as of Completion; or "calls": a call beyond the most that are allowed ended it
    unfinished  a call that was cut off at the end, which is no part of the text
    pieces      the number of times that the model was called
    """

    text: str
    calls: list
    finish: str
    unfinished: str = ""
    pieces: int = 1


def complete_with_tools(
    lm: TextLM,
    prompt: str,
    tools: "Tools",
    *,
    begin: str = "",
    max_tokens: int = 256,
    stop: str | Sequence[str] | None = (),
    seed: int = 0,
    max_calls: int = 8,
    **sampling: Any,
) -> ToolText:
    """Complete a prompt; calls in the reply are run, and replaced by their results.

    lm          TextLM
    tools       Tools (registry.py)
    begin       text that the reply begins with; calls in it are not run
    max_tokens  of the reply, with results in the place of calls; the reply ends before a result
                that goes beyond it, or beyond the context of the model
    stop        strings that end the reply, also inside a call
    max_calls   further calls end the reply; 0: the first one does
    returns     ToolText; without a call its text is that of lm.complete, unless it has braces
    """
    if isinstance(stop, str):
        stop = (stop,)
    if max_calls < 0:
        raise ConfigError(f"complete_with_tools: max_calls {max_calls} must be 0 or more")
    text, calls, pieces = "", [], 0
    while not pieces or room_after(lm, prompt, begin, text, max_tokens) > 0:
        left = max_tokens - lm.count(text)
        options = {"max_tokens": left, "seed": piece_seed(seed, pieces, "tools"), **sampling}
        text, finish = _longer(lm, prompt, begin, text, stop, **options)
        pieces += 1
        whole, text = text, cut_at(text, stop)
        if text != whole:
            return _finished(text, calls, "stop", pieces)
        found = find_marker(text)
        # No call, and the reply has ended: plain completion.
        if found is None and finish is not None:
            return _finished(text, calls, finish, pieces)
        if found is not None:
            before = text[: found.start]
            # A model may call for ever, and what it wrote before the call is its reply.
            if len(calls) == max_calls:
                return _finished(before, calls, "calls", pieces)
            # What was written after a call that was not closed on its line is not kept.
            text = before + _result(lm, text, found, tools, calls)
            if room_after(lm, prompt, begin, text, max_tokens) < 0:
                return _finished(before, calls, "length", pieces)
            whole, text = text, cut_at(text, stop)
            if text != whole:
                return _finished(text, calls, "stop", pieces)
    return _finished(text, calls, "length", pieces)


def _longer(lm, prompt, begin, text, stop, **options):
    """(the text with one more piece of the reply, the finish of the reply; None: it goes on)."""
    # A brace may end a call, and a call ends with its line.
    marks = ("}",)
    if open_marker(text) is not None:
        marks = ("}", "\n")
    stops = tuple(dict.fromkeys((*stop, *marks)))
    # y_j ~ Pr(. | x, y_<j), where y_<j has results in the place of calls
    reply = lm.complete(prompt, begin=begin + text, stop=stops, **options)
    mark = reply.stopped_by
    if mark in stop or mark not in marks:
        return text + reply.text, reply.finish
    return text + reply.text + mark, None


def _result(lm, text, found, tools, calls):
    """What stands in the place of a call, which is added to `calls`."""
    result = tools.run(found)
    before = text[: found.start]
    shown, error = inert(result.text, before), result.error
    # An argument of an outer call: a quotation mark or brace would end that call early.
    if open_marker(before) is not None and _NOT_INSIDE & set(shown):
        shown, error = "[error]", error or "nested"
    call = text[found.start : found.end]
    calls.append(ToolCall(call, found.name, shown, error, found.start))
    lm.parsed("call", (call, shown))
    return shown


def _finished(text, calls, finish, pieces):
    # Half a call is nothing to read.
    start = open_marker(text)
    unfinished = ""
    if start is not None:
        text, unfinished = text[:start], text[start:]
    return ToolText(text, calls, finish, unfinished, pieces)
