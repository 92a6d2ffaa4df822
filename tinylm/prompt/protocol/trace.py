"""A record of every call: the exact prompt, what came back, and what was read from it.

`with lm.tracing() as trace:` records what a method does inside; `trace.text()` shows it, and
`trace.json()` keeps it. A method reports what it read from the last reply with `lm.parsed`. Read
next: seam.py.
"""

import json
from dataclasses import dataclass, field
from typing import Any

RULE = "-" * 72


@dataclass
class Call:
    """One prompt and what came back.

    kind     "complete" or "score"
    prompt   the text, or the list of messages
    begin    the text that the reply was made to begin with
    reply    str of a completion; {continuation: log-probability} of scores
    finish   why a completion ended
    parsed   list of (what, value) that were read from it
    """

    kind: str
    prompt: object
    begin: str
    reply: object
    finish: str = ""
    parsed: list = field(default_factory=list)

    def text(self) -> str:
        """The call as lines to read."""
        lines = [_prompt_text(self.prompt)]
        if self.kind == "complete":
            lines.append(f"=> {self.begin}[{self.reply}] ({self.finish})")
        else:
            width = max(len(repr(text)) for text in self.reply)
            lines += [f"=> {text!r:{width}} {value:9.4f}" for text, value in self.reply.items()]
        lines += [f"   {what}: {value!r}" for what, value in self.parsed]
        return "\n".join(lines)


def _prompt_text(prompt):
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{message['role']}: {message['content']}" for message in prompt)


class Trace:
    """The calls of a method, in order.

    calls  list of Call
    """

    def __init__(self) -> None:
        self.calls = []

    def text(self) -> str:
        """All calls as text, numbered."""
        parts = []
        for number, call in enumerate(self.calls, 1):
            parts.append(f"{RULE}\ncall {number}, {call.kind}\n{call.text()}")
        return "\n".join(parts)

    def as_list(self) -> list[dict[str, Any]]:
        """All calls as dictionaries of plain values."""
        return [
            {**vars(call), "parsed": [[what, _plain(value)] for what, value in call.parsed]}
            for call in self.calls
        ]

    def json(self) -> str:
        """All calls as one JSON array."""
        return json.dumps(self.as_list(), ensure_ascii=False)


def _plain(value):
    """`value` if JSON can hold it, else its text."""
    try:
        json.dumps(value)
    except TypeError:
        return str(value)
    return value
