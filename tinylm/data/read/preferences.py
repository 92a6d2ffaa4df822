"""Pairs of answers of which one was preferred, from the usual forms of files   (book sections
2.1.4, 4.3.2, 4.4.2).

    {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}
    {"instruction": "Add.", "input": "2 2", "output": "4", "chosen": "4", "rejected": "5"}
    {"prompt": [messages], "chosen": [message], "rejected": [message]}     TRL's, the prompt apart
    {"chosen": [messages], "rejected": [messages]}                         TRL's, the prompt in both
    {"prompt": "2 + 2?", "completion": "4", "label": true}                 one answer, judged

Both answers of a pair belong to one prompt, which may be a conversation: all turns but the last are
shared. Read next: align/feedback/pairs.py, which turns pairs into tokens.
"""

from dataclasses import dataclass

from tinylm.data.read.instructions import Instruction, as_sample
from tinylm.data.read.messages import read_messages
from tinylm.data.read.records import (
    INPUT,
    PROMPTS,
    SYSTEM,
    fields_there,
    input_text,
    one_name,
    only_fields,
    read_records,
    system_text,
)
from tinylm.errors import DataError
from tinylm.reading import json_text


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which people preferred the first.

    prompt  what the user wrote last;  chosen, rejected  the answers
    before  tuple of (role, content), turns before that: system information, earlier answers
    """

    prompt: str
    chosen: str
    rejected: str
    before: tuple[tuple[str, str], ...] = ()

    def prompt_messages(self):
        """The conversation up to the answers: list of {"role", "content"}."""
        turns = (*self.before, ("user", self.prompt))
        return [{"role": role, "content": content} for role, content in turns]

    def conversations(self):
        """The whole conversation with the chosen answer, and with the rejected one."""
        prompt = self.prompt_messages()
        return tuple(
            [*prompt, {"role": "assistant", "content": answer}]
            for answer in (self.chosen, self.rejected)
        )


@dataclass(frozen=True)
class Judged:
    """One answer to a prompt, and whether it is wanted.

    prompt  what the user wrote last;  before  turns before that, as in Preference
    """

    prompt: str
    answer: str
    desirable: bool
    before: tuple[tuple[str, str], ...] = ()

    def messages(self):
        """The conversation with its answer: list of {"role", "content"}."""
        turns = (*self.before, ("user", self.prompt), ("assistant", self.answer))
        return [{"role": role, "content": content} for role, content in turns]


def read_preferences(path, bad=None):
    """The pairs of a file; see the docstring of this module for its forms.

    path     a JSON file with a list, or JSON lines (may be .gz)
    bad      reading.BadLines that takes records that cannot be read; by default they raise
    returns  list of Preference, in the order of the file
    raises   DataError with the line or number of the first record that cannot be read, or if the
             file has none
    """
    return read_records(path, _pairs, bad)


def read_judged(path, bad=None):
    """The judged answers of a file: records with a prompt, a completion, and a label true or false.

    returns  list of Judged;  arguments and errors as in read_preferences
    """
    return read_records(path, _judged, bad)


def _judged(record):
    if not isinstance(record, dict) or not isinstance(record.get("label"), bool):
        raise DataError(f"a judged answer has a field 'label', true or false, not {record!r:.60}")
    label = record["label"]
    rest = {name: value for name, value in record.items() if name != "label"}
    sample = as_sample(rest)
    turns = tuple((one["role"], one["content"]) for one in sample.messages())
    if len(turns) < 2 or [role for role, _ in turns[-2:]] != ["user", "assistant"]:
        raise DataError("a judged answer ends with a message of the user and the answer to it")
    return [Judged(turns[-2][1], turns[-1][1], label, turns[:-2])]


def _pairs(record):
    if not isinstance(record, dict) or not {"chosen", "rejected"} <= set(record):
        raise DataError(f"a pair has the fields 'chosen' and 'rejected', not {record!r:.60}")
    record = {name: value for name, value in record.items() if value is not None}
    if isinstance(record.get("chosen"), list):
        return [_of_messages(record)]
    names = fields_there(record, PROMPTS)
    one_name(names)
    instruction = json_text(record, (names or PROMPTS)[0])
    only_fields(record, *names, *INPUT, *SYSTEM, "task", "chosen", "rejected", "output")
    prompt = Instruction(instruction, "", input_text(record)).user
    answers = json_text(record, "chosen"), json_text(record, "rejected")
    return [Preference(prompt, *answers, _system_turn(record))]


def _system_turn(record):
    system = system_text(record)
    if system:
        return (("system", system),)
    return ()


def _of_messages(record):
    """The Preference of two lists of messages: one conversation with two last messages."""
    only_fields(record, "prompt", *SYSTEM, "chosen", "rejected", "task")
    chosen, rejected = read_messages(record["chosen"]), read_messages(record.get("rejected"))
    prompt = record.get("prompt", [])
    if isinstance(prompt, str):
        prompt = _as_list(prompt, chosen)
    elif prompt:
        prompt = read_messages(prompt)
    # The shared turns are in "prompt", or at the beginning of both lists, or in both places.
    shared = prompt + chosen[:-1]
    turns = (*_system_turn(record), *((one["role"], one["content"]) for one in shared))
    last = chosen[-1], rejected[-1]
    if (
        prompt + rejected[:-1] != shared
        or [one["role"] for one in last] != ["assistant"] * 2
        or not turns
        or turns[-1][0] != "user"
        or any(set(one) != {"role", "content"} for one in (*shared, *last))
    ):
        raise DataError(
            "a pair of lists of messages must be one conversation, the same up to its last "
            "message, which answers the user"
        )
    if [role for role, _ in turns].count("system") > 1:
        raise DataError("the system information is there twice: as a field and as a message")
    return Preference(turns[-1][1], last[0]["content"], last[1]["content"], turns[:-1])


def _as_list(prompt, chosen):
    """The messages of a "prompt" that is a text beside lists: none if these repeat it."""
    users = [one["content"] for one in chosen if one["role"] == "user"]
    if not users:
        return [{"role": "user", "content": prompt}]
    if users[0] != prompt:
        raise DataError("the field 'prompt' is not the first message of the user in the lists")
    return []
