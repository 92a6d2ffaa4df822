"""The accuracy matrix by hand, and the two limits: a frozen encoder forgets nothing, opposite
labels force forgetting.
"""

import numpy as np
import pytest

from tests.finetune.continual.several import ENCODER_INPUT, encoder, word_task
from tinylm.errors import ShapeError
from tinylm.finetune.continual.forgetting import (
    accuracy_matrix,
    final_accuracy,
    forgetting,
)
from tinylm.finetune.continual.many_tasks import ManyHeads, ManyTasks, items, use_heads
from tinylm.finetune.fitting import evaluate, fit
from tinylm.finetune.freezing import freeze

R = np.array([[0.9, 0.5, 0.4], [0.6, 0.8, 0.5], [0.7, 0.6, 0.9]])


def test_the_numbers_of_a_matrix_by_hand():
    np.testing.assert_allclose(forgetting(R), [0.9 - 0.7, 0.8 - 0.6])
    np.testing.assert_allclose(final_accuracy(R), (0.7 + 0.6 + 0.9) / 3)


def test_one_task_has_nothing_to_forget():
    assert forgetting([[0.7]]).shape == (0,) and final_accuracy([[0.7]]) == 0.7
    with pytest.raises(ShapeError, match="must be square"):
        forgetting(R[:2])


def test_the_matrix_has_a_row_for_every_moment_and_a_column_for_every_task():
    learnt = []
    found = accuracy_matrix(
        "ab", lambda i, task: learnt.append(task), lambda j, task: len(learnt) + 10 * j
    )
    assert learnt == ["a", "b"]
    np.testing.assert_array_equal(found, [[1, 11], [2, 12]])


def sequence(model, tasks, learning_rate):
    """The accuracy matrix of plain fine-tuning on one task after the other."""
    task = ManyTasks.of(ENCODER_INPUT, len(tasks))

    def learn(i, examples):
        fit(
            use_heads(model, [i]),
            task,
            items(i, examples),
            epochs=8,
            batch_size=8,
            learning_rate=learning_rate,
            weight_decay=0.1,
        )

    return accuracy_matrix(
        tasks, learn, lambda j, examples: evaluate(model, task, items(j, examples))["accuracy"]
    )


def test_a_frozen_encoder_with_a_head_for_each_task_forgets_nothing():
    tasks = [word_task(0), word_task(1)]
    model = ManyHeads(encoder(), (2, 2), "mean")
    freeze(model.encoder)
    found = sequence(model, tasks, 0.5)
    np.testing.assert_array_equal(
        forgetting(found), 0
    )  # exactly: nothing that the first answers depend on was changed
    assert found[0, 0] > 0.6  # and something was learnt


def test_the_heads_of_other_tasks_are_left_bit_for_bit():
    model = ManyHeads(encoder(), (2, 2))
    before = model.classifiers[0].state_dict()["out.weight"]
    fit(
        use_heads(model, [1]),
        ManyTasks.of(ENCODER_INPUT, 2),
        items(1, word_task(1)),
        epochs=1,
        weight_decay=0.5,
    )
    np.testing.assert_array_equal(model.classifiers[0].state_dict()["out.weight"], before)
    assert all(p.requires_grad for p in use_heads(model, [0, 1]).parameters())


def test_opposite_labels_under_one_head_force_forgetting():
    examples = word_task(0)
    tasks = [examples, [(text, 1 - label) for text, label in examples]]
    model = ManyHeads(encoder(), (2,), "mean")
    task = ManyTasks.of(ENCODER_INPUT, 1)

    def learn(i, part):
        fit(model, task, items(0, part), epochs=8, batch_size=8, learning_rate=0.02)

    found = accuracy_matrix(
        tasks, learn, lambda j, part: evaluate(model, task, items(0, part))["accuracy"]
    )
    np.testing.assert_allclose(found.sum(axis=1), 1)  # what is right for one is wrong for the other
    assert found[0, 0] > 0.9 and forgetting(found)[0] > 0.8
