"""Code from a description or from its beginning, judged by running it   (book section 3.1.4.3; Chen
et al. 2021).

    Please write a Python function to calculate the average of a list of numbers.

    pass@k = 1 - C(n - c, k) / C(n, k)     n programs drawn, c of them right

Code is run only if cases to test it with are given, in a child process with limits. pass@k is in
data/measure/proportions.py. Read next: code_runner.py.
"""

import ast
import re
from collections.abc import Sequence

from tinylm.data.read.items import Item
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import answer_of
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.tasks.code_runner import LIMITS, Limits, run_function
from tinylm.prompt.tasks.demonstrated import fit_demonstrated
from tinylm.prompt.template.delimiters import code_blocks, fence
from tinylm.prompt.template.library import LIBRARY

# A function's body has ended where one of these begins a line (Chen et al. 2021).
STOP = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(", "\n@", "\n```")


def write_function(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    name: str,
    cases: tuple[str, ...] = (),
    limits: Limits = LIMITS,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Write a Python function for what the item's question describes.

    lm       TextLM
    item     Item: "calculate the average of a list of numbers"
    demonstrations  Items whose answers are code
    name     of the function
    cases    [(arguments, expected)]; with any, the code is run (code_runner.py)
    limits   Limits of running it
    returns  Answer: the code; None if the reply has none that defines the function.
             details: "ran", a Ran, if it was run; "kept" and "dropped" demonstrations
    """
    fitted = fit_demonstrated(lm, LIBRARY["code"], item, demonstrations, max_tokens, "purpose")
    reply = lm.complete(fitted.text, stop=("\nPlease write",), seed=seed, max_tokens=max_tokens)
    answer = _answer(lm, read_code(reply.text, name), name, reply.text, cases, limits)
    answer.details.update(fitted.details)
    return answer


def complete_function(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    name: str,
    cases: Sequence[tuple[tuple, int]] = (),
    limits: Limits = LIMITS,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Complete a Python function whose beginning is the item's question: its signature, comments.

    demonstrations  Items: beginnings, and as answers the code that follows them
    others          and the result as in write_function; the code is the question and the reply, up
                    to where the next statement at a line's start would begin
    """
    begin, write = "", _code_that_goes_on
    if getattr(lm, "chat", False):
        # A user's turn has ended; it is the reply that begins with the code, in a block.
        code, write = fence(item.question.rstrip(), "python"), _code_in_blocks
        begin = code[: code.rindex("\n") + 1]
    fitted = fit_context(lm, lambda kept: write(item, kept), demonstrations, max_tokens, begin)
    reply = lm.complete(fitted.text, begin=begin, stop=STOP, seed=seed, max_tokens=max_tokens)
    # The body goes on at the indentation that the reply has.
    code = _up_to_its_end(_together(item.question, reply.text), name)
    answer = _answer(lm, code, name, reply.text, cases, limits)
    answer.details.update(fitted.details)
    return answer


def _code_that_goes_on(item, demonstrations):
    """The prompt of a model that continues texts: a file of functions, the last one begun."""
    shown = [_together(demo.question, answer_of(demo)) for demo in demonstrations]
    return "\n\n\n".join([*shown, item.question])


def _code_in_blocks(item, demonstrations):
    """The prompt of a chat: the beginning of each function, then all of it."""
    lines = []
    for demo in demonstrations:
        whole = fence(_together(demo.question, answer_of(demo)), "python")
        lines.append(f"{_to_complete(demo)}\n{whole}\n\n")
    return "".join([*lines, _to_complete(item)])


def _to_complete(item):
    return f"Complete this Python function.\n{fence(item.question.rstrip(), 'python')}"


def _together(beginning, rest):
    """Code from its beginning and what follows, which keeps its indentation."""
    return beginning.rstrip() + "\n" + rest.strip("\n").rstrip()


def _up_to_its_end(code, name):
    """Python code up to the end of a function that it defines, or None."""
    # A statement such as `add(1)` begins with none of STOP.
    ends = [node.end_lineno for node in _body(code) if _is_function(node) and node.name == name]
    if not ends:
        return None
    return "\n".join(code.split("\n")[: ends[-1]])


def _answer(lm, code, name, text, cases, limits):
    details = {}
    if code is not None and cases:
        details["ran"] = run_function(code, name, cases, limits)
    return Answer(lm.parsed("code", code), text, details)


def read_code(reply: str, name: str) -> str | None:
    """The code of a reply that defines a function: the first block that does, or the whole reply.

    returns  str, or None if neither is Python that defines it
    """
    # Chat models write blocks and words around them, others only code.
    for text in [*(text for _, text in code_blocks(reply)), reply.strip()]:
        if name in defined(text):
            return text
    return None


def begun(text: str) -> str:
    """The name of the function that a text begins, its last one at a line's start; "" if none."""
    names = re.findall(r"^def\s+(\w+)\s*\(", text, re.MULTILINE)
    if names:
        return names[-1]
    return ""


def defined(code: str) -> tuple[str, ...]:
    """The names of the functions that Python code defines at its top; none if it is no Python."""
    return tuple(node.name for node in _body(code) if _is_function(node))


def _body(code):
    """The statements of Python code; none if it is no Python."""
    try:
        return ast.parse(code).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []


def _is_function(node):
    return isinstance(node, ast.FunctionDef)
