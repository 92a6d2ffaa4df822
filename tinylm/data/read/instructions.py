"""Instructions and their answers, from the files in which people keep them   (book section 2.1.3)

A sample of fine-tuning data says what is to be done, maybe on what, and what a good answer is; a conversation is several of
these in turns. Files differ in the names of their fields only: Alpaca's instruction / input / output, the seed tasks of
self-instruct (Wang et al. 2023), prompt / completion, OpenAI's messages, ShareGPT's conversations, and pairs of a chosen and
a rejected answer. Read next: mix/instruction_mixture.py; finetune/instruct/conversations.py, which makes tokens of them.
"""
import re
from dataclasses import dataclass
from pathlib import Path

from tinylm.errors import DataError
from tinylm.reading import json_values, numbered_lines, refuse, strict_json


@dataclass(frozen=True)
class Instruction:
    """One sample (x, y): x is system information, an instruction and what the user gives with it; y is the output.

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
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction

    def messages(self):
        """The sample as a conversation of one turn: list of {"role", "content"}."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.user}, {"role": "assistant", "content": self.output}]


@dataclass(frozen=True)
class Conversation:
    """A conversation of any number of turns.

    turns    tuple of (role, content); the roles are system, user, assistant
    """

    turns: tuple[tuple[str, str], ...]
    task: str = ""

    def messages(self):
        """list of {"role", "content"}."""
        return [{"role": role, "content": content} for role, content in self.turns]


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which people liked the first better   (book section 2.1.4)."""

    prompt: str
    chosen: str
    rejected: str


def read_instructions(path, bad=None):
    """The samples of a file of instructions or conversations.

    path     a JSON file with a list, or JSON lines (may be .gz); fields: see the docstring of this module. Of a pair of a
             chosen and a rejected answer, "output" counts, or else the chosen one
    bad      reading.BadLines that takes records that cannot be read; by default they raise
    returns  list of Instruction and Conversation, in the order of the file; a seed task gives one for each of its instances
    raises   DataError with the place of the first that cannot be read, or if there is none
    """
    return _read(path, _samples, bad)


def read_preferences(path, bad=None):
    """The pairs of a file with "chosen" and "rejected", and "prompt" or "instruction" (and "input").

    returns  list of Preference
    raises   as read_instructions
    """
    return _read(path, _preferences, bad)


def as_sample(record):
    """An Instruction or a Conversation of a dict with the fields of a file, or of a list of messages.

    raises   DataError if nothing of the kind is in it, or it holds several
    """
    found = _samples({"messages": record} if isinstance(record, list) else record)
    if len(found) != 1:
        raise DataError(f"as_sample: the record has {len(found)} instances; it must have one: {record!r:.100}")
    return found[0]


def _read(path, make, bad):
    found = []
    for place, record in _records(Path(path), bad):
        try:
            found += make(record)
        except DataError as error:
            refuse(f"{path}, {place}: {error}", bad)
    if not found:
        raise DataError(f"{path} holds no sample at all" + " that can be read" * bool(bad and bad.count))
    return found


def _records(path, bad):
    """(where, parsed JSON) of every record of a file."""
    lines = list(numbered_lines(path, bad))                 # once: a pipe cannot be read again
    first = next((line for _, line in lines if line.strip()), "")
    if not first.lstrip().startswith("["):
        return ((f"line {number}", record) for number, record in json_values(lines, path, bad))
    try:
        found = strict_json("\n".join(line for _, line in lines))
    except ValueError as error:
        raise DataError(f"instructions: {path}, the list is no JSON ({error}): give a list of "
                        "objects, or one object a line") from None
    return [(f"record {i}", record) for i, record in enumerate(found, 1)]


def _samples(record):
    """What a record of any of the known forms holds: list of Instruction or Conversation."""
    if not isinstance(record, dict):
        raise DataError(f"a sample is an object with fields, not {record!r:.60}")
    task, system = (_text(record, name, "") for name in ("task", "system"))
    for field, role, content in (("messages", "role", "content"), ("conversations", "from", "value")):
        if field in record:
            return [Conversation(_turns(record[field], role, content, system), task)]
    if "instances" in record:
        instances = record["instances"]
        if not isinstance(instances, list) or not all(isinstance(instance, dict) for instance in instances):
            raise DataError("instances must be a list of objects with input and output")
        task = task or _text(record, "name", "")
        return [Instruction(_text(record, "instruction"), _text(one, "output"), _input(one), system, task) for one in instances]
    asked = next((field for field in ("instruction", "prompt", "question") if field in record), None)
    answer = next((field for field in ("output", "completion", "response", "answer", "chosen") if field in record), None)
    if asked is None or answer is None:
        raise DataError(f"the fields {', '.join(map(repr, record)) or '(none)'} are of no form that is known: instruction, input, "
                        "output; prompt, completion; messages; conversations; instruction, instances")
    return [Instruction(_text(record, asked), _text(record, answer), _input(record), system, task)]


def _preferences(record):
    if not isinstance(record, dict) or not {"chosen", "rejected"} <= set(record):
        raise DataError(f"a pair has the fields 'chosen' and 'rejected', not {record!r:.60}")
    asked = _text(record, "prompt" if "prompt" in record else "instruction")
    return [Preference(Instruction(asked, "", _input(record)).user, _text(record, "chosen"), _text(record, "rejected"))]


_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}    # as ShareGPT and others name them


def _turns(messages, role, content, system):
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise DataError(f"a conversation is a list of objects with {role!r} and {content!r}, not {messages!r:.60}")
    turns = [(_ROLES.get(said := _text(message, role), said), _text(message, content)) for message in messages]
    for name, _ in turns:
        if name not in ("system", "user", "assistant"):
            raise DataError(f"a message is of role {name!r}; the roles are system, user, assistant")
    if system and turns[0][0] == "system":
        raise DataError("the system information is there twice: as a field and as a message")
    return ((("system", system),) if system else ()) + tuple(turns)


_NEEDED = object()
_HALF = re.compile("[\ud800-\udfff]")                   # of a pair of surrogates (UTF-16)


def _text(record, field, default=_NEEDED):
    value = record.get(field, default)
    if value is None and default is not _NEEDED:             # null where a field may be left out
        return default
    if not isinstance(value, str):
        raise DataError(f"the field {field!r} " + ("is missing" if value is _NEEDED else f"must be text, not {value!r:.60}"))
    if not value.isascii() and _HALF.search(value):          # what no file of UTF-8 can hold
        raise DataError(f"the field {field!r} has half a character (\\ud800 to \\udfff): {value!r:.60}")
    return value


def _input(record):
    text = _text(record, "input", "")
    return "" if text.strip().lower() == "<noinput>" else text           # how self-instruct writes that there is none


# The book's own samples: three phrasings of one task, and four more kinds of tasks (section 2.1.3).
_SENTENCE = "LLMs are powerful models but are expensive to build."
BOOK_EXAMPLES = (
    Instruction("Read the following sentence, and answer whether it is grammatically correct.", "Yes", _SENTENCE, task="grammar"),
    Instruction(f"{_SENTENCE}\nDoes this sentence make sense grammatically?\nAnswer Choices\n- Yes\n- No", "Yes", task="grammar"),
    Instruction("Yes or No? Yes = the following sentence is grammatically correct. No = it contains grammatical errors.", "Yes",
                _SENTENCE, task="grammar"),
    Instruction("Write a short story about three characters.", "At twilight Andy, his loyal dog Rocket and his friend Jane came "
                "upon a hidden garden of ancient trees, where the wind whispered. There they shared their dreams and secrets, and "
                "under the stars they made a pact to look for magic in the ordinary: the real adventure was the time they spent "
                "together, each day a treasure to be discovered.",
                "Character 1: A boy named Andy.\nCharacter 2: Andy's dog.\nCharacter 3: Andy's friend, Jane.", task="story"),
    Instruction("Show me a recipe for making ice cream.", "Ingredients: 2 cups heavy cream, 1 cup milk, 3/4 cup sugar, 2 teaspoons "
                "vanilla extract, a pinch of salt.\n1. Whisk everything until the sugar dissolves.\n2. Chill in the fridge for 2 "
                "hours.\n3. Freeze in a shallow dish, stirring every 30 minutes, 3 or 4 times.\n4. Freeze until solid, 2 hours."
                "\n5. Serve.", task="recipe"),
    Instruction("If you buy 5 apples and each apple costs $1.20, how much do you spend in total?", "$6.00", task="arithmetic"),
    Instruction("Write a Python program to calculate the sum of squares of the following numbers.",
                "numbers = [1,2,10,-9,78]\nsum_of_squares = sum(x**2 for x in numbers)\nprint(sum_of_squares)", "1 2 10 -9 78",
                task="code"),
)
