"""Questions are answered from their documents, or not at all."""

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.retrieval_qa import (
    ASPECTS,
    NO_ANSWER,
    PLACES,
    DocumentWorld,
    context_documents,
    facts_in,
    retrieval_items,
    solve_retrieval,
)
from tinylm.errors import ConfigError, DataError


def test_a_world_has_a_document_for_every_fact():
    world = DocumentWorld(3)
    assert set(world.facts) == {(aspect, place) for aspect in ASPECTS for place in PLACES}
    assert all(facts_in(text) == {key: world.facts[key]} for key, text in world.documents.items())
    assert DocumentWorld(3).facts == world.facts != DocumentWorld().facts
    assert DocumentWorld().facts == DocumentWorld(0).facts


def test_known_facts_are_kept_and_change_no_other():
    known = {("river", "Abeton"): "Brenn", ("mayor", "Pelham"): "Otto Lind"}
    for seed in range(6):
        free, world = DocumentWorld(seed), DocumentWorld(seed, known)
        for key, value in world.facts.items():
            assert value == known.get(key, free.facts[key])
            assert facts_in(world.documents[key]) == {key: value}


def test_a_fact_as_an_item_has_its_document_and_its_answer():
    world = DocumentWorld(2)
    for key, text in world.documents.items():
        item = world.item(*key)
        assert item.question == f"What is the {key[0]} of {key[1]}?"
        assert item.answer == world.facts[key] == solve_retrieval(item)
        assert item.context == item.rationale == text and item.task == "retrieval_qa"


def test_an_altered_document_states_another_value():
    world, rng = DocumentWorld(), generator(0, "x")
    key = ("river", "Abeton")
    found = {world.counterfactual(*key, rng)[1] for _ in range(200)}
    assert found == set(ASPECTS["river"][0]) - {world.facts[key]}
    text, value = world.counterfactual(*key, rng)
    assert facts_in(text) == {key: value}


def test_distractors_are_near_and_state_something_else():
    world = DocumentWorld()
    texts = world.distractors("river", "Abeton", 18, generator(0, "x"))
    found = [key for text in texts for key in facts_in(text)]
    # 15 other places, 3 other aspects
    assert len(set(found)) == 18 and ("river", "Abeton") not in found
    assert all(aspect == "river" or place == "Abeton" for aspect, place in found)
    with pytest.raises(ConfigError, match="19 different ones of 18"):
        world.distractors("river", "Abeton", 19, generator(0, "x"))


def test_the_answer_stands_in_the_context_or_there_is_none():
    question = "What is the mayor of Abeton?"
    assert solve_retrieval(Item(question, context="Ada Berg was elected mayor of Abeton.")) == (
        "Ada Berg"
    )
    for context in ("", "Ada Berg was elected mayor of Dorham.", "Abeton is known for silk."):
        assert solve_retrieval(Item(question, context=context)) == NO_ANSWER == "No answer!"
    with pytest.raises(DataError, match="no aspect"):
        solve_retrieval(Item("What is the age of Abeton?"))
    with pytest.raises(DataError, match="of none of 8 forms"):
        solve_retrieval(Item(question, context="Abeton is old."))


def test_shares_and_number_of_documents_can_be_chosen():
    world = DocumentWorld(0)

    def key(item):
        aspect, _, place = item.question.removeprefix("What is the ").rstrip("?").partition(" of ")
        return aspect, place

    items = retrieval_items(400)
    assert {len(context_documents(item)) for item in items} == {4}
    refused = sum(item.answer == NO_ANSWER for item in items)
    assert abs(refused - 100) < 35  # a quarter; four standard deviations of 8.7
    assert all(item.answer in (NO_ANSWER, world.facts[key(item)]) for item in items)
    places = {context_documents(item).index(item.rationale) for item in items
              if item.answer != NO_ANSWER}  # fmt: skip
    assert places == {0, 1, 2, 3}  # the document may stand anywhere
    # Two documents of a context state the same fact in no case.
    assert all(len(facts_in(item.context)) == 4 for item in items)

    always = retrieval_items(60, documents=1, answerable=1.0, counterfactual=1.0)
    assert all(item.context == item.rationale for item in always)
    assert all(item.answer not in (NO_ANSWER, world.facts[key(item)]) for item in always)
    assert {item.answer for item in retrieval_items(20, answerable=0.0)} == {NO_ANSWER}
    some = retrieval_items(400, answerable=1.0, counterfactual=0.5)
    altered = sum(item.answer != world.facts[key(item)] for item in some)
    assert abs(altered - 200) < 40  # four standard deviations of 10


@pytest.mark.parametrize(
    "wrong", [{"documents": 0}, {"answerable": 1.1}, {"answerable": -0.1},
              {"counterfactual": 1.1}, {"counterfactual": -0.1}]
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        retrieval_items(1, **wrong)
