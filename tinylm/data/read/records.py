"""Records of instructions and preferences: fields of many names, read strictly.

Files of different origin name the same things differently. A field that no reader knows raises
DataError, as its meaning would be lost. Read next: instructions.py, preferences.py.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tinylm.errors import DataError
from tinylm.reading import (
    BadLines,
    json_text,
    json_values,
    numbered_lines,
    refuse,
    strict_json,
)
from tinylm.tables import is_table, table_records

# Names of the same things in different files.
PROMPTS = ("instruction", "prompt", "question")
INPUT, SYSTEM = ("input", "context"), ("system", "system_prompt")
# Where a sample comes from: fields without effect on its text.
ABOUT = frozenset(
    """id idx index name source category is_classification prompt_id text url license
    lang language dataset created_at timestamp split topic title subset""".split()
)


def records_of(path: str | Path, bad: BadLines | None = None) -> Iterable[tuple[str, Any]]:
    """The records of a file of JSON, or of a table (.csv, .tsv): iterable of (place, record)."""
    if is_table(path):
        return table_records(path, bad)
    return json_records(path, bad)


def json_records(path: str | Path, bad: BadLines | None = None) -> Iterable[tuple[str, Any]]:
    """The values of a JSON file with one list, or of JSON lines.

    bad      as `json_lines`; a list is read whole or not at all
    returns  iterable of (position, value), where a position is "line 3" or "record 3"
    raises   DataError as `json_lines`, or with the reason why the list is no JSON
    """
    lines = list(numbered_lines(path, bad))  # once: a pipe cannot be read again
    first = next((line for _, line in lines if line.strip()), "")
    _check_json(path, first, bad)
    if not first.lstrip().startswith("["):  # one object a line, not one list
        return ((f"line {number}", value) for number, value in json_values(lines, path, bad))
    try:
        found = strict_json("\n".join(line for _, line in lines))
    except ValueError as error:
        raise DataError(
            f"{path}, the list is no JSON ({error}): give a list of objects, or one object a line"
        ) from None
    return [(f"record {i}", value) for i, value in enumerate(found, 1)]


def _check_json(path, first, bad):
    """Raise DataError for a file of plain text, by its first line that is not blank."""
    if not first or first.lstrip()[0] in "[{" or (bad is not None and bad.skip):
        return  # where a line is refused, or left out, it is named with its number
    try:
        strict_json(first)
    except ValueError:
        raise DataError(
            f"{path} is no JSON, it begins with {first.strip()[:40]!r}: give one object a line, a "
            "list of objects, or a table whose first line names its columns, as .csv or .tsv; "
            "`tinylm train` learns plain text"
        ) from None


def read_records(
    path: str | Path, make: Callable, bad: BadLines | None = None, places: list[str] | None = None
) -> list:
    """What `make` reads from the records of a file of JSON or a table: a list, in their order.

    make    function: record -> list;  bad  reading.BadLines, or None: the first bad record raises
    places  a list that receives where each of them stands, such as "line 3"; None: nothing does
    raises  DataError with the line or number of the record, or if there is nothing in the file
    """
    found = []
    for place, record in records_of(path, bad):
        try:
            made = make(record)
        except DataError as error:
            if is_table(path) and not found:
                error = f"{error}; the first line of a table names its columns"
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
