"""Texts with marked entities and relations, for extraction by prompting   (book section 3.1.4.2).

Entities come from files of tagged words (conll.py), relations from JSON lines:

    {"text": "Tom Jenkins heads Harbor Bank.",
     "entities": [["Tom Jenkins", "person"], ["Harbor Bank", "organization"]],
     "relations": [["Tom Jenkins", "works for", "Harbor Bank"]]}

Read first: bio.py; read next: synthetic/prompted/named_entities.py.
"""

from dataclasses import dataclass
from pathlib import Path

from tinylm.data.read.bio import bio_decode
from tinylm.data.read.conll import read_conll
from tinylm.errors import DataError
from tinylm.reading import BadLines, json_lines, json_text, refuse

_FIELDS = ("text", "entities", "relations")


@dataclass(frozen=True)
class Annotated:
    """A text with what is marked in it.

    entities   tuple of (words of the text, type), in the order of the text
    relations  tuple of (head, relation, tail); head and tail are entities
    raises     DataError for an entity that is not in the text, or a relation of other words
    """

    text: str
    entities: tuple[tuple[str, str], ...] = ()
    relations: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        missing = [name for name, _ in self.entities if name not in self.text]
        if missing:
            raise DataError(f"the entity {missing[0]!r} is not in the text {self.text!r:.80}")
        names = {name for name, _ in self.entities}
        odd = [one for one in self.relations if one[0] not in names or one[2] not in names]
        if odd:
            raise DataError(f"the relation {odd[0]} is not between two entities of the text")


def read_entities(path: str | Path, word: int = 0, tag: int = -1) -> list[Annotated]:
    """The sentences of a CoNLL file, words joined by spaces: list of Annotated.

    word, tag  numbers of the columns; tags are of one of conll.SCHEMES
    raises     DataError as read_conll
    """
    found = []
    for words, tags in read_conll(path, word, tag):
        spans = bio_decode(tags)
        entities = tuple((" ".join(words[start:stop]), kind) for kind, start, stop in spans)
        found.append(Annotated(" ".join(words), entities))
    return found


def read_relations(path: str | Path, bad: BadLines | None = None) -> list[Annotated]:
    """The texts of a file of JSON lines with the fields text, entities and relations.

    bad      reading.BadLines that takes lines that cannot be read; by default they raise
    returns  list of Annotated
    raises   DataError with the first line that cannot be read, or if the file has none
    """
    found = []
    for number, record in json_lines(path, bad):
        try:
            found.append(_annotated(record))
        except DataError as error:
            refuse(f"{path}, line {number}: {error}", bad)
    if not found:
        raise DataError(f"{path} holds no text with entities")
    return found


def _annotated(record):
    if not isinstance(record, dict):
        raise DataError(f"a text with entities is an object with fields, not {record!r:.60}")
    unread = [name for name in record if name not in _FIELDS]
    if unread:
        raise DataError(f"the field {unread[0]!r} is not read; the fields are {', '.join(_FIELDS)}")
    text = json_text(record, "text")
    entities = _tuples(record.get("entities", []), "entities", 2)
    return Annotated(text, entities, _tuples(record.get("relations", []), "relations", 3))


def _tuples(value, field, width):
    """A JSON list of lists of `width` texts, as tuples."""
    if not isinstance(value, list):
        raise DataError(f"the field {field!r} must be a list, not {value!r:.60}")
    for one in value:
        texts = isinstance(one, list) and all(isinstance(part, str) for part in one)
        if not texts or len(one) != width:
            raise DataError(f"{field!r} must have lists of {width} texts, not {one!r:.60}")
    return tuple(map(tuple, value))
