"""Examples with distractors, examples to refuse, and the loss on answers alone."""

import pytest

from tests.prompt.small import END, text_model
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.retrieval_qa import DocumentWorld, facts_in, retrieval_items
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.rag.prompt import NO_ANSWER, RagPrompt
from tinylm.prompt.rag.training_data import encode_rag, rag_examples
from tinylm.tokenizers import ByteTokenizer

POOL = list(DocumentWorld(0).documents.values())
ITEMS = retrieval_items(20, seed=0, documents=1, answerable=1.0)  # the context is the right text


def texts_in(example):
    lines = example.instruction.split("\n")
    return [line.split(": ", 1)[1] for line in lines if line.startswith("Relevant Text")]


def test_the_right_text_stands_among_distractors_that_do_not_answer():
    examples = rag_examples(ITEMS, POOL, unanswerable=0.0)
    places = set()
    for item, example in zip(ITEMS, examples):
        texts = texts_in(example)
        assert example.output == item.answer and len(set(texts)) == 4
        assert example.instruction == RagPrompt().prompt(item.question, texts)
        places.add(texts.index(item.context))
        others = [
            value for text in texts for value in facts_in(text).values() if text != item.context
        ]
        assert item.answer not in others
    assert places == {0, 1, 2, 3}  # the right text may stand anywhere
    assert {example.task for example in examples} == {"rag"}


def test_in_a_share_of_the_examples_the_right_text_is_missing():
    for share, count in (0.25, 5), (0.5, 10), (1.0, 20), (0.0, 0), (0.12, 2):
        examples = rag_examples(ITEMS, POOL, unanswerable=share)
        refused = [example.output == NO_ANSWER for example in examples]
        assert sum(refused) == count
        for item, example, without in zip(ITEMS, examples, refused):
            assert (item.context not in texts_in(example)) == without
            assert len(texts_in(example)) == 4
    assert rag_examples(ITEMS, POOL) == rag_examples(
        ITEMS, POOL, unanswerable=0.25, texts=4, seed=0
    )


def test_examples_follow_from_the_seed():
    assert rag_examples(ITEMS, POOL, seed=1) == rag_examples(ITEMS, POOL, seed=1)
    assert rag_examples(ITEMS, POOL, seed=1) != rag_examples(ITEMS, POOL, seed=2)


def test_a_question_without_an_answer_stays_without():
    item = Item("What is the river of Rome?", NO_ANSWER, context="Rome is old.")
    (example,) = rag_examples([item], POOL, unanswerable=0.0, texts=2)
    assert example.output == NO_ANSWER and "Rome is old." not in texts_in(example)


def test_a_retriever_gives_the_hardest_distractors():
    index = InvertedIndex(POOL)
    (example,) = rag_examples(ITEMS[:1], POOL, retriever=index, unanswerable=0.0, texts=3)
    item = ITEMS[0]
    ranked = [POOL[i] for i, _ in index.search(item.question, 50)]
    hard = [t for t in ranked if t != item.context and item.answer not in facts_in(t).values()]
    assert sorted(texts_in(example)) == sorted([item.context, *hard[:2]])
    # Where it finds too few, the rest of the pool is taken in its order.
    few = InvertedIndex(["zebra", *POOL])
    (example,) = rag_examples([Item("zebra?", "x", context="x y")], POOL, retriever=few, texts=3)
    assert sorted(texts_in(example)) in (
        sorted(["x y", "zebra", POOL[0]]),
        sorted(["zebra", *POOL[:2]]),
    )


def test_another_form_and_another_place_of_the_right_text():
    item = Item("q?", "b", rationale="a b")
    form = RagPrompt("Do.", refuse=False)
    (example,) = rag_examples(
        [item], [], texts=1, unanswerable=0, gold=lambda i: i.rationale, form=form
    )
    assert example.instruction == form.prompt("q?", ["a b"])


def test_what_cannot_be_is_refused():
    for options in {"texts": 0}, {"unanswerable": 1.1}, {"unanswerable": -0.1}:
        with pytest.raises(ConfigError, match="rag_examples"):
            rag_examples(ITEMS, POOL, **options)
    item = Item("q?", "b", context="a b")
    pool = ["a b", "b c", "d", "d"]  # the right text, the answer, and one text twice
    (example,) = rag_examples([item], pool, texts=2, unanswerable=0)
    assert sorted(texts_in(example)) == ["a b", "d"]
    with pytest.raises(DataError, match="1 texts without the answer to 'q\\?', and 2 are needed"):
        rag_examples([item], pool, texts=3, unanswerable=0)


def test_the_loss_is_on_the_answer_and_the_end_alone():
    (example,) = rag_examples(ITEMS[:1], POOL, texts=1, unanswerable=0)
    tokenizer = ByteTokenizer(["<|endoftext|>"])
    (encoded,) = encode_rag(tokenizer, [example], begin=(END,), end=END)
    learnt = encoded.ids[encoded.answer].tolist()
    assert learnt == [*f" {example.output}".encode(), END]
    # The tokens before are those that the model reads at inference.
    lm = text_model(context=600)
    assert encoded.ids[~encoded.answer].tolist() == lm._ids(example.instruction, "")[0]
    assert encode_rag(tokenizer, [example])[0].ids.tolist() == encoded.ids[1:-1].tolist()
    batch = InstructionTuning().make_batch([encoded])
    assert (batch.targets >= 0).sum() == len(learnt)


def test_answers_may_cite_the_text_that_holds_them():
    form = RagPrompt("Read.", refuse=False, cite=True)
    names = "Ann", "Ben", "Cid", "Dan"
    items = [Item(f"Who is {n}?", f"{n} Vos", context=f"It is {n} Vos.") for n in names]
    pool = [item.context for item in items]
    found = rag_examples(items, pool, texts=3, unanswerable=0.25, form=form)
    outputs = [example.output for example in found]
    assert outputs.count(NO_ANSWER) == 1  # without a number
    places = set()
    for item, example in zip(items, found):
        if example.output != NO_ANSWER:
            value, _, number = example.output.removesuffix("]").partition(" [")
            assert value == item.answer
            assert f"Relevant Text {number}: {item.context}\n" in example.instruction + "\n"
            places.add(number)
    assert places <= {"1", "2", "3"} and len(places) > 1
