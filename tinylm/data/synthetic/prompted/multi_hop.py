"""Multi-hop questions: an answer that several facts give together   (book section 3.2.2; Mavi et
al. 2024).

"What is the capital of the country where Albert Einstein was born?" needs the country first. The
facts are a graph (who, relation) -> whom, written as sentences; a question is a walk along it. All
names are invented, so that nothing can be known but from the text. Read next: retrieval_qa.py.
"""

import re

import numpy as np

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import distinct, generator, pick
from tinylm.data.synthetic.prompted.last_letters import NAMES
from tinylm.data.synthetic.templates import first_slots, needed_slots, slots
from tinylm.errors import ConfigError, DataError

COUNTRIES = """Aldora Brevia Corland Dunmark Estavia Fennia Gorland Halvia Istria Jorvia Kestan
Lumeria""".split()
CITIES = """Abeton Bramville Castelor Dorham Elmstad Farrow Grimsby Hollin Isenburg Jarlton Kelmis
Lorvik""".split()
RIVERS = "Arda Brenn Calder Dora Esk Fulda Gail Havel Inn Jeker Krems Lune".split()
# relation: (the fact as a sentence, the object in a question); in the order of a walk
RELATIONS = {
    "teacher": ("The teacher of {x} is {y}.", "the teacher of {x}"),
    "country": ("{x} was born in {y}.", "the country where {x} was born"),
    "capital": ("The capital of {x} is {y}.", "the capital of {x}"),
    "river": ("{x} lies on the river {y}.", "the river on which {x} lies"),
}
ORDER = tuple(RELATIONS)
_SENTENCES = [sentence for sentence, _ in RELATIONS.values()]
_QUESTION = "What is {object}?"


class KnowledgeGraph:
    """Facts {(subject, relation): object}, as a text and as a graph to walk along.

    facts  the dict; relations are those of RELATIONS
    """

    def __init__(self, facts: dict[tuple[str, str], str]) -> None:
        self.facts = dict(facts)

    @classmethod
    def random(cls, people: int, rng: np.random.Generator) -> "KnowledgeGraph":
        """A graph in which every person has a teacher and a country, every country a capital, and
        every capital a river; the names are invented."""
        names, facts = distinct(NAMES, people, rng), {}
        for i, name in enumerate(names):
            others = names[:i] + names[i + 1 :]
            facts[name, "teacher"] = pick(others, rng)
            facts[name, "country"] = pick(COUNTRIES, rng)
        for country, city in zip(COUNTRIES, distinct(CITIES, len(COUNTRIES), rng)):
            facts[country, "capital"] = city
        for city, river in zip(CITIES, distinct(RIVERS, len(CITIES), rng)):
            facts[city, "river"] = river
        return cls(facts)

    @classmethod
    def read(cls, text: str) -> "KnowledgeGraph":
        """The graph of a text of facts. DataError for a sentence of another form."""
        facts = {}
        for sentence in re.split(r"(?<=\.)\s+", text.strip()):
            form, found = first_slots(_SENTENCES, sentence)
            facts[found["x"], ORDER[form]] = found["y"]
        return cls(facts)

    def sentence(self, subject: str, relation: str) -> str:
        """A fact as a sentence."""
        return RELATIONS[relation][0].format(x=subject, y=self._object(subject, relation))

    def _object(self, subject, relation):
        if (subject, relation) not in self.facts:
            raise DataError(f"no fact names the {relation} of {subject}")
        return self.facts[subject, relation]

    def walk(self, start: str, relations: tuple[str, ...]) -> list[str]:
        """The nodes from `start` along the relations, one more than there are. DataError if a fact
        is missing."""
        nodes = [start]
        for relation in relations:
            nodes.append(self._object(nodes[-1], relation))
        return nodes

    def supporting(self, start: str, relations: tuple[str, ...]) -> list[str]:
        """The sentences that answer a question, one for each hop, in the order of the walk."""
        nodes = self.walk(start, relations)
        return [self.sentence(node, relation) for node, relation in zip(nodes, relations)]


def hop_question(start: str, relations: tuple[str, ...]) -> str:
    """The question for the last node of a walk: nested phrases, the last relation outermost."""
    phrase = start
    for relation in relations:
        phrase = RELATIONS[relation][1].format(x=phrase)
    return _QUESTION.format(object=phrase)


def read_hops(question: str) -> tuple[str, tuple[str, ...]]:
    """(start, relations) of a question, from its text."""
    phrase, relations = needed_slots(_QUESTION, question)["object"], []
    while True:
        inside = [(name, slots(form, phrase)) for name, (_, form) in RELATIONS.items()]
        inside = [(name, found) for name, found in inside if found]
        if not inside:
            break
        relations.insert(0, inside[0][0])
        phrase = inside[0][1]["x"]
    if not relations:
        raise DataError(f"no relation is in the question {question!r:.80}")
    return phrase, tuple(relations)


def multi_hop_items(
    count: int, seed: int = 0, hops: int = 2, people: int = 12, distractors: int = 4
) -> list[Item]:
    """Questions of 1 to 4 hops about one graph: list of Item.

    people       in the graph, 2 or more
    distractors  further facts in the context, beside one for each hop, in random order
    """
    if not 1 <= hops <= len(ORDER) or people < 2 or distractors < 0:
        raise ConfigError(
            f"multi_hop_items: {hops} hops, {people} people and {distractors} distractors: needs 1 "
            f"to {len(ORDER)} hops, 2 people or more, 0 distractors or more"
        )
    rng, items = generator(seed, "multi-hop"), []
    graph = KnowledgeGraph.random(people, rng)
    for _ in range(count):
        # A walk of so many hops begins at one of the first relations.
        first = int(rng.integers(0, len(ORDER) - hops + 1))
        relations = ORDER[first : first + hops]
        start = pick([who for who, relation in graph.facts if relation == relations[0]], rng)
        support = graph.supporting(start, relations)
        others = [graph.sentence(*fact) for fact in graph.facts]
        others = [sentence for sentence in others if sentence not in support]
        context = distinct(support + distinct(others, distractors, rng), hops + distractors, rng)
        items.append(
            Item(
                hop_question(start, relations),
                graph.walk(start, relations)[-1],
                context=" ".join(context),
                rationale=" ".join(support),
                task="multi_hop",
            )
        )
    return items


def solve_multi_hop(item: Item) -> str:
    """The answer: a walk along the facts of the context. DataError if one is missing."""
    return KnowledgeGraph.read(item.context).walk(*read_hops(item.question))[-1]
