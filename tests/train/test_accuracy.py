"""Right answers are counted where a batch asks, and set against what always saying the commonest
gets.
"""

import numpy as np
import pytest

from tests.pretrain.tiny import made, model_for, text_for
from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.train.accuracy import answers, token_accuracy


@pytest.mark.parametrize("name", OBJECTIVES)
def test_there_is_an_answer_for_every_question(name):
    batch = made(name).make_batch(text_for(name), Random(1))
    said, right = answers(model_for(name), made(name), batch)
    asked = {"replaced": lambda: batch.judged.sum(), "contrastive": lambda: 0}
    pairs = getattr(batch, "classes", None)
    count = asked.get(
        name, lambda: (batch.targets != IGNORE).sum() if pairs is None else len(batch)
    )()
    assert said.shape == right.shape == (count,)
    if pairs is not None:
        assert np.array_equal(right, batch.classes)


def test_the_answer_is_the_most_probable_token():
    model, batch = model_for("masked"), made("masked").make_batch(text_for("masked"), Random(1))
    said, right = answers(model, made("masked"), batch)
    counts = batch.targets != IGNORE
    assert np.array_equal(said, model(batch.inputs).numpy().argmax(-1)[counts]) and np.array_equal(
        right, batch.targets[counts]
    )


class Rows:
    def batches(self, size):
        return iter([text_for("masked")] * 3)


def test_a_model_that_says_one_token_gets_the_share_of_that_token():
    model = model_for("masked")
    for parameter in model.head.named_parameters().values():
        parameter.data[...] = 0
    model.head.bias.data[1] = 1.0  # always token 1
    share, count, commonest = token_accuracy(model, made("masked"), Rows(), 2)
    batches = [
        made("masked").make_batch(text_for("masked"), Random(0, "evaluate", i)) for i in range(3)
    ]
    right = np.concatenate([b.targets[b.targets != IGNORE] for b in batches])
    assert count == len(right) and share == np.mean(right == 1)
    assert commonest == np.bincount(right).max() / len(right)
    assert token_accuracy(model, made("masked"), Rows(), 2, batches=1)[1] == count // 3
