"""RAG searches once and before the first token; a model with tools where its calls stand."""

from tests.prompt.rag.test_prompt import LOS_ANGELES, PARIS, QUESTION
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tools.answer import ToolPrompt
from tinylm.prompt.tools.retrieval_in_inference import (
    Retrieval,
    Watched,
    retrieval_before,
    retrieval_during,
)

ITEM = Item(QUESTION, "Los Angeles")
INDEX = InvertedIndex([PARIS, *LOS_ANGELES])
CALL = '{tool: web-search, query: "2028 Olympics"}'


def test_before_prediction_there_is_one_search_and_no_token():
    lm = ScriptedLM([(None, "In Los Angeles.")])
    answer = retrieval_before(lm, ITEM, retriever=INDEX, k=2)
    assert answer.value == "In Los Angeles."
    assert answer.details["retrievals"] == [Retrieval(QUESTION, INDEX.search(QUESTION, 2), 0)]
    lm = ScriptedLM([(None, "a")] * 2)
    assert len(retrieval_before(lm, ITEM, retriever=INDEX).details["retrievals"]) == 1
    demonstrations = [Item("a?", "b")]
    assert retrieval_before(lm, ITEM, demonstrations, retriever=INDEX).value == "a"
    assert "Question: a?\nAnswer: b" in lm.prompts[-1]


def test_during_inference_searches_are_where_the_calls_stand():
    lm = ScriptedLM(
        [
            (None, f"Let me see: {CALL}"),
            (None, f" and {CALL}"),
            (None, "\nSo the answer is: Los Angeles"),
        ]
    )
    lm.account.add(generated_tokens=100)  # of other questions: not counted
    answer = retrieval_during(lm, ITEM, retriever=INDEX)
    assert answer.value == "Los Angeles"
    found = INDEX.search("2028 Olympics", 1)
    # three words and the five of a call; then " and" and five more
    assert answer.details["retrievals"] == [
        Retrieval("2028 Olympics", found, 8),
        Retrieval("2028 Olympics", found, 14),
    ]
    text = INDEX.documents[found[0][0]]
    assert lm.prompts[-1].endswith(f"Let me see: {text} and {text}")
    lm = ScriptedLM([(None, CALL), (None, "")])
    demonstrations = [Item("a?", "b", rationale="c")]
    answer = retrieval_during(lm, ITEM, demonstrations, retriever=INDEX, k=2)
    assert len(answer.details["retrievals"][0].found) == 2
    assert "Question: a?\nAnswer: c So" in lm.prompts[0] and "web-search(query)" in lm.prompts[0]
    lm = ScriptedLM([(None, "So the answer is: Rome")])  # no need to search
    assert retrieval_during(lm, ITEM, retriever=INDEX).details["retrievals"] == []


def test_the_same_context_has_the_same_continuation_whoever_made_it():
    # The text of a search, put before the first token, or written by a tool in the reply.
    lm = text_model(context=220)
    before = lm.complete("Q: x\nText: birds fly\nA:", max_tokens=20)
    during = lm.complete("Q: x\n", begin="Text: birds fly\nA:", max_tokens=20)
    assert before.text == during.text and before.tokens == during.tokens


def test_a_watched_retriever_finds_the_same():
    lm = ScriptedLM([(None, "a b")])
    watched = Watched(lm, INDEX)
    assert watched.documents == INDEX.documents
    lm.complete("P")
    assert watched.search("2028", 2) == INDEX.search("2028", 2)
    assert watched.retrievals[0].generated == 2


def test_options_reach_the_methods():
    form = ToolPrompt("Do.", explain=False)
    lm = ScriptedLM([(form.prompt(ITEM, None), "")])
    assert retrieval_during(lm, ITEM, retriever=INDEX, form=form).value is None
