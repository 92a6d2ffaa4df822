"""Retrieve, ask, answer: which prompt is sent, and when an answer is refused."""

import numpy as np
import pytest

from tests.prompt.rag.test_prompt import LOS_ANGELES, PARIS, QUESTION
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import ScriptedLM
from tinylm.prompt.rag import RagPrompt, answer_from, retrieval_answer
from tinylm.prompt.rag.chunks import Passage, passages
from tinylm.prompt.rag.retrievers import find_texts

ITEM = Item(QUESTION, "Los Angeles")
FORM = RagPrompt("Do.", False)
INDEX = InvertedIndex(["Birds fly.", PARIS, *LOS_ANGELES])


def test_the_book_example():  # V-71
    found = INDEX.search(QUESTION, 2)
    texts = [INDEX.documents[i] for i, _ in found]
    reply = "The 2028 Olympics will be held in Los Angeles [1].\nQuestion: And before?"
    lm = ScriptedLM([(RagPrompt().prompt(QUESTION, texts), reply)])
    with lm.tracing() as trace:
        answer = retrieval_answer(lm, ITEM, retriever=INDEX, k=2)
    assert answer.value == "The 2028 Olympics will be held in Los Angeles."
    assert answer.text == "The 2028 Olympics will be held in Los Angeles [1]."
    assert answer.details["retrieved"] == found and answer.details["texts"] == texts
    assert answer.details["refused"] is None and answer.details["logprob"] is None
    (citation,) = answer.details["citations"]
    assert citation.number == 1 and citation.known and 0 < citation.support <= 1
    assert trace.calls[-1].parsed == [("answer", answer.value)]


def test_the_model_refuses_in_its_words():  # V-72
    lm = ScriptedLM([(RagPrompt().prompt(QUESTION, [PARIS]), "No answer!")])
    answer = answer_from(lm, ITEM, [PARIS])
    assert (answer.value, answer.details["refused"]) == ("No answer!", "words")


def test_nothing_relevant_is_refused_without_a_call():
    lm = ScriptedLM([])
    best = INDEX.search(QUESTION, 1)[0][1]
    answer = retrieval_answer(lm, ITEM, retriever=INDEX, least_score=best * 1.01)
    assert (answer.value, answer.details["refused"]) == ("No answer!", "retrieval")
    assert answer.details["texts"] == [] and answer.details["retrieved"][0][1] == best
    nothing = retrieval_answer(lm, Item("zebra?"), retriever=INDEX, least_score=-1e9)
    assert nothing.details["refused"] == "retrieval" and nothing.details["retrieved"] == []
    lm = ScriptedLM([(None, "yes")])
    answer = retrieval_answer(lm, ITEM, retriever=INDEX, least_score=best)  # not less: answered
    assert answer.value == "yes"


def test_an_answer_of_little_probability_is_refused():
    lm = text_model(context=128)
    form = RagPrompt("A.", refuse=False)
    options = {"form": form, "budget": 90, "max_tokens": 4}
    answer = answer_from(lm, ITEM, ["t"], **options)
    mean = answer.details["logprob"]
    reply = lm.complete(form.prompt(QUESTION, ["t"]), max_tokens=4)
    np.testing.assert_allclose(mean, np.mean(reply.logprobs), rtol=1e-9)
    assert answer.details["refused"] is None and answer.value == (answer.text or None)
    kept = answer_from(lm, ITEM, ["t"], least_logprob=mean - 1e-6, **options)
    assert kept.value == answer.value
    refused = answer_from(lm, ITEM, ["t"], least_logprob=mean + 1e-6, **options)
    assert (refused.value, refused.details["refused"]) == ("No answer!", "likelihood")
    with pytest.raises(ConfigError, match="least_logprob"):
        answer_from(ScriptedLM([(None, "yes")]), ITEM, [], least_logprob=-1.0)


def test_an_empty_reply_is_no_answer_and_no_refusal():
    answer = answer_from(ScriptedLM([(None, " \n")]), ITEM, [])
    assert answer.value is None and answer.details["refused"] is None


def test_options_of_the_reply_are_handed_on():
    calls = []

    class Spy(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            calls.append((max_tokens, stop, seed, sampling))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Spy([(None, "a"), (None, "b")])
    retrieval_answer(lm, ITEM, retriever=INDEX, seed=3, max_tokens=9, temperature=0.5)
    retrieval_answer(lm, ITEM, retriever=INDEX)
    assert calls == [
        (9, ("\nQuestion:",), 3, {"temperature": 0.5}),
        (64, ("\nQuestion:",), 0, {"temperature": 0.0}),
    ]
    answer_from(Spy([(None, "a")]), ITEM, [])
    assert calls[-1] == calls[-2]  # the same defaults
    lm = Spy([(None, "a")])
    retrieval_answer(lm, ITEM, retriever=InvertedIndex(["held"] * 9))
    assert lm.prompts[0].count("\nRelevant Text") == 3  # by default


def test_texts_are_cut_to_what_the_context_leaves():
    lm = ScriptedLM([(None, "x")], context=136)  # words; 100 are for the reply, 36 for the prompt
    form = RagPrompt("Do.", False)
    answer = answer_from(lm, Item("q?"), ["w " * 50], form=form, max_tokens=100)
    assert (
        lm.count(lm.prompts[0]) == 36
        and answer.details["cut"] == 2 * (50 - 29)
        and not answer.details["dropped"]
    )
    assert answer.details["kept"] == (0,)
    for room in 0, -1:
        with pytest.raises(ConfigError, match=f"answer of {136 - room} .* context of 136: lower"):
            answer_from(lm, Item("q?"), [], max_tokens=136 - room)
    # An answer of 135 leaves room for a prompt, but not for this one.
    message = r"room for 1 \(the model reads 136 tokens, and 135 are for the answer\): shorten"
    with pytest.raises(DataError, match=message):
        answer_from(lm, Item("q?"), [], max_tokens=135)
    with pytest.raises(DataError, match="there is room for 3: shorten the question"):
        answer_from(lm, Item("q?"), [], form=form, budget=3)
    answer = answer_from(ScriptedLM([(None, "x")]), Item("q?"), ["a b", "c d"], form=form, budget=9)
    assert answer.details["dropped"] == (1,) and answer.details["texts"] == ["a b"]


def test_a_chat_template_takes_its_place_in_the_context():
    class Chat(ScriptedLM):
        def length(self, prompt, begin=""):
            return super().length(prompt, begin) + 30  # its marks and its system message

    lm = Chat([(None, "x")], context=136)
    answer_from(lm, Item("q?"), ["w " * 50], form=RagPrompt("Do.", False), max_tokens=100)
    assert lm.count(lm.prompts[0]) == 4  # the text is left out: 2 words are too few


def test_the_passages_of_an_answer_are_those_in_its_prompt():
    class Index:
        passages = [
            Passage("a", 0, 6, "one x "),
            Passage("b", 0, 30, "A" * 30),
            Passage("a", 3, 9, " x two"),
            Passage("c", 5, 65, "w " * 30),
        ]
        documents = [one.text for one in passages]

        def search(self, query, k):
            return [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]

    # The first and the third are neighbors, and one text; the second has no room, and too few words
    # to be cut; the last is cut to 9 words.
    form = RagPrompt("Do.", False)
    lm = ScriptedLM([(None, "x")])

    def count(prompt, begin=""):
        return len(prompt.split()) + 50 * prompt.count("A" * 30)

    lm.length = count
    answer = retrieval_answer(lm, Item("q?"), retriever=Index(), form=form, budget=4 + 6 + 3 + 9)
    assert answer.details["passages"] == [
        Passage("a", 0, 9, "one x two"),
        Passage("c", 5, 22, "w w w w w w w w w"),
    ]
    assert lm.prompts == [form.prompt("q?", answer.details["texts"])]
    assert (answer.details["kept"], answer.details["dropped"]) == ((0, 2), (1,))
    whole = retrieval_answer(ScriptedLM([(None, "x")]), Item("q?"), retriever=Index())
    assert [one.document for one in whole.details["passages"]] == ["a", "b", "c"]
    assert whole.details["passages"][2] == Index.passages[3]
    found = retrieval_answer(ScriptedLM([(None, "x")]), ITEM, retriever=INDEX, k=1)
    (number, _), text = found.details["retrieved"][0], found.details["texts"][0]
    assert found.details["passages"] == [Passage(number, 0, len(text), text)]


def test_a_check_reads_the_texts_in_the_prompt_before_the_model_does():
    checked = []

    def check(texts):
        checked.append(texts)
        return "too old"

    lm = ScriptedLM([])
    answer = answer_from(lm, Item("q?"), ["a b", "c d"], form=FORM, budget=9, check=check)
    assert (answer.value, answer.details["refused"]) == ("No answer!", "too old")
    assert answer.details["texts"] == [] and answer.details["kept"] == () and lm.prompts == []
    assert answer.details["dropped"] == (1,) and answer.details["citations"] == []
    answer = retrieval_answer(lm, ITEM, retriever=INDEX, k=1, check=check)
    assert answer.details["passages"] == [] and answer.details["retrieved"]
    assert checked == [["a b"], [INDEX.documents[INDEX.search(QUESTION, 1)[0][0]]]]
    lm = ScriptedLM([(None, "x")])
    assert answer_from(lm, Item("q?"), [], check=lambda texts: None).value == "x"


def test_demonstrations_come_before_the_question():
    demonstrations = [Item("a?", "b", context="c")]
    lm = ScriptedLM([(RagPrompt().prompt("q?", ["t"], demonstrations), "x")])
    assert answer_from(lm, Item("q?"), ["t"], demonstrations).value == "x"
    lm = ScriptedLM([(RagPrompt().prompt(QUESTION, [], demonstrations), "x")])
    answer = retrieval_answer(lm, ITEM, demonstrations, retriever=None, k=0)  # nothing is searched
    assert answer.value == "x" and answer.details["retrieved"] == []


def test_without_a_retriever_the_texts_are_those_of_the_context():
    item = Item("Where is Oslo?", context="Birds fly.\n\nOslo is in Norway.")
    lm = ScriptedLM([(RagPrompt().prompt(item.question, ["Oslo is in Norway."]), "Norway")])
    assert retrieval_answer(lm, item).value == "Norway"


def test_a_name_that_is_repeated_by_a_chat_model_is_not_part_of_the_answer():
    answer = answer_from(ScriptedLM([(None, "Answer: Rome [2].")]), ITEM, ["t"])
    # There is no text 2, so the number stays and is reported.
    assert answer.value == "Rome [2]." and not answer.details["citations"][0].known
    bare = RagPrompt(answer_name=None)
    assert answer_from(ScriptedLM([(None, " Rome ")]), ITEM, ["t"], form=bare).value == "Rome"


def test_neighbors_that_overlap_are_read_as_one_text():
    class Index:
        passages = passages("A b. C d. E f. G h.", 4, 2)
        documents = [one.text for one in passages]

        def search(self, query, k):
            return [(1, 0.5), (0, 0.25)][:k]

    found = find_texts(Index(), "q", 2)
    assert found.texts == ["A b. C d. E f. "] and found.ranking == [(1, 0.5), (0, 0.25)]
    assert found.best == 0.5
    assert found.passages == [Passage(0, 0, 15, "A b. C d. E f. ")]
    assert find_texts(Index(), "q", 1).texts == ["C d. E f. "]
    assert find_texts(None, "q", 0).best == -np.inf  # nothing is called


CHOICE = Item("Where?", "Paris", ("Los Angeles", "Paris", "No answer!"))


def test_of_options_the_most_probable_one_is_the_answer():
    scores = {" Los Angeles": -3.0, " Paris": -2.0, " No answer!": -4.0}
    lm = ScriptedLM([(FORM.prompt("Where?", [PARIS]), scores)])
    with lm.tracing() as trace:
        answer = answer_from(lm, CHOICE, [PARIS], form=FORM)
    assert (answer.value, answer.text) == ("Paris", "Paris") and lm.finished
    assert answer.details["logprob"] == -2.0 and answer.details["refused"] is None
    assert trace.calls[-1].parsed == [("answer", "Paris")]
    np.testing.assert_array_equal(answer.details["scores"].sums, list(scores.values()))


@pytest.mark.parametrize("name, prior", [("Answer", "Answer:"), (None, "")])
def test_options_are_compared_by_a_normalization(name, prior):
    lm = text_model(context=128)
    form = RagPrompt("A.", False, answer_name=name)
    index = InvertedIndex([PARIS[:9]])
    for normalization in ("sum", "character", "unconditional"):
        answer = retrieval_answer(
            lm, CHOICE, retriever=index, form=form, normalization=normalization, max_tokens=8
        )
        texts = [" Los Angeles", " Paris", " No answer!"]
        prompt = form.prompt("Where?", answer.details["texts"])
        expected = lm.score(prompt, texts, unconditional=prior)
        np.testing.assert_allclose(
            answer.details["scores"].by(normalization), expected.by(normalization), rtol=1e-9
        )
        assert answer.text == CHOICE.options[expected.best(normalization)]
    assert answer_from(lm, CHOICE, [], form=form).details["scores"].prior is None  # "sum"


def test_an_option_may_be_the_refusal_or_too_improbable():
    def scripted(paris):
        return ScriptedLM([(None, {" Los Angeles": -9.0, " Paris": paris, " No answer!": -3.0})])

    answer = answer_from(scripted(-5.0), CHOICE, [])
    assert (answer.value, answer.details["refused"]) == ("No answer!", "words")
    answer = answer_from(scripted(-2.0), CHOICE, [], least_logprob=-1.5)
    assert (answer.value, answer.details["refused"]) == ("No answer!", "likelihood")
    assert answer.text == "Paris"
    answer = answer_from(scripted(-2.0), CHOICE, [], least_logprob=-2.0)  # not less: answered
    assert (answer.value, answer.details["refused"]) == ("Paris", None)


def test_options_need_the_room_of_the_longest():
    # "Do." "Question:" "q?" are 3 words, "Relevant" "Text" "1:" "w" 4, and " a b c" 3 more.
    form = RagPrompt("Do.", False, answer_name=None)
    item = Item("q?", "d", ("a b c", "d"))
    for context, kept in (10, (0,)), (9, ()):
        lm = ScriptedLM([(None, {" a b c": -1.0, " d": -2.0})], context=context)
        assert answer_from(lm, item, ["w"], form=form).details["kept"] == kept
    with pytest.raises(ConfigError, match="answer of 3 tokens leaves no room .* context of 3"):
        answer_from(ScriptedLM([], context=3), item, [])
