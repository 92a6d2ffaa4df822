"""Instructions and their answers, from the usual forms of files   (book section 2.1.3)

A sample of fine-tuning data has an instruction, possibly an input, and a good answer; a
conversation has several of these in turns. The forms of files differ in the names of their fields
only: Alpaca's instruction / input / output, the seed tasks of self-instruct (Wang et al. 2023),
prompt / completion, OpenAI's messages, ShareGPT's conversations (messages.py), and pairs of a
chosen and a rejected answer (preferences.py), of which the better one is a sample. An unknown field
raises DataError rather than losing its meaning. Read next: preferences.py, book_instructions.py;
finetune/instruct/conversations.py, which turns samples into tokens.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinylm.data.read.messages import read_messages
from tinylm.data.read.records import (
    INPUT,
    PROMPTS,
    SYSTEM,
    fields_there,
    input_text,
    one_name,
    only_fields,
    prompt_in_pair,
    read_records,
    shared_prompt,
    system_text,
)
from tinylm.errors import DataError
from tinylm.reading import BadLines, json_text, strict_json


@dataclass(frozen=True)
class Instruction:
    """One sample (x, y): x is system information, an instruction and its input; y the output.

    task     name of the kind of task, for mixtures; "" if it has none
    """

    instruction: str
    output: str
    input: str = ""
    system: str = ""
    task: str = ""

    @property
    def user(self) -> str:
        """The user's message: the instruction and, on the next line, the input."""
        if self.input:
            return f"{self.instruction}\n{self.input}"
        return self.instruction

    def messages(self) -> list[dict[str, str]]:
        """The sample as a conversation of one turn: list of {"role", "content"}."""
        messages = [
            {"role": "user", "content": self.user},
            {"role": "assistant", "content": self.output},
        ]
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        return messages


@dataclass(frozen=True)
class Conversation:
    """A conversation of any number of turns.

    turns             tuple of (role, content); the roles are those of messages.py, and content is
                      None where the assistant only calls a tool
    more              tuple of dict, the other fields of each turn (tool_calls, name, ...); () if
                      none has any
    prompt_turns      turns at the beginning that are the prompt: they do not count in the loss
    template_options  keyword arguments for the chat template, {"tools": [...]} and the like
    """

    turns: tuple[tuple[str, str | None], ...]
    task: str = ""
    more: tuple[dict, ...] = field(default=(), hash=False)
    prompt_turns: int = 0
    template_options: dict = field(default_factory=dict, hash=False)

    def messages(self) -> list[dict[str, str]]:
        """list of {"role", "content", ...}."""
        more = self.more or ({},) * len(self.turns)
        return [
            {"role": role, "content": content, **rest}
            for (role, content), rest in zip(self.turns, more)
        ]


def read_instructions(
    path: str | Path, bad: BadLines | None = None, places: list[str] | None = None
) -> list:
    """The samples of a file of instructions or conversations.

    path     a JSON file with a list, or JSON lines (may be .gz); fields: see the docstring of this
             module. From a pair of a chosen and a rejected answer "output" is read, or else the
             chosen one
    bad      reading.BadLines that takes records that cannot be read; by default they raise
    places   a list that receives the place of each sample, such as "line 3"
    returns  list of Instruction and Conversation, in the order of the file; a seed task gives one
             for each of its instances
    raises   DataError with the line or number of the first record that cannot be read, or if the
             file has none
    """
    return read_records(path, _samples, bad, places)


def as_sample(record: Any) -> Conversation | Instruction:
    """The Instruction or Conversation of a dict with the fields of a file, or a list of messages.

    raises   DataError if the record is of no known form, or holds several samples
    """
    if isinstance(record, list):
        record = {"messages": record}
    found = _samples(record)
    if len(found) != 1:
        raise DataError(
            f"as_sample: the record has {len(found)} instances; it must have one: {record!r:.100}"
        )
    return found[0]


def _samples(record):
    """The samples of one record of any known form: list of Instruction or Conversation."""
    if not isinstance(record, dict):
        raise DataError(f"a sample is an object with fields, not {record!r:.60}")
    record = {name: value for name, value in record.items() if value is not None}
    task, system = json_text(record, "task", ""), system_text(record)
    # A list of all messages.
    talks = [name for name in _TALKS if name in record]
    if talks:
        return [_conversation(record, talks, task, system)]
    # A seed task with several instances.
    if "instances" in record:
        return _seed_task(record, task, system)
    prompts, answers = fields_there(record, PROMPTS), fields_there(record, _ANSWERS)
    if "output" in answers:  # beside it, "chosen" is half of a pair of preferences
        answers = [name for name in answers if name != "chosen"]
    # A pair of preferences as two lists of messages, the question in both.
    if not prompts and answers == ["chosen"] and isinstance(record["chosen"], list):
        messages = read_messages(record["chosen"])
        return [_talk(messages, record, ("chosen", "rejected"), task, system)]
    if answers == ["chosen"] and prompt_in_pair(record):
        only_fields(record, *SYSTEM, "task", "chosen", "rejected")
        return [Instruction(*shared_prompt(record)[:2], "", system, task)]
    if prompts and not answers:
        raise DataError(
            f"the field {prompts[0]!r} has no answer beside it: give one as 'output' (also: "
            f"{', '.join(_ANSWERS[1:])})"
        )
    if not prompts or not answers:
        fields = ", ".join(map(repr, record)) or "(none)"
        raise DataError(
            f"the fields {fields} are of no form that is known: instruction, input, output; "
            "prompt, completion; messages; conversations; instruction, instances"
        )
    one_name(prompts)
    one_name(answers)
    pair = [prompts[0], answers[0]]
    # Prompt and completion as two lists of messages, one after the other.
    if any(isinstance(record[name], list) for name in pair):
        return [_prompt_and_completion(record, *pair, task, system)]
    # Plain text.
    only_fields(record, *pair, *INPUT, *SYSTEM, "task", "chosen", "rejected")
    instruction, answer = (json_text(record, name) for name in pair)
    return [Instruction(instruction, answer, input_text(record), system, task)]


# Names of the same things in different files; more of them in records.py.
_TALKS = ("messages", "conversations", "conversation")
_ANSWERS = ("output", "completion", "response", "answer", "chosen")
_TEMPLATE_OPTIONS = ("tools", "documents", "chat_template_kwargs")


def _seed_task(record, task, system):
    instances = record["instances"]
    objects = isinstance(instances, list) and all(isinstance(one, dict) for one in instances)
    if not instances or not objects:
        raise DataError("instances must be a list of one object or more with input and output")
    only_fields(record, "instruction", "instances", *SYSTEM, "task")
    for one in instances:
        only_fields(one, "output", *INPUT)
    task = task or json_text(record, "name", "")
    instruction = json_text(record, "instruction")
    samples = []
    for one in instances:
        samples.append(
            Instruction(instruction, json_text(one, "output"), input_text(one), system, task)
        )
    return samples


def _conversation(record, talks, task, system):
    """The Conversation of a record with a list of all messages."""
    one_name(talks)
    messages = read_messages(record[talks[0]])
    # Files of UltraChat repeat the first message as "prompt"; anything else there would be lost.
    first = next((message["content"] for message in messages if message["role"] == "user"), None)
    if record.get("prompt", first) != first:
        raise DataError(
            "the field 'prompt' is not the first message of the user in the conversation beside it"
        )
    return _talk(messages, record, (talks[0], "prompt"), task, system)


def _prompt_and_completion(record, prompt_name, answer_name, task, system):
    """The Conversation of a record whose prompt and completion are lists of messages."""
    prompt, completion = read_messages(record[prompt_name]), read_messages(record[answer_name])
    fields = prompt_name, answer_name, "rejected"
    return _talk([*prompt, *completion], record, fields, task, system, len(prompt))


def _talk(messages, record, fields, task, system, prompt_turns=0):
    """The Conversation of messages and of the other fields of their record."""
    only_fields(record, *fields, *SYSTEM, *_TEMPLATE_OPTIONS, "task")
    if system and messages[0]["role"] == "system":
        raise DataError("the system information is there twice: as a field and as a message")
    if system:
        messages = [{"role": "system", "content": system}, *messages]
        prompt_turns += bool(prompt_turns)  # 0: every answer counts in the loss
    turns = tuple((message["role"], message["content"]) for message in messages)
    more = tuple(
        {key: value for key, value in message.items() if key not in ("role", "content")}
        for message in messages
    )
    if not any(more):
        more = ()
    return Conversation(turns, task, more, prompt_turns, _template_options(record))


def _template_options(record):
    """Tools, documents and keyword arguments for the chat template."""
    found = {}
    for name in ("tools", "documents"):
        value = record.get(name)
        if isinstance(value, str):  # JSON inside a string, from tables with text columns only
            try:
                value = strict_json(value)
            except ValueError as error:
                raise DataError(f"the field {name!r} is a text that is no JSON: {error}") from None
        objects = isinstance(value, list) and all(isinstance(one, dict) for one in value)
        if value is not None and not objects:
            raise DataError(f"the field {name!r} must be a list of objects, not {value!r:.60}")
        if value:
            found[name] = value
    more = record.get("chat_template_kwargs", {})
    if not isinstance(more, dict):
        raise DataError(f"the field 'chat_template_kwargs' must be an object, not {more!r:.60}")
    return found | more
