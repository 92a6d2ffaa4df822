"""Prompts to answer, from files of any form: with what else their record says of them.

    {"prompt": "2 + 2?", "gold": "4"}                a text, and what a reward may need
    {"prompt": [messages]}, {"messages": [..]}       a conversation up to its last answer
    {"instruction": "Add.", "input": "2 2", ..}      as in files of instructions or pairs
    {"chosen": .., "rejected": ..}                   a pair that has its prompt in both answers

Answers that a record has are no part of the prompt. All of the record is kept, unread, for the
function that scores answers. Read next: align/run/policy.py.
"""

from dataclasses import dataclass
from pathlib import Path

from tinylm.data.read.instructions import Instruction
from tinylm.data.read.messages import read_messages
from tinylm.data.read.records import (
    PROMPTS,
    fields_there,
    input_text,
    one_name,
    prompt_in_pair,
    read_records,
    shared_prompt,
    system_text,
)
from tinylm.errors import DataError
from tinylm.reading import BadLines, json_text

_TALKS = ("messages", "conversations", "conversation")


@dataclass(frozen=True)
class Prompt:
    """A prompt.

    messages  list of {"role", "content"}, which an answer follows
    record    dict, as it stands in the file
    """

    messages: list
    record: dict


def read_prompts(
    path: str | Path, bad: BadLines | None = None, places: list[str] | None = None
) -> list[Prompt]:
    """The prompts of a file: list of Prompt; arguments and errors as in read_instructions."""
    return read_records(path, _prompts, bad, places)


def _prompts(record):
    if not isinstance(record, dict):
        raise DataError(f"a prompt is an object with fields, not {record!r:.60}")
    names, talks = fields_there(record, PROMPTS), fields_there(record, _TALKS)
    if names:
        one_name(names)
        messages = _of_field(record, names[0])
    elif talks:
        messages = read_messages(record[talks[0]])
    elif prompt_in_pair(record):
        messages = _after_system(record, shared_prompt(record)[0])
    elif isinstance(record.get("chosen"), list):  # a pair of lists, the prompt in both
        messages = _after_system(record, read_messages(record["chosen"]))
    else:
        fields = ", ".join(map(repr, record)) or "(none)"
        raise DataError(f"no prompt among the fields {fields}: name it 'prompt' or 'messages'")
    while messages and messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    if not messages:
        raise DataError("the conversation has nothing to answer")
    return [Prompt(messages, record)]


def _of_field(record, name):
    """The messages of a prompt that is a field: a text, or a list of messages."""
    if isinstance(record[name], list):
        return _after_system(record, read_messages(record[name]))
    return _after_system(record, Instruction(json_text(record, name), "", input_text(record)).user)


def _after_system(record, prompt):
    """The system information of a record, if it has any, then messages or a text of the user."""
    system, start = system_text(record), []
    if system:
        start = [{"role": "system", "content": system}]
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    return start + prompt
