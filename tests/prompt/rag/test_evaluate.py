"""Shares and curves on answers whose outcome is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.retrieval_qa import (
    DocumentWorld,
    context_documents,
    facts_in,
    retrieval_items,
    solve_retrieval,
)
from tinylm.errors import DataError, ShapeError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.evaluation.judge import contains_answer
from tinylm.prompt.rag.answer import answer_from
from tinylm.prompt.rag.evaluate import (
    CLOSED_BOOK,
    above,
    best_threshold,
    closed_book,
    context_reliance,
    counterfactual,
    coverage_curve,
    coverage_threshold,
    four_ways,
    order_sensitivity,
    refusals,
    right_or_refused,
    three_contexts,
)
from tinylm.prompt.rag.prompt import NO_ANSWER


@pytest.mark.parametrize(
    "text, gold, found",
    [
        ("The Games are in Los Angeles.", "los angeles", True),
        ("Angeles Los", "Los Angeles", False),
        ("Los, Angeles", "the Los Angeles", True),
        ("Lost Angeles", "Los Angeles", False),
        ("Angeles", "Los Angeles", False),
        ("", "Los Angeles", False),
        (None, "x", False),
        ("the", "the", True),  # without a word of an answer: compared as it stands
        ("a", "the", False),
        ("Los Angeles", "Los Angeles", True),
    ],
)
def test_a_gold_answer_stands_in_a_text_word_by_word(text, gold, found):
    assert contains_answer(text, gold) is found


def test_refusing_is_right_where_there_is_no_answer():
    known, unknown = Item("a?", "Rome"), Item("b?", NO_ANSWER)
    assert right_or_refused(Answer("In Rome."), known) and right_or_refused(
        Answer(NO_ANSWER), unknown
    )
    for answer, item in [(NO_ANSWER, known), ("Rome", unknown), (None, known), (None, unknown)]:
        assert not right_or_refused(Answer(answer), item)
    with pytest.raises(DataError, match="'c' has no gold answer"):
        right_or_refused(Answer("x"), Item("c"))


def test_a_closed_book_has_the_question_alone():
    prompt = "Your task is to answer the following question.\nQuestion: q?\nAnswer:"
    assert closed_book(ScriptedLM([(prompt, "x")]), Item("q?")).value == "x"
    demonstrations = [Item("a?", "b", context="c")]
    lm = ScriptedLM(
        [(prompt.replace("Question: q?", "Question: a?\nAnswer: b\n\nQuestion: q?"), "x")]
    )
    assert closed_book(lm, Item("q?"), demonstrations).value == "x"


class Reader(ScriptedLM):
    """A reader without any memory: solves a question from the texts of its prompt."""

    def __init__(self):
        super().__init__([])

    def _next(self, prompt, begin):
        lines = [line.partition(": ") for line in prompt.split("\n")]
        question = [content for name, _, content in lines if name == "Question"][-1]
        texts = [content for name, _, content in lines if name.startswith("Relevant Text")]
        return solve_retrieval(Item(question, context="\n\n".join(texts)))


WORLD = DocumentWorld(0)
DOCUMENTS = list(WORLD.documents.values())
ITEMS = retrieval_items(12, seed=0, documents=2, answerable=1.0)


def oracle(item):
    return [item.rationale]


def test_a_reader_without_memory_answers_what_it_is_given():
    index = InvertedIndex(DOCUMENTS)
    shares = three_contexts(Reader(), ITEMS, index, k=4, oracle=oracle)
    assert shares["closed book"] == 0 and shares["oracle"] == 1
    # It answers if and only if the document of the question was found.
    assert shares["retrieved"] == shares["recall"]
    expected = sum(
        item.rationale in [DOCUMENTS[i] for i, _ in index.search(item.question, 4)]
        for item in ITEMS
    )
    assert shares["recall"] == expected / 12 and 0 < expected
    one = three_contexts(Reader(), ITEMS, index, k=1, oracle=oracle)["recall"]
    assert one <= shares["recall"]
    # By default the oracle's texts are the item's context, and k is 3.
    assert three_contexts(Reader(), ITEMS, index)["oracle"] == 1
    three = three_contexts(Reader(), ITEMS, index, k=3)
    assert three_contexts(Reader(), ITEMS, index) == three


def test_recall_counts_items_that_have_an_oracle_text():
    index = InvertedIndex(["Rome is old"])
    items = [Item("Rome?", "old", context="Rome is old"), Item("Rome now?", NO_ANSWER)]
    lm = ScriptedLM([(None, NO_ANSWER)] * 6)
    shares = three_contexts(lm, items, index)
    assert shares == {"closed book": 0.5, "oracle": 0.5, "retrieved": 0.5, "recall": 1.0}
    lm = ScriptedLM([(None, NO_ANSWER)] * 3)
    assert math.isnan(three_contexts(lm, items[1:], index)["recall"])
    with pytest.raises(DataError, match="no item"):
        three_contexts(lm, [], index)


def test_the_table_of_four_ways():
    index = InvertedIndex(["Rome is old"])
    items = [Item("Rome?", "old", context="Rome is old")]
    # in the order closed book, oracle, retrieved
    base = ScriptedLM([(None, "young"), (None, "old"), (None, "old")])
    tuned = ScriptedLM([(None, "old"), (None, "old"), (None, "young")])
    assert four_ways(base, tuned, items, index) == {
        "closed book": 0,
        "RAG": 1,
        "fine-tuned": 1,
        "RAG + fine-tuned": 0,
    }
    assert "Relevant Text" not in base.prompts[0] and "Relevant Text 1" in base.prompts[2]


def test_three_texts_are_retrieved_by_default():
    index, items = InvertedIndex(["Rome"] * 9), [Item("Rome?", "old", context="Rome is old")]
    lm = ScriptedLM([(None, "old")] * 6)
    three_contexts(lm, items, index)
    four_ways(lm, ScriptedLM([(None, "old")] * 3), items, index)
    assert [prompt.count("\nRelevant Text") for prompt in lm.prompts] == [0, 1, 3] * 2


def test_precision_and_recall_of_refusals():
    gold = ["x", "x", "x", NO_ANSWER, NO_ANSWER]
    values = ["x", "y", NO_ANSWER, NO_ANSWER, "x"]
    items = [Item("q", answer) for answer in gold]
    found = refusals([Answer(value) for value in values], items)
    # two refusals, one of them right; two unanswerable, one refused; three answers; one of three
    assert found == {"precision": 0.5, "recall": 0.5, "coverage": 0.6, "accuracy": 1 / 3}
    found = refusals([Answer("x")], [Item("q", "x")])
    assert math.isnan(found["precision"]) and math.isnan(found["recall"])
    assert (found["coverage"], found["accuracy"]) == (1.0, 1.0)
    with pytest.raises(ValueError):
        refusals([Answer("x")], items)


def test_the_curve_of_accuracy_over_coverage():
    scores, right = [0.9, 0.1, 0.5, 0.5], [True, False, False, True]
    thresholds, coverage, accuracy = coverage_curve(scores, right)
    # 0.5 twice: both are answered or none is
    assert thresholds.tolist() == [0.9, 0.5, 0.1]
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    np.testing.assert_allclose(accuracy, [1, 2 / 3, 0.5])
    assert best_threshold(scores, right, 0.6) == (0.5, 0.75, pytest.approx(2 / 3))
    assert best_threshold(scores, right, 1.0) == (0.9, 0.25, 1.0)
    assert best_threshold(scores, right, 0.5) == (0.1, 1.0, 0.5)
    assert best_threshold(scores, [False] * 4, 0.1) is None
    for bad in ([], []), ([1.0], [True, False]), ([[1.0]], [[True]]):
        with pytest.raises(ShapeError, match="coverage_curve"):
            coverage_curve(*bad)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12))
def test_every_point_of_the_curve_is_what_its_threshold_gives(pairs):
    scores, right = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    for threshold, coverage, accuracy in zip(*coverage_curve(scores, right)):
        answered = scores >= threshold
        assert coverage == answered.mean() and accuracy == pytest.approx(right[answered].mean())


def test_a_threshold_for_a_coverage():
    scores = [0.9, 0.1, 0.5, 0.5]
    # shares that can be answered: 0, 1/4, 3/4 and 1
    assert coverage_threshold(scores, 0.0) == math.inf
    assert coverage_threshold(scores, 0.12) == math.inf
    assert coverage_threshold(scores, 0.25) == 0.9
    assert coverage_threshold(scores, 0.5) == 0.5  # 1/4 and 3/4 are as near: the larger
    assert coverage_threshold(scores, 0.125) == 0.9
    assert coverage_threshold(scores, 0.9) == coverage_threshold(scores, 1.0) == 0.1
    for wrong in (-0.1, 1.1):
        with pytest.raises(DataError, match=f"coverage {wrong}"):
            coverage_threshold(scores, wrong)


def test_what_a_given_threshold_answers():
    scores, right = [0.9, 0.1, 0.5, 0.5], [True, True, False, True]
    assert above(scores, right, 0.5) == (0.75, pytest.approx(2 / 3))
    assert above(scores, right, 0.51) == (0.25, 1.0)
    assert above(scores, right, -1.0) == (1.0, 0.75)
    coverage, accuracy = above(scores, right, 1.0)
    assert coverage == 0 and math.isnan(accuracy)


def test_an_altered_fact():
    assert counterfactual("Oslo is in Norway.", "Norway", "Peru") == "Oslo is in Peru."
    for answer, other in ("Chile", "Peru"), ("Norway", "Oslo"):
        with pytest.raises(DataError, match="must be in the text"):
            counterfactual("Oslo is in Norway.", answer, other)


def test_what_an_answer_follows():
    values = ["in Peru", "Norway", NO_ANSWER, "Chile", None, "Peru, not Norway", "Peru"]
    shares = context_reliance([Answer(v) for v in values], ["Peru"] * 7, ["Norway"] * 7)
    assert shares == {"context": 2 / 7, "memory": 1 / 7, "refused": 1 / 7, "neither": 3 / 7}
    assert sum(shares.values()) == 1
    with pytest.raises(ValueError):
        context_reliance([Answer("Peru")], ["Peru"], ["Norway", "Chile"])


def test_a_reader_follows_altered_texts_and_a_memory_does_not():
    items = retrieval_items(10, seed=3, documents=2, answerable=1.0, counterfactual=1.0)
    facts = DocumentWorld(3).facts
    memories = [facts[key] for item in items for key in facts_in(item.rationale)]
    contexts = [item.answer for item in items]
    read = [answer_from(Reader(), item, context_documents(item)) for item in items]
    assert context_reliance(read, contexts, memories)["context"] == 1
    remembered = [Answer(value) for value in memories]
    assert context_reliance(remembered, contexts, memories)["memory"] == 1
    closed = [closed_book(Reader(), item) for item in items]
    assert context_reliance(closed, contexts, memories)["refused"] == 1


def test_an_answer_that_depends_on_the_order_of_its_texts():
    class First(ScriptedLM):
        def _next(self, prompt, begin):
            self.prompts.append(prompt)
            return prompt.split("Relevant Text 1: ")[1].split("\n")[0]

    lm = First([])
    shares = order_sensitivity(lm, Item("q"), ["a", "b", "c"], shuffles=30)
    assert len(lm.prompts) == 31  # the given order, and 30 others
    different = sum("Relevant Text 1: a" not in prompt for prompt in lm.prompts[1:])
    assert shares == different / 30 and 0.4 < shares < 0.9  # 2 of 3 on average
    assert order_sensitivity(Reader(), ITEMS[0], context_documents(ITEMS[0])) == 0
    again, other = First([]), First([])
    order_sensitivity(again, Item("q"), ["a", "b", "c"])
    assert again.prompts == lm.prompts[:5]  # four orders by default, from the same seed
    order_sensitivity(other, Item("q"), ["a", "b", "c"], shuffles=30, seed=1)
    assert other.prompts != lm.prompts
    assert order_sensitivity(First([]), Item("q"), ["a"], shuffles=1) == 0  # one order is enough
    with pytest.raises(DataError, match="0 orders"):
        order_sensitivity(lm, Item("q"), ["a"], shuffles=0)


def test_the_form_of_a_closed_book_does_not_mention_texts():
    assert "text" not in CLOSED_BOOK.prompt("q?").lower()
