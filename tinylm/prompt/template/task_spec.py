"""A task as attributes, in lines and in JSON   (book section 3.1.1 and its footnote 1).

    Task: Translation
    Source language: English
    Target language: French
    Style: Formal text
    Template: Translate the following sentence: {*sentence*}

Attributes make a prompt that a program can change: another style, another language. In a store of
prompts they are pairs of key and value. (The book's JSON lacks the commas and is refused.) Read
next: roles.py.
"""

import json
from dataclasses import dataclass
from typing import Any

from tinylm.errors import DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.template.fields import parse_fields, render_fields

TASK, TEMPLATE = "Task", "Template"


@dataclass(frozen=True)
class TaskSpec:
    """A task, attributes of it, and the template of its prompts.

    task        name of the task
    template    text of a PromptTemplate
    attributes  ((name, value), ..) in order, such as (("Style", "Formal text"),)
    raises      DataError for an attribute that is named twice, or "Task" or "Template"
    """

    task: str
    template: str
    attributes: tuple = ()

    def __post_init__(self) -> None:
        names = [TASK, *(name for name, _ in self.attributes), TEMPLATE]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"TaskSpec: the attribute {twice[0]!r} is given twice")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All of them as (name, value), in the order in which they are written."""
        return [(TASK, self.task), *self.attributes, (TEMPLATE, self.template)]

    def with_attribute(self, name: str, value: str) -> "TaskSpec":
        """The task with another value of an attribute, or with one more."""
        # A dict keeps the order of the attributes, and puts a new one last.
        changed = {**dict(self.attributes), name: value}
        return TaskSpec(self.task, self.template, tuple(changed.items()))

    def to_text(self) -> str:
        """One line "name: value" each."""
        return render_fields(self.pairs)

    def to_json(self) -> str:
        """One JSON object, in the same order."""
        return json.dumps(dict(self.pairs), ensure_ascii=False, indent=2)

    def prompt(self, **values: Any) -> str:
        """The attributes, with the template's slots filled: a prompt of its own."""
        filled = PromptTemplate(self.template).format(**values)
        return render_fields([*self.pairs[:-1], (TEMPLATE, filled)])

    @classmethod
    def from_text(cls, text: str, attributes: tuple[str, ...] = ()) -> "TaskSpec":
        """The task of a text as `to_text` writes it.

        attributes  names of the attributes
        raises      DataError if a name is missing, twice, or out of order
        """
        # The order is fixed, so a text that was changed by hand is not half read.
        names = (TASK, *attributes, TEMPLATE)
        pairs = parse_fields(text, names)
        found = tuple(name for name, _ in pairs)
        if found != names:
            raise DataError(f"TaskSpec: the text has the fields {found}, and should have {names}")
        return cls(pairs[0][1], pairs[-1][1] or "", tuple(pairs[1:-1]))

    @classmethod
    def from_json(cls, text: str) -> "TaskSpec":
        """The task of a JSON object. DataError if it is none, or has a value that is no text."""
        try:
            # As pairs, so that a key that is given twice is noticed.
            pairs = json.loads(text, object_pairs_hook=list)
        except json.JSONDecodeError as error:
            raise DataError(
                f"TaskSpec: not JSON, {error.msg.lower()} at line {error.lineno}: pairs are "
                "separated by commas"
            ) from None
        given = {}
        if _are_pairs(pairs):
            given = dict(pairs)
            if len(given) < len(pairs):
                raise DataError(f"TaskSpec: a key is given twice in {text!r:.80}")
        # Any other JSON (a list, a number) has no pairs.
        if TASK not in given or TEMPLATE not in given:
            raise DataError(
                f"TaskSpec: an object of texts with {TASK!r} and {TEMPLATE!r}, not {text!r:.80}"
            )
        others = tuple(pair for pair in pairs if pair[0] not in (TASK, TEMPLATE))
        return cls(given[TASK], given[TEMPLATE], others)


def _are_pairs(value):
    """True for the pairs of an object whose values are texts."""
    return isinstance(value, list) and all(
        isinstance(pair, tuple) and isinstance(pair[1], str) for pair in value
    )
