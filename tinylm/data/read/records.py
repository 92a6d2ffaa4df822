"""Records of instructions and preferences: fields of many names, read strictly.

Files of different origin name the same things differently. A field that no reader knows raises
DataError, as its meaning would be lost. Read next: instructions.py, preferences.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tinylm.errors import DataError
from tinylm.reading import BadLines, json_records, json_text, refuse

# Names of the same things in different files.
PROMPTS = ("instruction", "prompt", "question")
INPUT, SYSTEM = ("input", "context"), ("system", "system_prompt")
# Where a sample comes from: fields without effect on its text.
ABOUT = frozenset(
    """id idx index name source category is_classification prompt_id text url license
    lang language dataset created_at timestamp split topic title subset""".split()
)


def read_records(
    path: str | Path, make: Callable, bad: BadLines | None = None, places: list[str] | None = None
) -> list:
    """What `make` reads from the records of a file of JSON: a list, in their order.

    make    function: record -> list;  bad  reading.BadLines, or None: the first bad record raises
    places  a list that receives where each of them stands, such as "line 3"; None: nothing does
    raises  DataError with the line or number of the record, or if there is nothing in the file
    """
    found = []
    for place, record in json_records(path, bad):
        try:
            made = make(record)
        except DataError as error:
            refuse(f"{path}, {place}: {error}", bad)
            continue
        found += made
        if places is not None:
            places += [place] * len(made)
    if not found:
        raise DataError(
            f"{path} holds no sample at all" + " that can be read" * bool(bad and bad.count)
        )
    return found


def only_fields(record: dict[str, Any], *names: str) -> None:
    """Raise DataError for a field that is in neither `names` nor ABOUT: it would be lost."""
    unread = [name for name in record if name not in (*names, *ABOUT)]
    if unread:
        raise DataError(
            f"the field {unread[0]!r} is not read in a sample of this form; take it "
            "out, or write what it means into the text"
        )


def fields_there(record: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    """Those of `names` that a record has, in their order."""
    return [name for name in names if name in record]


def one_name(names: Sequence[str]) -> None:
    """Raise DataError if a record has several of the names of one thing."""
    if len(names) > 1:
        raise DataError(
            f"the fields {names[0]!r} and {names[1]!r} are both there: which of them counts?"
        )


def system_text(record: dict[str, Any]) -> str:
    """The system information of a record, "" if it has none."""
    names = fields_there(record, SYSTEM)
    one_name(names)
    if names:
        return json_text(record, names[0], "")
    return ""


def input_text(record: dict[str, Any]) -> str:
    """The input of an instruction, "" if it has none."""
    names = fields_there(record, INPUT)
    one_name(names)
    if not names:
        return ""
    text = json_text(record, names[0], "")
    if text.strip().lower() == "<noinput>":  # self-instruct's mark of an empty input
        return ""
    return text


def shared_prompt(record: dict[str, str]) -> tuple[str, str, str]:
    """The prompt of two texts that both begin with it, and what follows in each, as TRL's
    extract_prompt divides them.

    record   dict with the texts "chosen" and "rejected"
    returns  (prompt, chosen, rejected): all up to the first character that differs is the prompt,
             but a space before it belongs to the answers. Where one text goes on from the end of
             the other, or both are the same, the shorter one's last character is its answer
    raises   DataError if the texts begin with nothing in common
    """
    chosen, rejected = json_text(record, "chosen"), json_text(record, "rejected")
    n = max(0, min(len(chosen), len(rejected)) - 1)
    for i, (one, other) in enumerate(zip(chosen, rejected)):
        if one != other:
            n = i
            if chosen[:i].endswith(" "):
                n = i - 1
            break
    if not chosen[:n].strip():
        raise DataError(
            "the field 'prompt' is missing, and 'chosen' and 'rejected' do not begin with a "
            "prompt in common: give what both of them answer as 'prompt'"
        )
    return chosen[:n], chosen[n:], rejected[n:]


def prompt_in_pair(record: dict[str, Any]) -> bool:
    """Whether a record is a pair of texts that has its prompt in them alone."""
    texts = [record.get(name) for name in ("chosen", "rejected")]
    return all(isinstance(text, str) for text in texts) and not fields_there(
        record, (*PROMPTS, *INPUT)
    )
