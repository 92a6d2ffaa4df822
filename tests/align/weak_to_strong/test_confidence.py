"""A strong model that may disagree with its weak teacher."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.weak_to_strong import ConfidentTask, confidence_loss, hardened, rising
from tinylm.align.weak_to_strong.confidence import threshold_of
from tinylm.autograd import Tensor, cross_entropy
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune import fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.models import GPT, GPTConfig
from tinylm.parallel import launch
from tinylm.pretrain.special import Special

# Probabilities of class 1: 1/2, e^2 / (1 + e^2) = .8808, 1 / (1 + e) = .2689, e / (1 + e) = .7311
LOGITS = np.array([[0.0, 0.0], [0.0, 2.0], [1.0, 0.0], [0.0, 1.0]])
WEAK = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])


def test_as_many_inputs_are_of_a_class_as_the_weak_labels_have():
    probability = [0.9, 0.8, 0.7, 0.6, 0.1]
    assert hardened(probability, 0.4).tolist() == [True, True, False, False, False]
    # 1/2 is no threshold: the second most probable is below it, and the third above
    assert hardened([0.4, 0.1, 0.2, 0.3], 0.5).tolist() == [True, False, False, True]
    assert hardened([0.9, 0.8, 0.7], 0.0).tolist() == [False] * 3
    # the quantile 0 is the least probability, and only what is above it is of class 1
    assert hardened([0.9, 0.8, 0.7], 1.0).tolist() == [True, True, False]


def test_it_is_the_papers_formula_on_a_worked_case():
    # Half of the weak labels are class 1, and so are the two most probable: inputs 1 and 3.
    logp = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    weak = -(logp[0, 0] + logp[1, 1] + logp[2, 1] + logp[3, 0]) / 4
    own = -(logp[0, 0] + logp[1, 1] + logp[2, 0] + logp[3, 1]) / 4
    assert weak > own  # it is surer of its own answers
    for a in (0.0, 0.25, 1.0):
        found = confidence_loss(Tensor(LOGITS), WEAK, a).item()
        assert found == pytest.approx((1 - a) * weak + a * own)


def test_with_weight_zero_it_is_the_cross_entropy_of_weak_labels():
    plain = cross_entropy(Tensor(LOGITS), WEAK.argmax(axis=1)).item()
    assert confidence_loss(Tensor(LOGITS), WEAK, 0.0).item() == pytest.approx(plain)


def test_the_threshold_follows_soft_labels():
    # Three quarters of the weak mass is class 1, so three of four answers are.
    soft = np.full((4, 2), (0.25, 0.75))
    logp = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    own = -(logp[0, 1] + logp[1, 1] + logp[2, 0] + logp[3, 1]) / 4
    assert confidence_loss(Tensor(LOGITS), soft, 1.0).item() == pytest.approx(own)


def test_targets_are_constants():
    # The gradient of a cross-entropy with constant targets: (p - target) / B.
    logits = Tensor(LOGITS, requires_grad=True)
    confidence_loss(logits, WEAK, 0.5).backward()
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    own = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    np.testing.assert_allclose(logits.grad, (p - (WEAK + own) / 2) / 4, atol=1e-12)


def test_a_threshold_has_two_sides():
    with pytest.raises(ShapeError, match=r"logits \(4, 3\)"):
        confidence_loss(Tensor(np.zeros((4, 3))), np.zeros((4, 3)), 0.5)
    with pytest.raises(ShapeError, match=r"weak labels \(3, 2\)"):
        confidence_loss(Tensor(LOGITS), WEAK[:3], 0.5)
    with pytest.raises(ShapeError):
        confidence_loss(Tensor(LOGITS[0]), WEAK[0], 0.5)
    for weight in (-0.1, 1.1):
        with pytest.raises(ConfigError, match="needs 0 to 1"):
            confidence_loss(Tensor(LOGITS), WEAK, weight)


def test_the_weight_rises_in_a_straight_line_and_stays():
    at = rising(0.75, 4)
    assert [at(step) for step in (0, 1, 2, 4, 5)] == [0, 0.1875, 0.375, 0.75, 0.75]
    assert rising(1.0, 1)(1) == 1.0 and rising(0.0, 1)(9) == 0.0
    for wrong in ((1.1, 4), (-0.1, 4), (0.5, 0)):
        with pytest.raises(ConfigError, match="needs 0 to 1, and a step"):
            rising(*wrong)


def test_a_task_takes_the_weight_of_its_step():
    # The weight 0, then 1: the second step fits the model's own answers alone.
    classes = Classification(EncoderInput(Special(5)))
    examples = [([0, 1], 0), ([2, 3], 1), ([4, 1], 1), ([3, 3], 0)]
    task, seen = ConfidentTask(classes, lambda done: seen.append(done) or min(1.0, done)), []
    model = Classifier(gpt(5), 2)
    losses = []
    for _ in range(2):
        batch = task.make_batch(examples)
        loss, figures = task.loss(model, batch)
        assert figures == {"tokens": 4, "loss": loss.item()}
        losses.append(loss.item())
        task.after_step(None, 0.0)
    logits = model(classes.make_batch(examples).inputs)
    labels = np.eye(2)[[0, 1, 1, 0]]
    for done in (0, 1):
        expected = confidence_loss(logits, labels, float(done)).item()
        assert losses[done] == pytest.approx(expected)
    fit(model, task, examples, steps=2, batch_size=4, after_step=task.after_step)
    assert seen == [0, 1, 2, 3]


def confident_trajectory(comm=None, **options):
    """(losses (20,), all parameters) of a training with dropout, a third of the labels class 1."""
    rng = np.random.default_rng(0)
    examples = [(rng.integers(0, 5, 4).tolist(), int(i % 3 == 0)) for i in range(24)]
    decoder = GPT(GPTConfig(5, 8, 1, 2, 8, dropout=0.1, positions="rope"), 0, np.float64)
    model = Classifier(decoder, 2)
    task = ConfidentTask(Classification(EncoderInput(Special(5))), rising(0.5, 10))
    given = {"steps": 20, "batch_size": 8, "learning_rate": 1e-2, "comm": comm, "seed": 3}
    losses = fit(model, task, examples, after_step=task.after_step, **given | options)
    return np.array(losses), np.concatenate([p.data.ravel() for p in model.parameters()])


@pytest.fixture(scope="module")
def whole():
    return confident_trajectory()


def assert_equal(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=1e-10)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_the_threshold_is_that_of_the_whole_batch_however_it_is_cut(whole, micro_batch):
    """A part of one row would be of class 1 always or never, whatever its probability."""
    assert_equal(confident_trajectory(micro_batch=micro_batch), whole)


def test_two_workers_are_one(whole):
    assert_equal(launch(confident_trajectory, 2, capacity=1 << 20), whole)


def test_a_threshold_can_be_given():
    """Above all probabilities: the model's own answers are all of class 0."""
    logp = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    found = confidence_loss(Tensor(LOGITS), WEAK, 1.0, threshold=0.9).item()
    assert found == pytest.approx(-logp[:, 0].mean())
    # only what is above the threshold is of class 1: input 1, with .8808
    found = confidence_loss(Tensor(LOGITS), WEAK, 1.0, threshold=0.75).item()
    assert found == pytest.approx(-(logp[0, 0] + logp[1, 1] + logp[2, 0] + logp[3, 0]) / 4)
    assert threshold_of([0.1, 0.2, 0.4, 0.8, 0.9], 0.25) == pytest.approx(0.8)
