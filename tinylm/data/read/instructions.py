"""Instructions and their answers, from the files in which people keep them   (book section 2.1.3)

A sample of fine-tuning data says what is to be done, maybe on what, and what a good answer is; a
conversation is several of these in turns. Files differ in the names of their fields only: Alpaca's
instruction / input / output, the seed tasks of self-instruct (Wang et al. 2023), prompt /
completion, OpenAI's messages, ShareGPT's conversations (messages.py), and pairs of a chosen and a
rejected answer. A field whose meaning would be passed over is refused. Read next:
mix/instruction_mixture.py; finetune/instruct/conversations.py, which makes tokens of them.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tinylm.data.read.messages import read_messages
from tinylm.errors import DataError
from tinylm.reading import json_values, numbered_lines, refuse, strict_json


@dataclass(frozen=True)
class Instruction:
    """One sample (x, y): x is system information, an instruction and what the user gives with it; y
    is the output.

    task     name of the kind of task, for mixtures; "" if it has none
    """

    instruction: str
    output: str
    input: str = ""
    system: str = ""
    task: str = ""

    @property
    def user(self):
        """What the user says: the instruction and, on the next line, the input."""
        if self.input:
            return f"{self.instruction}\n{self.input}"
        return self.instruction

    def messages(self):
        """The sample as a conversation of one turn: list of {"role", "content"}."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [
            *system,
            {"role": "user", "content": self.user},
            {"role": "assistant", "content": self.output},
        ]


@dataclass(frozen=True)
class Conversation:
    """A conversation of any number of turns.

    turns    tuple of (role, content); the roles are those of messages.py, and content is None where
             the assistant only calls a tool
    more     tuple of dict, the other fields of each turn (tool_calls, name, ...); (): none has any
    asked    turns at the beginning that are the prompt: none of them is learnt
    given    what the chat template is given besides: {"tools": [...]} and the like
    """

    turns: tuple[tuple[str, str | None], ...]
    task: str = ""
    more: tuple[dict, ...] = field(default=(), hash=False)
    asked: int = 0
    given: dict = field(default_factory=dict, hash=False)

    def messages(self):
        """list of {"role", "content", ...}."""
        more = self.more or ({},) * len(self.turns)
        return [
            {"role": role, "content": content, **rest}
            for (role, content), rest in zip(self.turns, more)
        ]


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which people liked the first better   (book section 2.1.4)."""

    prompt: str
    chosen: str
    rejected: str


def read_instructions(path, bad=None):
    """The samples of a file of instructions or conversations.

    path     a JSON file with a list, or JSON lines (may be .gz); fields: see the docstring of this
             module. Of a pair of a chosen and a rejected answer, "output" counts, or else the
             chosen one
    bad      reading.BadLines that takes records that cannot be read; by default they raise
    returns  list of Instruction and Conversation, in the order of the file; a seed task gives one
             for each of its instances
    raises   DataError with the place of the first that cannot be read, or if there is none
    """
    return _read(path, _samples, bad)


def read_preferences(path, bad=None):
    """The pairs of a file with "chosen" and "rejected", and "prompt" or "instruction" (and
    "input").

    returns  list of Preference
    raises   as read_instructions
    """
    return _read(path, _preferences, bad)


def as_sample(record):
    """An Instruction or a Conversation of a dict with the fields of a file, or of a list of
    messages.

    raises   DataError if nothing of the kind is in it, or it holds several
    """
    found = _samples({"messages": record} if isinstance(record, list) else record)
    if len(found) != 1:
        raise DataError(
            f"as_sample: the record has {len(found)} instances; it must have one: {record!r:.100}"
        )
    return found[0]


def _read(path, make, bad):
    found = []
    for place, record in _records(Path(path), bad):
        try:
            found += make(record)
        except DataError as error:
            refuse(f"{path}, {place}: {error}", bad)
    if not found:
        raise DataError(
            f"{path} holds no sample at all" + " that can be read" * bool(bad and bad.count)
        )
    return found


def _records(path, bad):
    """(where, parsed JSON) of every record of a file."""
    lines = list(numbered_lines(path, bad))  # once: a pipe cannot be read again
    first = next((line for _, line in lines if line.strip()), "")
    if not first.lstrip().startswith("["):
        return ((f"line {number}", record) for number, record in json_values(lines, path, bad))
    try:
        found = strict_json("\n".join(line for _, line in lines))
    except ValueError as error:
        raise DataError(
            f"instructions: {path}, the list is no JSON ({error}): give a list of "
            "objects, or one object a line"
        ) from None
    return [(f"record {i}", record) for i, record in enumerate(found, 1)]


def _samples(record):
    """What a record of any of the known forms holds: list of Instruction or Conversation."""
    if not isinstance(record, dict):
        raise DataError(f"a sample is an object with fields, not {record!r:.60}")
    record = {name: value for name, value in record.items() if value is not None}
    task, system = _text(record, "task", ""), _system(record)
    talks = [name for name in _TALKS if name in record]
    if talks:
        return [_conversation(record, talks, task, system)]
    if "instances" in record:
        return _seed_task(record, task, system)
    asked, answers = _found(record, _ASKED), _found(record, _ANSWERS)
    if "output" in answers:
        answers = [name for name in answers if name != "chosen"]
    if not asked and answers == ["chosen"] and isinstance(record["chosen"], list):
        messages = read_messages(record["chosen"])
        return [_talk(messages, record, ("chosen", "rejected"), task, system)]
    if not asked or not answers:
        raise DataError(
            f"the fields {', '.join(map(repr, record)) or '(none)'} are of no form that is known: instruction, input, "
            "output; prompt, completion; messages; conversations; instruction, instances"
        )
    _one_of(asked)
    _one_of(answers)
    pair = [asked[0], answers[0]]
    if any(isinstance(record[name], list) for name in pair):
        return [_prompt_and_completion(record, *pair, task, system)]
    _only(record, *pair, *_INPUT, *_SYSTEM, "task", "chosen", "rejected")
    asked, answer = (_text(record, name) for name in pair)
    return [Instruction(asked, answer, _input(record), system, task)]


# Names of the same things in different files.
_TALKS = ("messages", "conversations", "conversation")
_ASKED = ("instruction", "prompt", "question")
_ANSWERS = ("output", "completion", "response", "answer", "chosen")
_INPUT, _SYSTEM = ("input", "context"), ("system", "system_prompt")
_GIVEN = ("tools", "documents", "chat_template_kwargs")
# What says where a sample comes from, and changes nothing about it.
_ABOUT = frozenset(
    """id idx index name source category is_classification prompt_id text url license
    lang language dataset created_at timestamp split topic title subset""".split()
)


def _only(record, *names):
    """Refuse a field whose meaning would be passed over."""
    unread = [name for name in record if name not in (*names, *_ABOUT)]
    if unread:
        raise DataError(
            f"the field {unread[0]!r} is not read in a sample of this form; take it "
            "out, or write what it means into the text"
        )


def _found(record, names):
    return [name for name in names if name in record]


def _one_of(names):
    """Refuse two names of the same thing."""
    if len(names) > 1:
        raise DataError(
            f"the fields {names[0]!r} and {names[1]!r} are both there: which of them counts?"
        )


def _system(record):
    names = _found(record, _SYSTEM)
    _one_of(names)
    if names:
        return _text(record, names[0], "")
    return ""


def _seed_task(record, task, system):
    instances = record["instances"]
    objects = isinstance(instances, list) and all(isinstance(one, dict) for one in instances)
    if not instances or not objects:
        raise DataError("instances must be a list of one object or more with input and output")
    _only(record, "instruction", "instances", *_SYSTEM, "task")
    for one in instances:
        _only(one, "output", *_INPUT)
    task = task or _text(record, "name", "")
    asked = _text(record, "instruction")
    return [
        Instruction(asked, _text(one, "output"), _input(one), system, task) for one in instances
    ]


def _conversation(record, talks, task, system):
    """Of a record with a list of all messages."""
    _one_of(talks)
    messages = read_messages(record[talks[0]])
    first = next((message["content"] for message in messages if message["role"] == "user"), None)
    if record.get("prompt", first) != first:
        raise DataError(
            "the field 'prompt' is not the first message of the user in the conversation beside it"
        )
    return _talk(messages, record, (talks[0], "prompt"), task, system)


def _prompt_and_completion(record, asked, answer, task, system):
    """Of a record whose prompt and completion are lists of messages: the completion is learnt."""
    prompt, completion = read_messages(record[asked]), read_messages(record[answer])
    fields = asked, answer, "rejected"
    return _talk([*prompt, *completion], record, fields, task, system, len(prompt))


def _talk(messages, record, fields, task, system, asked=0):
    """The Conversation of messages and what the record gives besides."""
    _only(record, *fields, *_SYSTEM, *_GIVEN, "task")
    if system and messages[0]["role"] == "system":
        raise DataError("the system information is there twice: as a field and as a message")
    if system:
        messages, asked = [{"role": "system", "content": system}, *messages], asked + bool(asked)
    turns = tuple((message["role"], message["content"]) for message in messages)
    more = tuple(
        {key: value for key, value in message.items() if key not in ("role", "content")}
        for message in messages
    )
    return Conversation(turns, task, more if any(more) else (), asked, _given(record))


def _given(record):
    """Tools, documents and keyword arguments for the chat template."""
    found = {}
    for name in ("tools", "documents"):
        value = record.get(name)
        if isinstance(value, str):  # files with one column of text a field
            try:
                value = strict_json(value)
            except ValueError as error:
                raise DataError(f"the field {name!r} is a text that is no JSON: {error}") from None
        objects = isinstance(value, list) and all(isinstance(one, dict) for one in value)
        if value is not None and not objects:
            raise DataError(f"the field {name!r} must be a list of objects, not {value!r:.60}")
        found |= {name: value} if value else {}
    more = record.get("chat_template_kwargs", {})
    if not isinstance(more, dict):
        raise DataError(f"the field 'chat_template_kwargs' must be an object, not {more!r:.60}")
    return found | more


def _preferences(record):
    if not isinstance(record, dict) or not {"chosen", "rejected"} <= set(record):
        raise DataError(f"a pair has the fields 'chosen' and 'rejected', not {record!r:.60}")
    record = {name: value for name, value in record.items() if value is not None}
    if isinstance(record.get("chosen"), list):
        return [_messages_preference(record)]
    names = _found(record, _ASKED)
    _one_of(names)
    asked = _text(record, names[0] if names else "instruction")
    _only(record, *names, *_INPUT, "task", "chosen", "rejected", "output")
    prompt = Instruction(asked, "", _input(record)).user
    return [Preference(prompt, _text(record, "chosen"), _text(record, "rejected"))]


def _messages_preference(record):
    """Of a pair whose answers are lists of messages: one question, and two answers to it."""
    _only(record, "prompt", "chosen", "rejected", "task")
    prompt = read_messages(record["prompt"]) if "prompt" in record else []
    chosen, rejected = (prompt + read_messages(record[name]) for name in ("chosen", "rejected"))
    roles = [[message["role"] for message in messages] for messages in (chosen, rejected)]
    if (
        roles != [["user", "assistant"]] * 2
        or chosen[0] != rejected[0]
        or any(set(message) - {"role", "content"} for message in chosen + rejected)
    ):
        raise DataError(
            "a pair of lists of messages is read where both are one question, the "
            "same, and one answer"
        )
    return Preference(chosen[0]["content"], chosen[1]["content"], rejected[1]["content"])


_NEEDED = object()
_HALF = re.compile("[\ud800-\udfff]")  # of a pair of surrogates (UTF-16)


def _text(record, field, default=_NEEDED):
    value = record.get(field, default)
    if value is None and default is not _NEEDED:  # null where a field may be left out
        return default
    if not isinstance(value, str):
        raise DataError(
            f"the field {field!r} "
            + ("is missing" if value is _NEEDED else f"must be text, not {value!r:.60}")
        )
    if not value.isascii() and _HALF.search(value):  # what no file of UTF-8 can hold
        raise DataError(
            f"the field {field!r} has half a character (\\ud800 to \\udfff): {value!r:.60}"
        )
    return value


def _input(record):
    names = _found(record, _INPUT)
    _one_of(names)
    text = _text(record, names[0], "") if names else ""
    return (
        "" if text.strip().lower() == "<noinput>" else text
    )  # how self-instruct writes that there is none


# The book's own samples: three phrasings of one task, and four more kinds of tasks (section 2.1.3).
_SENTENCE = "LLMs are powerful models but are expensive to build."
BOOK_EXAMPLES = (
    Instruction(
        "Read the following sentence, and answer whether it is grammatically correct.",
        "Yes",
        _SENTENCE,
        task="grammar",
    ),
    Instruction(
        f"{_SENTENCE}\nDoes this sentence make sense grammatically?\nAnswer Choices\n- Yes\n- No",
        "Yes",
        task="grammar",
    ),
    Instruction(
        "Yes or No? Yes = the following sentence is grammatically correct. No = it contains grammatical errors.",
        "Yes",
        _SENTENCE,
        task="grammar",
    ),
    Instruction(
        "Write a short story about three characters.",
        "At twilight Andy, his loyal dog Rocket and his friend Jane came "
        "upon a hidden garden of ancient trees, where the wind whispered. There they shared their dreams and secrets, and "
        "under the stars they made a pact to look for magic in the ordinary: the real adventure was the time they spent "
        "together, each day a treasure to be discovered.",
        "Character 1: A boy named Andy.\nCharacter 2: Andy's dog.\nCharacter 3: Andy's friend, Jane.",
        task="story",
    ),
    Instruction(
        "Show me a recipe for making ice cream.",
        "Ingredients: 2 cups heavy cream, 1 cup milk, 3/4 cup sugar, 2 teaspoons "
        "vanilla extract, a pinch of salt.\n1. Whisk everything until the sugar dissolves.\n2. Chill in the fridge for 2 "
        "hours.\n3. Freeze in a shallow dish, stirring every 30 minutes, 3 or 4 times.\n4. Freeze until solid, 2 hours."
        "\n5. Serve.",
        task="recipe",
    ),
    Instruction(
        "If you buy 5 apples and each apple costs $1.20, how much do you spend in total?",
        "$6.00",
        task="arithmetic",
    ),
    Instruction(
        "Write a Python program to calculate the sum of squares of the following numbers.",
        "numbers = [1,2,10,-9,78]\nsum_of_squares = sum(x**2 for x in numbers)\nprint(sum_of_squares)",
        "1 2 10 -9 78",
        task="code",
    ),
)
