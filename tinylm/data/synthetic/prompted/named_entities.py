"""Texts with marked persons, organizations, locations and dates, and the relations between them
(book section 3.1.4.2).

The names are invented; which type one has follows from lists, so extraction from a text is exact.
Answers are lines "1. Tom Jenkins - Person Name", as in the book. Read next: read/annotated.py.
"""

import re
from collections.abc import Sequence

from tinylm.data.read.annotated import Annotated
from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator, pick
from tinylm.errors import DataError

# fmt: off
NAMES = {
    "Person Name": ("Tom Jenkins", "Mara Lindqvist", "Omar Haddad", "Yuki Tanabe", "Ana Ferreira",
                    "Piet de Vries", "Lucia Romano", "Samuel Okoro"),
    "Organization": ("European Tourism Organization", "Nordlicht Energy", "Harbor Bank",
                     "Tanabe Robotics", "University of Estavia", "Green Valley Farms"),
    "Location": ("UK", "Europe", "Lisbon", "Estavia", "New Harbor", "the Blue Mountains"),
}
# fmt: on
_MONTHS = "January March May July October December".split()
_DATE = re.compile(rf"(?:[1-9][0-9]? (?:{'|'.join(_MONTHS)}) )?(?:19|20)[0-9]{{2}}\b")
# (text, its relations as (head, relation, tail)); p person, o organization, l location, d date
_FORMS = (
    ("{p}, the director of {o}, will visit {l} in {d}.", (("p", "works for", "o"),)),
    ("{o} was founded in {l} on {d}.", (("o", "located in", "l"),)),
    ("Since {d}, {p} has lived in {l}.", (("p", "lives in", "l"),)),
    ("{p} said that sales in {l} will fall.", ()),
    ("In {d}, {p} left {o}, whose main office is in {l}.", (("o", "located in", "l"),)),
    ("{o} reported a loss for {d}.", ()),
)
_SLOTS = {"p": "Person Name", "o": "Organization", "l": "Location"}


def entities_in(text: str) -> list[tuple[str, str]]:
    """The entities of a text, in order: list of (name, type); longer names go before shorter ones.

    types  "Person Name", "Organization", "Location", "Date"
    """
    types = {name: kind for kind, names in NAMES.items() for name in names}
    longest_first = "|".join(re.escape(name) for name in sorted(types, key=len, reverse=True))
    pattern = rf"(?<!\w)(?:{longest_first})(?!\w)|{_DATE.pattern}"
    return [(name, types.get(name, "Date")) for name in re.findall(pattern, text)]


def entity_lines(entities: Sequence[tuple[str, str]]) -> str:
    """Entities as a numbered list, one a line: "1. Tom Jenkins - Person Name"."""
    return "\n".join(f"{i}. {name} - {kind}" for i, (name, kind) in enumerate(entities, 1))


def annotated_texts(count: int, seed: int = 0) -> list[Annotated]:
    """Texts of one sentence with their entities and relations: list of Annotated."""
    rng, texts = generator(seed, "entities"), []
    for _ in range(count):
        form, relations = pick(_FORMS, rng)
        values = {slot: pick(NAMES[kind], rng) for slot, kind in _SLOTS.items()}
        values["d"] = str(int(rng.integers(1950, 2030)))
        if " on {d}" in form:
            values["d"] = f"{int(rng.integers(1, 29))} {pick(_MONTHS, rng)} {values['d']}"
        order = re.findall(r"\{(\w)\}", form)
        entities = tuple((values[slot], _SLOTS.get(slot, "Date")) for slot in order)
        triples = tuple((values[head], kind, values[tail]) for head, kind, tail in relations)
        texts.append(Annotated(form.format(**values), entities, triples))
    return texts


def named_entity_items(count: int, seed: int = 0) -> list[Item]:
    """The same texts as questions, their entities as the answer: list of Item."""
    items = []
    for one in annotated_texts(count, seed):
        rationale = " ".join(f"{name} is of type {kind}." for name, kind in one.entities)
        answer = entity_lines(one.entities)
        items.append(Item(one.text, answer, rationale=rationale, task="named_entities"))
    return items


def solve_named_entities(item: Item) -> str:
    """The answer, from the question alone. DataError for a text without entities."""
    found = entities_in(item.question)
    if not found:
        raise DataError(f"no entity that is known is in {item.question!r:.80}")
    return entity_lines(found)
