"""A multi-hop question is a walk along facts."""

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.multi_hop import (
    ORDER,
    KnowledgeGraph,
    hop_question,
    multi_hop_items,
    read_hops,
    solve_multi_hop,
)
from tinylm.errors import ConfigError, DataError

EINSTEIN = KnowledgeGraph(
    {("Albert Einstein", "country"): "Germany", ("Germany", "capital"): "Berlin"}
)


def test_the_example_of_the_book():
    question = hop_question("Albert Einstein", ("country", "capital"))
    assert question == "What is the capital of the country where Albert Einstein was born?"
    assert read_hops(question) == ("Albert Einstein", ("country", "capital"))
    assert EINSTEIN.walk("Albert Einstein", ("country", "capital")) == [
        "Albert Einstein",
        "Germany",
        "Berlin",
    ]
    support = EINSTEIN.supporting("Albert Einstein", ("country", "capital"))
    assert support == ["Albert Einstein was born in Germany.", "The capital of Germany is Berlin."]
    assert solve_multi_hop(Item(question, context=" ".join(reversed(support)))) == "Berlin"


def test_a_missing_fact_ends_the_walk():
    with pytest.raises(DataError, match="no fact names the river of Berlin"):
        EINSTEIN.walk("Berlin", ("river",))
    question = hop_question("Albert Einstein", ("country", "capital"))
    with pytest.raises(DataError, match="no fact names the capital of Germany"):
        solve_multi_hop(Item(question, context="Albert Einstein was born in Germany."))
    with pytest.raises(DataError, match="no relation"):
        read_hops("What is Berlin?")


def test_nobody_is_their_own_teacher():
    for seed in range(20):
        facts = KnowledgeGraph.random(2, generator(seed, "x")).facts
        teachers = {who: whom for (who, relation), whom in facts.items() if relation == "teacher"}
        assert len(teachers) == 2 and all(who != whom for who, whom in teachers.items())


def test_a_graph_is_its_text():
    graph = KnowledgeGraph.random(5, generator(0, "x"))
    text = "\n".join(graph.sentence(*fact) for fact in graph.facts)
    assert KnowledgeGraph.read(text).facts == graph.facts
    with pytest.raises(DataError, match="of none of 4 forms"):
        KnowledgeGraph.read("Berlin is large.")


def test_everyone_has_a_teacher_and_a_way_to_a_river():
    graph = KnowledgeGraph.random(6, generator(1, "x"))
    people = [who for who, relation in graph.facts if relation == "teacher"]
    assert len(people) == 6 and len(graph.facts) == 2 * 6 + 12 + 12
    for person in people:
        nodes = graph.walk(person, ORDER)
        assert len(set(nodes)) == 5 and nodes[1] in people
    # Capitals and rivers are each of one country and one city.
    for relation in ("capital", "river"):
        values = [value for (_, kind), value in graph.facts.items() if kind == relation]
        assert len(set(values)) == len(values) == 12


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_difficulty_is_the_number_of_hops(hops):
    runs = set()
    for item in multi_hop_items(60, hops=hops, people=3, distractors=2):
        start, relations = read_hops(item.question)
        runs.add(relations)
        assert len(relations) == hops and hop_question(start, relations) == item.question
        facts, support = KnowledgeGraph.read(item.context).facts, item.rationale.split(". ")
        assert len(facts) == hops + 2 and len(support) == hops
        assert all(sentence.rstrip(".") in item.context for sentence in support)
        # Without any one of its facts the question has no answer.
        for sentence in support:
            left = [s for s in item.context.split(". ") if s.rstrip(".") != sentence.rstrip(".")]
            with pytest.raises(DataError, match="no fact names"):
                solve_multi_hop(Item(item.question, context=". ".join(left).rstrip(".") + "."))
    # All runs of neighboring relations are used: 4 of one hop, 1 of four.
    assert runs == {ORDER[i : i + hops] for i in range(5 - hops)}


def test_defaults_and_limits():
    items = multi_hop_items(100)
    assert {len(read_hops(item.question)[1]) for item in items} == {2}
    assert {len(KnowledgeGraph.read(item.context).facts) for item in items} == {6}
    # The order is random: the first fact of the walk does not always stand first.
    firsts = {item.context.startswith(item.rationale.split(".")[0]) for item in items}
    assert firsts == {True, False}
    assert len({read_hops(item.question)[0] for item in multi_hop_items(400, hops=4)}) == 12
    assert len(KnowledgeGraph.read(multi_hop_items(1, distractors=0)[0].context).facts) == 2
    for wrong in ({"hops": 0}, {"hops": 5}, {"people": 1}, {"distractors": -1}):
        with pytest.raises(ConfigError, match="multi_hop_items"):
            multi_hop_items(1, **wrong)
    assert multi_hop_items(1, people=2, hops=4)[0].answer
