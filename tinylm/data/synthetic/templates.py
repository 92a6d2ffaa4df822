"""Templates that are filled, and read back from the text   (the inverse of str.format).

A generator writes a question with a template; its solver takes the values out of the question with
the same one, so that it computes the answer from what a model reads, and from nothing else. Read
next: prompted/last_letters.py.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from tinylm.errors import DataError

_SLOT = re.compile(r"\{(\w+)(:d)?\}")


@cache
def _pattern(template):
    """(compiled pattern, names of its whole numbers) of a template."""
    pattern, numbers, seen, at = "", set(), set(), 0
    for slot in _SLOT.finditer(template):
        name, is_number = slot[1], slot[2]
        pattern += re.escape(template[at : slot.start()])
        at = slot.end()
        if name in seen:
            pattern += f"(?P={name})"  # the same value again
        elif is_number:
            numbers.add(name)
            pattern += f"(?P<{name}>-?[0-9]+)"
        else:
            pattern += f"(?P<{name}>.+?)"
        seen.add(name)
    return re.compile(pattern + re.escape(template[at:]), re.DOTALL), numbers


def slots(template: str, text: str) -> dict[str, Any] | None:
    """The values with which a template was filled; None if the text is not of its form.

    template  "{name}" is any text, the shortest that fits; "{name:d}" a whole number
    returns   {name: str or int}: template.format(**slots) is the text
    """
    pattern, numbers = _pattern(template)
    match = pattern.fullmatch(text)
    if match is None:
        return None
    found = match.groupdict()
    return found | {name: int(found[name]) for name in numbers}


def needed_slots(template: str, text: str) -> dict[str, Any]:
    """As `slots`, for a text that must be of this form: DataError if it is not."""
    found = slots(template, text)
    if found is None:
        raise DataError(f"{text!r:.80} is not of the form {template!r}")
    return found


def first_slots(templates: Sequence[str], text: str) -> tuple[int, dict[str, Any]]:
    """(index, values) of the first template whose form the text has. DataError if none has."""
    for i, template in enumerate(templates):
        found = slots(template, text)
        if found is not None:
            return i, found
    raise DataError(f"{text!r:.80} is of none of {len(templates)} forms, such as {templates[0]!r}")
