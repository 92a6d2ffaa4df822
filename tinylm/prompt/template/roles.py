"""Who states what: the book's fields SYSTEM, TASK, DEMO, USER, SUB-PROB and FINAL, as messages of a
chat and as plain text   (book sections 3.1.1 and 2.1.5).

    SYSTEM  You are a computer scientist.     {"role": "system", "content": ..}
    DEMO    an input, and its output          {"role": "user", ..}, {"role": "assistant", ..}
    USER    an input                          {"role": "user", ..}

A role for the model ("You are a poet") is system information. Chat models have marks for roles of
their own, which their template writes (models/published/chat_template.py); other models read the
names. A conversation is sent whole each time, as "it" in a question may mean something said long
ago. Read next: ../in_context/few_shot.py.
"""

import re
from collections.abc import Sequence
from typing import Any

from tinylm.errors import DataError
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import complete_fields, render_fields

ORDER = ("SYSTEM", "TASK", "DEMO", "USER", "SUB-PROB", "FINAL")
_NAME = re.compile(r"(SYSTEM|TASK|DEMO|USER|SUB-PROB|FINAL)([1-9][0-9]*)?")
_NUMBERED = ("DEMO", "SUB-PROB")


def in_order(fields: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The book's fields in their fixed order: SYSTEM, TASK, DEMO1, DEMO2, .., USER, SUB-PROB1, ..

    fields   list of (name, content), in any order
    raises   DataError for another name, one that is given twice, or a number on a name that has
             none
    """
    ranks = {}
    for name, _ in fields:
        found = _NAME.fullmatch(name)
        if found is None or found[2] and found[1] not in _NUMBERED:
            raise DataError(
                f"the book has no field {name!r}; there are {', '.join(ORDER)}, and numbers after "
                f"{' and '.join(_NUMBERED)}"
            )
        if name in ranks:
            raise DataError(f"the field {name} is given twice: number them, {name}1, {name}2")
        # By name, then by number as a number: DEMO10 after DEMO2.
        ranks[name] = ORDER.index(found[1]), int(found[2] or 0)
    return sorted(fields, key=lambda field: ranks[field[0]])


def render_roles(fields: Sequence[tuple[str, Any]]) -> str:
    """The fields as text, each after its name, with an empty line between.

    fields   list of (name, content), in any order; the content of DEMO and SUB-PROB is str or
             (input, output)
    """
    return "\n\n".join(f"{name} {_text(content)}" for name, content in in_order(fields))


def to_messages(fields: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """The fields as messages of a chat, for the model's own template.

    SYSTEM and TASK become one system message, inputs are the user's turns and outputs the
    assistant's. Turns of the user that follow each other are joined, as templates want them to
    alternate.

    fields   as in render_roles
    returns  list of {"role", "content"}; the last is the user's
    raises   DataError as in_order, or if the last is not the user's
    """
    turns = []
    for name, content in in_order(fields):
        if name in ("SYSTEM", "TASK"):
            turns.append(("system", content))
        elif isinstance(content, str):
            turns.append(("user", content))
        else:
            # What the model is shown as its own earlier answer.
            turns += [("user", content[0]), ("assistant", content[1])]
    messages = []
    for role, content in turns:
        # The templates of LLaMA and Gemma refuse two turns of one role in a row.
        if messages and messages[-1]["role"] == role:
            content = f"{messages.pop()['content']}\n{content}"
        messages.append({"role": role, "content": content})
    if not messages or messages[-1]["role"] != "user":
        raise DataError("to_messages: the last field must be an input that the model answers")
    return messages


def role_prompt(lm: TextLM, fields: Sequence[tuple[str, str]]) -> str | list[dict[str, str]]:
    """What this model is sent: messages if it is a chat model, else text.

    lm       TextLM; TextModel.chat is True for a chat model
    """
    if getattr(lm, "chat", False):
        return to_messages(fields)
    return render_roles(fields)


def _text(content):
    if isinstance(content, str):
        return content
    given, output = content
    return f"{given} {output}"


class Conversation:
    """Turns between a user and a model, all of which are sent again with every question.

    system  system information, or ""
    names   how user and model are called for a model without a chat template
    """

    def __init__(self, system: str = "", names: tuple[str, ...] = ("User", "Assistant")) -> None:
        self.system, self.names = system, names
        self.turns = []  # (text of the user, reply)

    def messages(self, text: str) -> list[dict[str, str]]:
        """The whole conversation and a new turn of the user, as messages."""
        messages = []
        if self.system:
            messages.append({"role": "system", "content": self.system})
        for asked, reply in self.turns:
            messages += [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": reply},
            ]
        return [*messages, {"role": "user", "content": text}]

    def fields(self, text: str) -> list[tuple[str, str | None]]:
        """The same as fields, the model's next turn open."""
        # Names at the start of a line, which also end the reply (fields.py).
        user, model = self.names
        fields = [("", self.system)] if self.system else []
        for asked, reply in self.turns:
            fields += [(user, asked), (model, reply)]
        return [*fields, (user, text), (model, None)]

    def render(self, text: str) -> str:
        """The same as one text."""
        return render_fields(self.fields(text))

    def reply(self, lm: TextLM, text: str, **options: Any) -> str:
        """The model's turn after `text`; both are added to the conversation.

        options  of TextLM.complete
        """
        if getattr(lm, "chat", False):
            reply = lm.complete(self.messages(text), **options).text.strip()
        else:
            reply = complete_fields(lm, self.fields(text), **options)[-1][1]
        self.turns.append((text, reply))
        return reply
