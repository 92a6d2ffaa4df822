"""Information extraction by prompting: names, typed entities, relations, anything described   (book
section 3.1.4.2).

    1. Tom Jenkins - Person Name             Tom Jenkins - Harbor Bank: Tom Jenkins heads it.
    2. Harbor Bank - Organization

Replies are lists in a form that the prompt requires. A line that is not in this form is returned as
unread, an entity that the text does not contain as invented: models do both. Item.question is the
text. Read next: data/synthetic/prompted/named_entities.py; generation.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.named_entities import entity_lines
from tinylm.errors import DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.finetune.metrics import entity_f1
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import answer_of
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.tasks.demonstrated import (
    BETWEEN,
    demonstrated,
    demonstration,
    ends,
    fit_demonstrated,
)
from tinylm.prompt.template.library import LIBRARY

_BULLET = r"[ \t]*(?:\d+[.)]|[-*•])?[ \t]*"
_DASH = r"[ \t]+[-–—][ \t]+"
_ENTITY = re.compile(rf"{_BULLET}(\S.*){_DASH}(\S.*?)[ \t.]*")
_RELATION = re.compile(rf"{_BULLET}(\S.*?){_DASH}(\S.*?):[ \t]*\S.*")
_NOTHING = re.compile(r"(?:there (?:are|is) )?(?:none|no\b[^,\n]*|nothing)[.!]?", re.IGNORECASE)


@dataclass(frozen=True)
class Extracted:
    """What was read from a reply.

    found     list, in the order of the reply
    unread    lines that are not in the form
    invented  the entities of `found` that do not stand in the text
    """

    found: list
    unread: list
    invented: list


def parse_entities(
    reply: str, text: str | None = None, types: tuple[str, ...] | None = None
) -> Extracted:
    """Entities with their types, from lines "1. Tom Jenkins - Person Name".

    A number or a bullet may stand before it; of several dashes the last one separates.

    text     that they were extracted from: what it does not contain is invented
    types    allowed types, in lower case or not; a line with another is unread
    returns  Extracted with found [(entity, type)]
    """
    found, unread = [], []
    known = None
    if types is not None:
        known = {kind.casefold(): kind for kind in types}
    for line in _lines(reply):
        # Greedy before the dash, so of several dashes the last one separates.
        match = _ENTITY.fullmatch(line)
        kind = match and match[2]
        if match and known is not None:
            # None for a type that is not allowed: the line is unread.
            kind = known.get(kind.casefold())
        if not kind:
            unread.append(line)
        else:
            found.append((match[1].strip(), kind))
    return Extracted(found, unread, _invented([name for name, _ in found], text))


def parse_names(reply: str, text: str | None = None) -> Extracted:
    """Names, from a list in lines, or one sentence "Person names ..: Tom Jenkins, Ana Ferreira".

    returns  Extracted with found [name]; nothing is found in "None." or "No person names."
    """
    found, unread = [], []
    for line in _lines(reply):
        rest = re.fullmatch(rf"{_BULLET}(.*)", line)[1]
        # "Person names identified in the text: Tom" is a heading and a list.
        listed = rest.split(":")[-1].strip()
        if not listed or _NOTHING.fullmatch(listed):
            continue  # a heading, or the statement that there are none
        names = re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s*;\s*", listed.rstrip("."))
        # One word that is no name, and the line is a sentence.
        if all(_is_name(name) for name in names):
            found += names
        else:
            unread.append(line)
    found = list(dict.fromkeys(found))
    return Extracted(found, unread, _invented(found, text))


def parse_relations(reply: str, entities: Sequence[str]) -> Extracted:
    """Relations, from lines "A - B: description" between known entities.

    returns  Extracted with found [(head, tail, description)]
    """
    # Of "Europe" and "European Union" the longer is tried first.
    longest_first = sorted(entities, key=len, reverse=True)
    one = "(" + "|".join(map(re.escape, longest_first)) + ")"
    pattern = re.compile(rf"{_BULLET}{one}{_DASH}{one}:[ \t]*(\S.*)")
    found, unread = [], []
    for line in _lines(reply):
        match = pattern.fullmatch(line)
        if match is None or not entities:
            unread.append(line)
        else:
            found.append((match[1], match[2], match[3].rstrip()))
    return Extracted(found, unread, [])


def extraction_scores(
    found: Sequence[list[tuple]], gold: Sequence[list[tuple]]
) -> dict[str, float]:
    """Precision, recall and F1 of entities over several texts, an entity being (words, type).

    found, gold  one list of (entity, type) per text; one that is found twice counts once
    returns      {"precision", "recall", "f1"} as finetune.metrics.entity_f1
    """
    return entity_f1(found, gold)


def extract_names(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """All person names of a text.

    lm       TextLM
    item     Item, whose question is the text
    demonstrations  Items whose answers are lists of names
    returns  Answer: the names in lines, "" if there are none, None if nothing could be read.
             details: "extracted", an Extracted; "kept" and "dropped" demonstrations
    """

    def read(reply):
        return parse_names(reply, item.question)

    fitted = fit_demonstrated(lm, LIBRARY["names"], item, demonstrations, max_tokens)
    return _extract(lm, fitted, read, seed, max_tokens)


def extract_entities(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    types: tuple[str, ...] | None = None,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """All entities of a text with their types: Answer, numbered lines.

    types    allowed types, which are then listed in the prompt
    others   as in extract_names; answers of demonstrations are numbered lines, too
    """
    template = LIBRARY["entities"]
    if types is not None:
        with_types = template.text.replace("\nText:", "\nTypes: {*types*}\nText:")
        template = PromptTemplate(with_types).partial(types=", ".join(types))

    def read(reply):
        return parse_entities(reply, item.question, types)

    fitted = fit_demonstrated(lm, template, item, demonstrations, max_tokens)
    return _extract(lm, fitted, read, seed, max_tokens)


def extract_relations(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    entities: tuple[str, ...],
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """The relations between given entities: Answer, lines "A - B: description".

    demonstrations  Items whose answers are such lines, each shown with its own entities: those
                    that the lines relate
    others   as in extract_names
    raises   DataError for a demonstration without such a line
    """

    def write(kept):
        shown = [demonstration(_between(related(demo)), demo) for demo in kept]
        return BETWEEN.join([*shown, demonstrated(_between(entities), item)])

    def read(reply):
        return parse_relations(reply, entities)

    fitted = fit_context(lm, write, demonstrations, max_tokens)
    return _extract(lm, fitted, read, seed, max_tokens)


def related(item: Item) -> tuple[str, ...]:
    """The entities of a demonstration, in the order of its lines "A - B: description".

    Of several dashes the first one separates.

    returns  tuple of str
    raises   DataError for an answer without such a line
    """
    lines = map(_RELATION.fullmatch, _lines(answer_of(item)))
    found = [entity for line in lines if line is not None for entity in (line[1], line[2])]
    if not found:
        raise DataError(
            f"a demonstration of relations needs lines 'A - B: description' as its answer: "
            f"{item.answer!r:.60} has none"
        )
    return tuple(dict.fromkeys(found))


def _between(entities):
    """The template for relations between entities."""
    return LIBRARY["relations"].partial(entities=", ".join(entities))


def extract(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    task: str,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Whatever is described: Answer with the reply as it is.

    task     description that completes "Your task is to", such as those of EXTRACTIONS
    others   as in extract_names
    """
    template = LIBRARY["extract"].partial(task_description=task)
    fitted = fit_demonstrated(lm, template, item, demonstrations, max_tokens)
    stop = ends(lm, fitted.kept)
    reply = lm.complete(fitted.text, stop=stop, seed=seed, max_tokens=max_tokens)
    value = lm.parsed("answer", reply.text.strip() or None)
    return Answer(value, reply.text, fitted.details)


def _extract(lm, fitted, read, seed, max_tokens):
    """The Answer of a prompt that fits; read: function from a reply to an Extracted."""
    stop = ends(lm, fitted.kept)
    reply = lm.complete(fitted.text, stop=stop, seed=seed, max_tokens=max_tokens)
    extracted = read(reply.text)
    # Found nothing and read everything: there is nothing. Found nothing, but lines are unread: the
    # reply is not in the form, and its value is None.
    value = None
    if extracted.found or not extracted.unread and reply.text.strip():
        value = _written(extracted.found)
    details = {"extracted": extracted, **fitted.details}
    return Answer(lm.parsed("found", value), reply.text, details)


def _written(found):
    """What was found, in the form of the prompt."""
    if not found or isinstance(found[0], str):
        return "\n".join(found)
    if len(found[0]) == 2:
        return entity_lines(found)
    return "\n".join(f"{head} - {tail}: {text}" for head, tail, text in found)


def _lines(reply):
    return [line.strip() for line in reply.splitlines() if line.strip()]


def _invented(names, text):
    if text is None:
        return []
    return [name for name in names if name not in text]


def _is_name(text):
    """True for one to five words, of which the first is in capitals or has no case."""
    words = text.split()
    return 1 <= len(words) <= 5 and not text[0].islower() and text[-1].isalnum()
