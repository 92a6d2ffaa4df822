"""A retriever learns which demonstrations a model finds helpful."""

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.learned_retriever import (
    Contrast,
    LearnedRetriever,
    RetrievalTask,
    TwoEncoders,
    contrasts,
    learn_retriever,
    likelihoods,
    shown_text,
)
from tinylm.prompt.in_context.selection import BagOfWords, NearestByWords, text_of

OPERATIONS = "add", "double", "negate"
TOPICS = "apples", "boats", "coins", "doors", "eggs", "flags"
POOL = [Item(f"{op} {topic} {topic}", op.upper()) for op in OPERATIONS for topic in TOPICS]


class HelpedBySameOperation(ScriptedLM):
    """A model whose right answer is likely after a demonstration with the question's first word."""

    def __init__(self):
        super().__init__({})

    def _next(self, prompt, begin):
        shown, asked = (block.split()[1] for block in prompt.split("\n\n"))
        return {f" {asked.upper()}": -0.1 if shown == asked else -5.0}


def test_likelihoods_are_those_of_the_answer_after_one_demonstration():
    lm = text_model(context=96)
    item, demos = Item("add 2", "4"), [Item("add 1", "3"), Item("double 1", "2")]
    prompt = FewShotPrompt("Compute.")
    found = likelihoods(lm, item, demos, prompt)
    for value, demo in zip(found, demos):
        text = f"Compute.\n\n{prompt.demonstration(demo)}\n\nQ: add 2\nA:"
        assert np.isclose(value, lm.score(text, [" 4"]).sums[0], atol=1e-12)
    assert likelihoods(lm, item, demos)[0] != found[0]


def test_positives_are_the_most_helpful_candidates_and_negatives_the_least():
    found = contrasts(HelpedBySameOperation(), POOL, NearestByWords(POOL), candidates=17, kept=5)
    assert [one.question for one in found] == list(range(18))
    for one in found:
        op = POOL[one.question].answer
        assert len(one.positives) == len(one.negatives) == 5
        assert all(POOL[i].answer == op for i in one.positives)
        assert not any(POOL[i].answer == op for i in one.negatives)
        assert one.question not in one.positives + one.negatives
    few = contrasts(HelpedBySameOperation(), POOL, NearestByWords(POOL), candidates=3)
    assert all(len(one.positives) == len(one.negatives) == 1 for one in few)  # none is both


def test_a_pool_without_contrast_is_refused_and_a_question_without_skipped():
    with pytest.raises(DataError, match="of 2, 0 have none"):
        contrasts(HelpedBySameOperation(), POOL[:2], NearestByWords(POOL[:2]))
    pool = [*POOL[:2], Item("x")]
    with pytest.raises(DataError, match="of 3, 1 have none"):
        contrasts(HelpedBySameOperation(), pool, NearestByWords(pool))
    # Two of three ask the same, so each of them has one candidate only.
    same = [Item("add x", "ADD"), Item("add x", "DOUBLE"), Item("double y", "DOUBLE")]
    found = contrasts(HelpedBySameOperation(), same, NearestByWords(same))
    assert [one.question for one in found] == [2]


def test_a_positive_of_a_question_is_never_its_negative():
    features = np.eye(4, dtype=np.float32)
    model = TwoEncoders(4, 3)
    task = RetrievalTask(features, features)
    # Both questions have demonstration 2 as positive, and 3 as negative.
    batch = task.make_batch([Contrast(0, (2,), (3,)), Contrast(1, (2,), (3,))], Random(0))
    loss, counts = task.loss(model, batch)
    q = features[:2] @ model.question.weight.data
    c = features @ model.demonstration.weight.data
    scores = q @ c[[2, 3, 3]].T  # the positive, and the negatives of both
    by_hand = np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[:, 0])
    assert np.isclose(loss.data, by_hand, rtol=1e-5)
    assert counts == {"tokens": 2, "loss": float(loss.data)} and batch.tokens == 2


def test_a_part_of_a_batch_keeps_the_candidates_of_its_questions():
    features = np.eye(6, dtype=np.float32)
    model, task = TwoEncoders(6, 3), RetrievalTask(features, features)
    examples = [Contrast(0, (2,), (3,)), Contrast(1, (4,), (5,))]
    batch = task.make_batch(examples, Random(0))
    for i, example in enumerate(examples):
        part = batch.rows(i, i + 1)
        alone = task.make_batch([example], Random(0))
        assert part.numbers.tolist() == alone.numbers.tolist()
        assert np.array_equal(part.candidates, alone.candidates)
        assert task.loss(model, part)[0].item() == task.loss(model, alone)[0].item() > 0


def test_a_batch_draws_among_positives_and_negatives():
    features = np.eye(6, dtype=np.float32)
    task = RetrievalTask(features, features)
    rng = Random(3)
    numbers = [task.make_batch([Contrast(0, (1, 2), (3, 4, 5))], rng).numbers for _ in range(60)]
    # six pairs, each missed by 60 draws with probability (5/6)^60 = 2e-5
    assert {tuple(pair[0]) for pair in numbers} == {(p, n) for p in (1, 2) for n in (3, 4, 5)}


def test_the_learnt_retriever_finds_helpful_demonstrations_for_new_questions():
    train = [item for item in POOL if "flags" not in item.question]
    new = [item for item in POOL if "flags" in item.question]
    texts = [shown_text(item) for item in train]
    lm, features = HelpedBySameOperation(), BagOfWords(texts)
    learnt = learn_retriever(lm, train, features, kept=3, batch_size=8)
    for item in new:
        assert all(demo.answer == item.answer for demo in learnt(item, 4))
    # A question about known things: words in common lead to the same topic, not the same operation.
    item = Item("double boats boats boats", "DOUBLE")
    shares = [
        np.mean([demo.answer == "DOUBLE" for demo in select(item, 3)])
        for select in (learnt, NearestByWords(train))
    ]
    assert shares[0] == 1 > shares[1]
    with pytest.raises(ConfigError, match="kept 0 must be 1"):
        learn_retriever(lm, train, features, kept=0)


def test_a_retriever_ranks_by_inner_products():
    model = TwoEncoders(3, 3)
    features = BagOfWords(["red", "green", "blue"])
    for encoder in (model.question, model.demonstration):
        encoder.weight.data[...] = np.eye(3)
    pool = [Item("red", "x"), Item("green green", "y"), Item("green", "z"), Item("red", "w")]
    learnt = LearnedRetriever(pool, features, model)
    assert learnt.ranked(Item("green red red red")).tolist() == [0, 3, 1, 2]
    assert learnt(Item("green"), 2) == [pool[0], pool[1]]
    assert shown_text(pool[0]) == "red\nx" and text_of(pool[0]) == "red"


def test_encoders_keep_the_size_of_their_input():
    model = TwoEncoders(400, 300, seed=1)
    x = np.random.default_rng(0).normal(size=(50, 400)).astype(np.float32)
    # the mean of 50 x 300 squares of variance 1: within 5 standard deviations, and rows correlate
    assert abs((model.question(Tensor(x)).data ** 2).mean() - 1) < 0.05
    assert not np.array_equal(model.question.weight.data, model.demonstration.weight.data)
    assert not np.array_equal(
        model.question.weight.data, TwoEncoders(400, 300).question.weight.data
    )
