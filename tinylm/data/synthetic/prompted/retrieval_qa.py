"""Questions with retrieved documents: facts, distractors, no answer, facts against memory   (book
section 3.2.5).

A world is a set of facts, one document each. A question may come with its document among
distractors, with distractors alone (the answer is "No answer!"), or with a document whose fact was
altered: an answer from the text then differs from one from memory. Read next: verbose.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, distinct, generator, pick
from tinylm.data.synthetic.templates import first_slots, needed_slots
from tinylm.errors import ConfigError, DataError

NO_ANSWER = "No answer!"  # the book's words for a refusal
PLACES = """Abeton Bramville Castelor Dorham Elmstad Farrow Grimsby Hollin Isenburg Jarlton Kelmis
Lorvik Mardun Nesto Orland Pelham""".split()
# {aspect: (values, the documents that state it)}
ASPECTS = {
    "mayor": (
        "Ada Berg,Ivo Kern,Lea Sand,Max Roth,Nina Falk,Otto Lind".split(","),
        ("The mayor of {place} is {value}.", "{value} was elected mayor of {place}."),
    ),
    "river": (
        "Arda Brenn Calder Dora Esk Fulda".split(),
        (
            "The river of {place} is the {value}.",
            "The town of {place} lies on its river, the {value}.",
        ),
    ),
    "main product": (
        "glass paper cheese steel silk clocks".split(),
        ("The main product of {place} is {value}.", "{place} is known for {value}."),
    ),
    "festival": (
        "Lantern Day,Harvest Week,Boat Night,Bell Sunday,Kite Month,Snow Ball".split(","),
        ("The festival of {place} is {value}.", "Every year {place} celebrates {value}."),
    ),
}
_QUESTION = "What is the {aspect} of {place}?"
_FORMS = [(aspect, form) for aspect, (_, forms) in ASPECTS.items() for form in forms]
_SEPARATOR = "\n\n"  # between the documents of a context


class DocumentWorld:
    """Facts about towns, and a document for each.

    known      {(aspect, place): value}: facts that are given, such as those of another world
    facts      {(aspect, place): value}; those that are not known are drawn from the seed
    documents  {(aspect, place): text}
    """

    def __init__(self, seed: int = 0, known: dict[tuple[str, str], str] | Sequence = ()) -> None:
        rng, known = generator(seed, "world"), dict(known)
        self.facts, self.documents = {}, {}
        for aspect, (values, forms) in ASPECTS.items():
            for place in PLACES:
                # drawn in any case, so that a known fact changes no other
                value = pick(values, rng)
                value = known.get((aspect, place), value)
                self.facts[aspect, place] = value
                self.documents[aspect, place] = pick(forms, rng).format(place=place, value=value)

    def item(self, aspect: str, place: str) -> Item:
        """The question for a fact, with its answer and its document as context: Item."""
        key = aspect, place
        question = _QUESTION.format(aspect=aspect, place=place)
        text = self.documents[key]
        return Item(question, self.facts[key], context=text, rationale=text, task="retrieval_qa")

    def counterfactual(self, aspect: str, place: str, rng: np.random.Generator) -> tuple[str, str]:
        """(document, value) in which a fact has another value than in the world."""
        values, forms = ASPECTS[aspect]
        value = pick([other for other in values if other != self.facts[aspect, place]], rng)
        return pick(forms, rng).format(place=place, value=value), value

    def distractors(
        self, aspect: str, place: str, count: int, rng: np.random.Generator
    ) -> list[str]:
        """Documents that do not answer a question: about the same place or aspect, if there are."""
        near = [self.documents[key] for key in self.documents
                if key != (aspect, place) and (key[0] == aspect or key[1] == place)]  # fmt: skip
        return distinct(near, count, rng)


def facts_in(context: str) -> dict[tuple[str, str], str]:
    """{(aspect, place): value} of a context. DataError for a document of another form."""
    found = {}
    for document in filter(None, context.split(_SEPARATOR)):
        form, values = first_slots([form for _, form in _FORMS], document)
        found[_FORMS[form][0], values["place"]] = values["value"]
    return found


def retrieval_items(
    count: int,
    seed: int = 0,
    documents: int = 4,
    answerable: float = 0.75,
    counterfactual: float = 0.0,
) -> list[Item]:
    """Questions with documents as context, in random order: list of Item.

    documents       in a context, 1 or more
    answerable      share of the questions whose document is among them
    counterfactual  share of these documents in which the fact was altered; the answer is the
                    altered one, as the context has it
    """
    at_least("documents", documents, 1)
    if not 0 <= answerable <= 1 or not 0 <= counterfactual <= 1:
        raise ConfigError(
            f"retrieval_items: answerable {answerable} and counterfactual {counterfactual} must be "
            "shares from 0 to 1"
        )
    world, rng, items = DocumentWorld(seed), generator(seed, "retrieval"), []
    for _ in range(count):
        aspect, place = pick(list(world.facts), rng)
        answer, rationale, texts = NO_ANSWER, "No document states it.", []
        if rng.random() < answerable:
            answer, rationale = world.facts[aspect, place], world.documents[aspect, place]
            if rng.random() < counterfactual:
                rationale, answer = world.counterfactual(aspect, place, rng)
            texts.append(rationale)
        texts += world.distractors(aspect, place, documents - len(texts), rng)
        items.append(
            Item(
                _QUESTION.format(aspect=aspect, place=place),
                answer,
                context=_SEPARATOR.join(distinct(texts, documents, rng)),
                rationale=rationale,
                task="retrieval_qa",
            )
        )
    return items


def context_documents(item: Item) -> list[str]:
    """The documents of an item's context: list of str."""
    return item.context.split(_SEPARATOR)


def solve_retrieval(item: Item) -> str:
    """The answer from the context alone; NO_ANSWER if no document states it."""
    asked = needed_slots(_QUESTION, item.question)
    if asked["aspect"] not in ASPECTS:
        raise DataError(f"no aspect that is known: {asked['aspect']!r:.40}")
    return facts_in(item.context).get((asked["aspect"], asked["place"]), NO_ANSWER)
