"""Batches of several tasks: each row has its own head, and logits that were said are said again."""

import numpy as np
import pytest

from tests.finetune.continual.several import ENCODER_INPUT, SPECIAL, encoder, word_task
from tinylm.errors import ConfigError
from tinylm.finetune.continual.many_tasks import Item, ManyHeads, ManyTasks, items, with_logits
from tinylm.finetune.fitting import answers, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier


def test_a_batch_of_two_tasks_scores_each_row_with_its_own_head():
    shared = encoder(dtype=np.float64)
    model, task = ManyHeads(shared, (2, 3)).eval(), ManyTasks.of(ENCODER_INPUT, 2)
    batch = task.make_batch([Item(0, [1, 2], 1), Item(1, [3], 2), Item(0, [4, 0, 1], 0)])
    losses = []
    for k, text, label in ((0, [1, 2], 1), (1, [3], 2), (0, [4, 0, 1], 0)):
        alone = Classification(ENCODER_INPUT)
        losses.append(alone.loss(model.classifiers[k], alone.make_batch([(text, label)]))[0].item())
    loss, metrics = task.loss(model, batch)
    np.testing.assert_allclose(loss.item(), np.mean(losses))
    assert metrics["tokens"] == 3


def test_what_was_said_is_said_again():
    model = ManyHeads(encoder(dtype=np.float64), (2, 3)).eval()
    task = ManyTasks.of(ENCODER_INPUT, 2, imitate=2.0)
    examples = [Item(0, [1, 2], 1), Item(1, [3], 2)]
    kept = with_logits(model, task, examples, batch_size=1)
    plain = task.loss(model, task.make_batch(examples))[0].item()
    same = task.loss(model, task.make_batch(kept))[0].item()
    np.testing.assert_allclose(same, plain)  # it still says the same
    kept[1].former_logits[0] += 1.0
    other = task.loss(model, task.make_batch(kept))[0].item()
    np.testing.assert_allclose(
        other, plain + 2.0 / 3 / 2
    )  # 2 * 1^2 as a mean over 3 classes, over 2 rows


def test_another_device_says_the_same_of_many_tasks(device):
    task, found = ManyTasks.of(ENCODER_INPUT, 2, imitate=2.0), []
    for place in ("cpu", device):
        model = ManyHeads(encoder(dtype=np.float64), (2, 3)).to(place)
        kept = with_logits(model, task, [Item(0, [1, 2], 1), Item(1, [3], 2)])
        fit(model, task, kept + items(0, word_task(0, 6)), steps=2, batch_size=8)
        found.append((kept[0].former_logits, model.classifiers[0].state_dict()["out.weight"]))
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_rows_that_nothing_was_said_about_are_only_labeled():
    model = ManyHeads(encoder(dtype=np.float64), (2, 3)).eval()
    task = ManyTasks.of(ENCODER_INPUT, 2, imitate=2.0)
    examples = [
        Item(0, [1, 2], 1),
        Item(1, [3], 2),
    ]  # the one without logits has more classes than the one with
    kept = with_logits(model, task, examples[:1]) + examples[1:]
    plain = task.loss(model, task.make_batch(examples))[0].item()
    np.testing.assert_allclose(task.loss(model, task.make_batch(kept))[0].item(), plain)


def test_many_tasks_answer_with_their_own_names():
    tasks = ManyTasks((Classification(ENCODER_INPUT, ("no", "yes")), Classification(ENCODER_INPUT)))
    model = ManyHeads(encoder(), (2, 3))
    said = answers(model, tasks, [Item(0, [1], "no"), Item(1, [1], 0)])
    assert said[0] in ("no", "yes") and said[1] in (0, 1, 2)
    logits = model(*_inputs(tasks, [Item(0, [1], "no"), Item(1, [1], 0)]))
    best = [z.numpy()[0].argmax() for _, _, z in logits]
    assert said == [("no", "yes")[best[0]], best[1]]
    with pytest.raises(ConfigError, match="one EncoderInput for all"):
        ManyTasks(())
    with pytest.raises(ConfigError, match="one EncoderInput for all"):
        ManyTasks((Classification(ENCODER_INPUT), Classification(EncoderInput(SPECIAL, limit=4))))


def _inputs(tasks, examples):
    """Token ids and tasks of examples of one length."""
    batch = tasks.make_batch(examples)
    return batch.inputs, batch.which


def test_a_classifier_of_one_task_is_what_many_heads_are_made_of():
    assert all(isinstance(c, Classifier) for c in ManyHeads(encoder(), (2, 3)).classifiers)
    heads = ManyHeads(shared := encoder(), (2, 2), seed=4).classifiers  # seeds 4 and 5
    for head, seed in zip(heads, (4, 5)):
        alone = Classifier(shared, 2, seed=seed)
        np.testing.assert_array_equal(head.out.weight.numpy(), alone.out.weight.numpy())


def test_logits_of_a_float64_model_are_kept_as_exactly():
    model = ManyHeads(encoder(dtype=np.float64), (2, 3)).eval()
    task = ManyTasks.of(ENCODER_INPUT, 2, imitate=1.0)
    kept = with_logits(model, task, [Item(0, [1, 2], 1), Item(1, [3], 2)])
    batch = task.make_batch(kept)
    assert batch.former_logits.dtype == np.float64
    np.testing.assert_array_equal(batch.former_logits[1], kept[1].former_logits)


def test_rows_without_a_label_count_for_what_was_said():
    model = ManyHeads(encoder(dtype=np.float64), (2, 3)).eval()
    task = ManyTasks.of(ENCODER_INPUT, 2, imitate=2.0)
    examples = [
        Item(0, [1, 2], 1),
        Item(1, [3], None, former_logits=np.zeros(3)),
        Item(1, [4], None),
    ]
    batch = task.make_batch(examples)
    assert batch.tokens == 2  # the third row asks for nothing
    parts = [batch.rows(i, i + 1) for i in range(3)]
    assert [part.tokens for part in parts] == [1, 1, 0]
    whole = task.loss(model, batch)[0].item()
    losses = [task.loss(model, part)[0].item() for part in parts]
    np.testing.assert_allclose(
        whole, np.dot(losses, [1 / 2, 1 / 2, 0])
    )  # micro-batches, weighted by what counts
    z = model(batch.inputs, batch.which, **batch.options)[1][2].numpy()[0]
    np.testing.assert_allclose(losses[1], 2.0 * (z * z).mean())
    assert ManyTasks.of(ENCODER_INPUT, 2).make_batch(examples).tokens == 1  # nothing is imitated


def test_classes_that_nothing_was_said_about_take_no_part_however_large():
    model = ManyHeads(encoder(dtype=np.float64), (2, 3)).eval()
    task = ManyTasks.of(ENCODER_INPUT, 2, imitate=2.0)
    spoken = [
        Item(1, [3], None, former_logits=np.zeros(2)),
        Item(1, [4], None, former_logits=np.zeros(3)),
    ]
    batch = task.make_batch(spoken)  # of the first row class 2 is not known
    model.classifiers[1].out.bias.data[2] = 1e200  # its square is infinite
    z = model(batch.inputs, batch.which, **batch.options)[0][2].numpy()[0]
    loss = task.loss(model, batch.rows(0, 1))[0].item()
    np.testing.assert_allclose(loss, 2.0 * (z[:2] ** 2).mean())
