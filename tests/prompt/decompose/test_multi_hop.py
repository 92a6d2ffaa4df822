"""A question of several hops is answered hop by hop, each with a search of its own."""

import pytest

from tests.prompt.functions import FunctionLM
from tests.prompt.small import Chat
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.multi_hop import KnowledgeGraph, multi_hop_items, read_hops
from tinylm.errors import DataError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.multi_hop import known_hops, multi_hop, retrieved, sentences
from tinylm.prompt.decompose.successive import END

EINSTEIN = Item(
    "What is the capital of the country where Albert Einstein was born?",
    "Berlin",
    context="Albert Einstein was born in Germany. The capital of Germany is Berlin. The capital of "
    "France is Paris.",
)


def test_the_question_of_the_book_with_questions_of_the_model():
    lm = ScriptedLM(
        [
            (None, " Where was Albert Einstein born?"),
            (
                "Context: Albert Einstein was born in Germany.\n"
                "Q: Where was Albert Einstein born?\nA:",
                " Germany.",
            ),
            (None, " What is the capital of Germany?"),
            (
                "Context: The capital of Germany is Berlin.\n"
                "Q: What is the capital of Germany?\nA:",
                " Berlin.\nQ: more",
            ),
            (None, f" {END}"),
        ]
    )
    with lm.tracing() as trace:
        answer = multi_hop(lm, EINSTEIN, k=1)
    assert lm.finished and answer.value == "Berlin" and answer.text == " Berlin."
    assert answer.details["pairs"] == [
        ("Where was Albert Einstein born?", "Germany"),
        ("What is the capital of Germany?", "Berlin"),
    ]
    assert answer.details["retrieved"] == [
        ["Albert Einstein was born in Germany."],
        ["The capital of Germany is Berlin."],
    ]
    assert answer.details["plan"].complete
    assert "Context" not in lm.prompts[0]  # questions are asked without the facts
    assert trace.calls[1].parsed == [("hop", "Germany")]
    assert trace.calls[-1].parsed[-1] == ("answer", "Berlin")


def test_hops_of_a_generated_question_are_known():
    assert known_hops(EINSTEIN, []) == "What is the country where Albert Einstein was born?"
    pairs = [("p", "Germany")]
    assert known_hops(EINSTEIN, pairs) == "What is the capital of Germany?"
    assert known_hops(EINSTEIN, [*pairs, ("p", "Berlin")]) is None


def reading(prompt):
    """A perfect reader: the answer if it is in what was retrieved, else nothing."""
    context, _, question = prompt.removeprefix("Context: ").partition("\nQ: ")
    try:
        walk = KnowledgeGraph.read(context).walk(*read_hops(question.removesuffix("\nA:")))
    except DataError:
        return " unknown"
    return f" {walk[-1]}."


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_a_perfect_reader_is_right_for_any_number_of_hops(hops):
    for item in multi_hop_items(6, seed=hops, hops=hops, distractors=12):
        answer = multi_hop(FunctionLM(reading), item, generate=known_hops)
        assert answer.value == item.answer and len(answer.details["pairs"]) == hops


def test_one_search_with_the_whole_question_misses_hops():
    # As many sentences as all hops together get, from one search.
    hops, right = 3, 0
    items = multi_hop_items(20, seed=1, hops=hops, distractors=12)
    for item in items:
        index = InvertedIndex(sentences(item.context))
        context = " ".join(retrieved(index, item.question, 2 * hops))
        right += reading(f"Context: {context}\nQ: {item.question}\nA:") == f" {item.answer}."
    assert right < len(items) / 2


def test_without_a_hop_the_question_itself_is_answered():
    lm = ScriptedLM([(None, END), (None, " Paris")])
    answer = multi_hop(lm, EINSTEIN)
    assert answer.value == "Paris" and answer.details["pairs"] == []
    assert len(answer.details["retrieved"]) == 1
    assert lm.prompts[1].endswith(f"\nQ: {EINSTEIN.question}\nA:")


def test_a_hop_without_an_answer_is_reported():
    lm = ScriptedLM([(None, " Where?"), (None, " "), (None, END)])
    answer = multi_hop(lm, EINSTEIN)
    assert answer.value is None and answer.details["pairs"] == [("Where?", "")]


def test_another_index_and_demonstrations_may_be_given():
    index = InvertedIndex(["Bees fly.", "Ants walk."])
    prompt = "Q: 1+1?\nA: 2\n\nContext: Ants walk.\nQ: Do ants walk?\nA:"
    lm = ScriptedLM([(None, END), (prompt, " Yes, " + "w " * 50)])
    answer = multi_hop(lm, Item("Do ants walk?"), [Item("1+1?", "2")], index=index)
    assert answer.text.startswith(" Yes,") and len(answer.text.split()) == 32
    with pytest.raises(DataError, match="nothing to retrieve"):
        multi_hop(lm, Item("Do ants walk?"))
    hops = [[(None, f" p{i}?"), (None, " a")] for i in range(4)]
    lm = ScriptedLM([*sum(hops, []), (None, " p4?")])
    answer = multi_hop(lm, EINSTEIN, read=lambda text, item: text.upper())
    assert [a for _, a in answer.details["pairs"]] == ["A"] * 4
    assert not answer.details["plan"].complete
    assert all(len(texts) == 2 for texts in multi_hop(
        FunctionLM(reading), EINSTEIN, generate=known_hops
    ).details["retrieved"])  # fmt: skip


def test_the_last_hop_may_be_an_option():
    item = Item(EINSTEIN.question, options=("Paris", "Berlin"), context=EINSTEIN.context)
    answer = multi_hop(FunctionLM(reading), item, generate=known_hops)
    assert answer.value == "Berlin" and answer.details["pairs"][0][1] == "Germany"
    item = Item(EINSTEIN.question, options=("Paris", "Rome"), context=EINSTEIN.context)
    assert multi_hop(FunctionLM(reading), item, generate=known_hops).value is None


def test_sentences_end_with_their_marks():
    assert sentences(" One. Two 2.5!  Three?") == ["One.", "Two 2.5!", "Three?"]
    assert sentences("") == []


def test_the_answer_to_a_hop_may_have_paragraphs_in_a_chat_without_demonstrations():
    reply, demo = "Let me see.\n\nGermany\nQ: more", Item("1 + 1?", "2")

    def last_line(text, item):
        return text.splitlines()[-1]

    def hop(problem, pairs):
        if not pairs:
            return "Where was Albert Einstein born?"
        return None

    def value(kind, demonstrations=()):
        lm = kind([(None, reply)])
        return multi_hop(lm, EINSTEIN, demonstrations, generate=hop, read=last_line).value

    assert value(Chat) == "Germany"
    assert value(Chat, [demo]) == value(ScriptedLM) == "Let me see."
