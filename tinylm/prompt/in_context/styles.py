"""One question and its answer in the styles of section 3.1.3: quotes, tags, JSON, code.

    Review: "It rained."      <review>It rained.</review>      {"review": "It rained.",
    Sentiment:                <sentiment>                       "sentiment":

What is written is the same in all of them, and the demonstrations show how an answer ends, so a
reply is read by the marks of its style: one that does not close them is not guessed. Sclar et al.
2024 measured how much the accuracy of a prompt depends on such choices. NumberedPrompt is the form
of the chapter's first examples. Read next: sensitivity.py, which compares forms.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.template.code_style import read_value, render_code
from tinylm.prompt.template.delimiters import quote, tag, unquote, untag
from tinylm.prompt.template.json_reply import read_json

_QUOTED = re.compile(r'\s*("(?:[^"\\]|\\["\\])*")')


def write_quotes(pairs: Sequence[tuple[str, str]]) -> str:
    """Lines name: "value"; an open value is left out."""
    return "\n".join(f"{name}:{_after(value, quote)}" for name, value in pairs)


def _after(value, write):
    """The value behind a name, or nothing if it is open."""
    if value is None:
        return ""
    return f" {write(value)}"


def read_quotes(reply: str, name: str) -> str:
    """The text in the quotes that a reply begins with; None for another reply."""
    found = _QUOTED.match(reply)
    if found is None:
        return None
    return unquote(found[1])


def write_tags(pairs: Sequence[tuple[str, str]]) -> str:
    """Lines <name>value</name>; of an open value there is only the first tag."""
    lines = []
    for name, value in pairs:
        line = tag(value or "", name)
        if value is None:
            line = line.removesuffix(f"</{name}>")
        lines.append(line)
    return "\n".join(lines)


def read_tags(reply: str, name: str) -> str:
    """The text up to the closing tag; None if there is none, or another tag before it."""
    inside, closing, _ = reply.partition(f"</{name}>")
    try:
        return untag(f"<{name}>{inside}{closing}", name).strip()
    except DataError:
        return None


def write_json(pairs: Sequence[tuple[str, str | None]]) -> str:
    """One JSON object; an open value and the brace after it are left out."""
    closed = {name: value for name, value in pairs if value is not None}
    text = json.dumps(closed, ensure_ascii=False)
    if len(closed) == len(pairs):
        return text
    # {"a": "x"} without its brace, and a comma if there is a pair before
    before = text.removesuffix("}") + ", " * bool(closed)
    return f"{before}{json.dumps(pairs[-1][0], ensure_ascii=False)}:"


def read_json_value(reply: str, name: str) -> str:
    """The text under the open name, if the reply closes the object; None otherwise."""
    found = read_json(f"{write_json([(name, None)])}{reply}", [name])
    if found is None or not isinstance(found[name], str):
        return None
    return found[name]


def read_code(reply: str, name: str) -> str:
    """The text up to the closing bracket, as code_style.read_value."""
    return read_value(reply)


# {style: (function from pairs to text, function from a reply and the open name to the value)}
STYLES = {
    "quotes": (write_quotes, read_quotes),
    "tags": (write_tags, read_tags),
    "json": (write_json, read_json_value),
    "code": (render_code, read_code),
}


@dataclass(frozen=True)
class StyledPrompt(FewShotPrompt):
    """A FewShotPrompt whose fields are written in another style than lines "name: content".

    style    "quotes", "tags", "json" or "code"
    raises   ConfigError for another style, or fields without names of their own
    """

    style: str = "quotes"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.style not in STYLES:
            raise ConfigError(
                f"StyledPrompt: no style {self.style!r}; there are {', '.join(STYLES)}"
            )
        names = self._names
        if len(names) < 3 or len(set(names)) < 3:
            raise ConfigError(
                f"StyledPrompt: the fields are {', '.join(names)}; context, question and answer "
                "need a name each, so that the value of each can be read back"
            )

    @property
    def _in_lines(self):
        return False

    def _write(self, pairs):
        return STYLES[self.style][0](pairs)

    def _turn(self, item, task):
        # A chat has its own marks for the answer, so the open field is left out.
        text = self._write(self._pairs(item, None)[:-1])
        return {"role": "user", "content": "\n".join(filter(None, (task, text)))}

    def read(self, reply: str, stop: str | Sequence[str] | None = None) -> str:
        """The answer in a reply, read by the marks of the style; None if they are not closed."""
        if stop is None:
            stop = self.stop
        ends = [reply.find(string) for string in stop if string in reply]
        value = STYLES[self.style][1](reply[: min(ends, default=None)], self.answer_name)
        return value or None


@dataclass(frozen=True)
class NumberedPrompt(FewShotPrompt):
    """Numbered examples in lines, and the question as a sentence   (book section 3, with which it
    introduces prompts that learn from examples).

        Here are some examples of text classification.
        Example 1: The soup was lovely. → Label: Positive
        Example 2: My train is late again. → Label: Negative
        What is the label for "Nobody said hello."?
        Label:

    fields  as of FewShotPrompt; the passage of an item stands on the line before its question
    """

    instruction: str = "Here are some examples of text classification."
    question_name: str = "Example"
    answer_name: str = "Label"
    between: str = " → "
    separator: str = "\n"

    def query(self, item: Item) -> str:
        """The question as a sentence, and the open field of the answer."""
        sentence = f'What is the {self.answer_name.lower()} for "{item.question}"?'
        return "\n".join(filter(None, (item.context, sentence, f"{self.answer_name}:")))

    def continuation(self, item: Item, answer: str) -> str:
        """What follows query(item) if this is the answer: it has not the form of an example."""
        return f" {answer}"

    def prompt(
        self, item: Item, demonstrations: Sequence[Item] = (), rationale: bool = False
    ) -> str:
        """The prompt for a question; without demonstrations it is the question alone: str."""
        examples = []
        for number, demo in enumerate(demonstrations, 1):
            numbered = replace(self, question_name=f"{self.question_name} {number}")
            examples.append(numbered.demonstration(demo, rationale))
        if examples:
            examples.insert(0, self.instruction)
        return self.separator.join(filter(None, (self.system, *examples, self.query(item))))
