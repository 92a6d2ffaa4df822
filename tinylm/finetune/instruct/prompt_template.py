"""Prompt templates: a text with slots, and a blank for the model's answer.

    {*sentence*}
    Question: Is this sentence grammatically correct?
    Answer: _____

is the notation of the book (sections 2.1.3 and 3.1.1). Braces without a star are braces, so code
and JSON stand in a template as they are; {** is written for {*. Slots are filled in one pass, so
what looks like a slot in a value stays text. Read next: templates.py, the templates of section
2.1.3.
"""

import re
from dataclasses import dataclass, replace

from tinylm.errors import ConfigError, DataError

# {*name*}; {** and more stars, which lose one; {* alone, which is an error
_PIECE = re.compile(r"\{\*([\w-]+)\*\}|\{\*(\**)")
_BLANK = "_____"


@dataclass(frozen=True)
class PromptTemplate:
    """A text with slots, which may end in a blank "_____"; without one the answer is the next line.

    text     str; a slot is {*name*}, with letters, digits, _ and - in the name
    bound    ((name, value), ..) of slots that are filled already (`partial`)
    raises   ConfigError for text after the blank, which the model could not read before it answers,
             or for {* that begins no slot
    """

    text: str
    bound: tuple = ()

    def __post_init__(self) -> None:
        if _BLANK in self.text and not self.text.rstrip().endswith(_BLANK):
            raise ConfigError(
                f"PromptTemplate: the blank {_BLANK} must stand at the end, since a model "
                f"continues the text before it: {self.text[-80:]!r}"
            )
        for found in _PIECE.finditer(self.text):
            if found[0] == "{*":
                raise ConfigError(
                    f"PromptTemplate: {self.text[found.start() :]!r:.40} begins no slot; a slot is "
                    "{*name*} with letters, digits, _ and - in the name, and {** is written for {*"
                )

    @classmethod
    def from_format(cls, text: str) -> "PromptTemplate":
        """The template of a text for Python's str.format: {name} is a slot, {{ and }} are braces.

        raises   ConfigError for other braces, such as {0.name} or {name!r}
        """

        def converted(found):
            if found[1]:
                return f"{{*{found[1]}*}}"
            if found[0] in ("{{", "}}"):
                return found[0][0]
            raise ConfigError(
                f"PromptTemplate: {found[0]!r} in {text!r:.60} is neither a slot {{name}} nor a "
                "doubled brace"
            )

        # A star after a brace would make it a slot: {{* is the text {*, written {** here.
        text = re.sub(r"(?<=\{\{)\*", "**", text)
        return cls(re.sub(r"\{\{|\}\}|\{([^\W\d]\w*)\}|[{}]", converted, text))

    @staticmethod
    def escape(text: str) -> str:
        """`text` as a part of a template that is filled in to `text` again.

        Whatever it holds, unless it ends in "{" and a star is put after it.
        """
        return text.replace("{*", "{**")

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the slots that are not filled yet, in the order of appearance, each once."""
        names = dict.fromkeys(found[1] for found in _PIECE.finditer(self.text) if found[1])
        return tuple(name for name in names if name not in dict(self.bound))

    def format(self, **values: str) -> str:
        """The prompt, up to the blank and without the space before it, which belongs to the answer.

        values   str for each slot; the keyword for a name with hyphens has underscores
        raises   DataError for a slot without a value, a value without a slot, or one that is not a
                 str
        """
        return self._cut(values)[0]

    def pair(self, output: str, **values: str) -> tuple[str, str]:
        """(prompt, answer), whose concatenation is the text with `output` in the blank.

        The space before the blank belongs to the answer: " Yes".
        """
        prompt, space = self._cut(values)
        return prompt, space + output

    def partial(self, **values: str) -> "PromptTemplate":
        """The template with some slots filled: t.partial(a=x).format(b=y) == t.format(a=x, b=y).

        raises   DataError for a value without a slot, or one that is not a str
        """
        return replace(self, bound=(*self.bound, *self._named(values).items()))

    def parse(self, prompt: str) -> dict[str, str]:
        """The values with which `format` gives this prompt: dict of str.

        raises   DataError if there are none, or if several would give it: of "a, b, c" it cannot be
                 known what filled in "{*first*}, {*rest*}"
        """
        # The first match with shortest groups has the smallest lengths in lexicographic order, the
        # first one with longest groups the largest. If they are equal there is only one.
        shortest = re.fullmatch(self._pattern("*?"), prompt)
        if shortest is None:
            raise DataError(f"PromptTemplate: {prompt!r:.80} is not filled in from {self.text!r}")
        longest = re.fullmatch(self._pattern("*"), prompt)
        if shortest.groups() != longest.groups():
            raise DataError(
                f"PromptTemplate: {prompt!r:.80} can be filled in from {self.text!r} in several "
                f"ways: with {shortest.groups()} or {longest.groups()}"
            )
        return dict(zip(self.slots, shortest.groups()))

    def _named(self, values):
        """The values under the names of their slots."""
        by_keyword = {slot.replace("-", "_"): slot for slot in self.slots if "-" in slot}
        given, values = values, {}
        for name, value in given.items():
            if name not in self.slots:
                name = by_keyword.get(name, name)
            if name in values:
                raise DataError(f"PromptTemplate: two values for {name}")
            values[name] = value
        extra = sorted(set(values) - set(self.slots))
        if extra:
            raise DataError(f"PromptTemplate: no slot for {', '.join(extra)}; {self._slots()}")
        for name, value in values.items():
            if not isinstance(value, str):
                raise DataError(
                    f"PromptTemplate: the value of {name} is {type(value).__name__}, not text"
                )
        return values

    def _slots(self):
        return f"its slots are {', '.join(self.slots) or '(none)'}"

    def _ends(self):
        """The template's text before the answer, and the white space between the two."""
        if _BLANK not in self.text:
            return self.text, "\n"  # the answer is on the next line
        with_space = self.text.rstrip().removesuffix(_BLANK)
        before = with_space.rstrip(" ")
        return before, with_space[len(before) :]

    def _cut(self, values):
        """The filled prompt, and the white space between it and the answer."""
        values = self._named(values)
        missing = sorted(set(self.slots) - set(values))
        if missing:
            raise DataError(f"PromptTemplate: no value for {', '.join(missing)}; {self._slots()}")
        values.update(self.bound)
        before, space = self._ends()
        return _PIECE.sub(lambda found: _filled(found, values), before), space

    def _pattern(self, repeated):
        """A regular expression of the prompts, whose groups are the slots' values."""
        before, _ = self._ends()
        bound, numbers = dict(self.bound), {}
        parts, end = [], 0
        for found in _PIECE.finditer(before):
            parts.append(re.escape(before[end : found.start()]))
            name, end = found[1], found.end()
            if name is None or name in bound:
                parts.append(re.escape(_filled(found, bound)))
            elif name in numbers:  # the value that it had before
                parts.append(f"(?:\\{numbers[name]})")
            else:
                numbers[name] = len(numbers) + 1
                parts.append(f"([\\s\\S]{repeated})")
        return "".join([*parts, re.escape(before[end:])])


def _filled(found, values):
    """The value of a slot, or {* and its stars but one; `found` is a match of _PIECE."""
    if found[1]:
        return values[found[1]]
    return "{" + found[2]
