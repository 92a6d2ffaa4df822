import numpy as np

from tests.finetune.tasks.heads_small import INPUTS, encoder, texts
from tinylm.autograd.engine.profile import count_operations
from tinylm.finetune import evaluate, fit
from tinylm.finetune.freezing import freeze
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.finetune.tasks.probe import Probe, VectorClassification, features
from tinylm.nn import Linear

TASK, EXAMPLES = Classification(INPUTS), [(text, int(text[0] < 10)) for text in texts(24)]


def head_like(head):
    """A Linear of its own with the same weights."""
    copy = Linear(*head.weight.shape, None, dtype=np.float64)
    copy.weight.data, copy.bias.data = head.weight.numpy().copy(), head.bias.numpy().copy()
    return copy


def test_a_frozen_encoder_with_a_head_is_a_logistic_regression_on_its_vectors():
    model = Classifier(encoder(), 2)
    vectors = list(
        zip(features(model, TASK, EXAMPLES, batch_size=7), (label for _, label in EXAMPLES))
    )
    probe = Probe(16, 2, head_like(model.out))
    freeze(model.encoder)
    before = model.encoder.state_dict()
    settings = dict(epochs=3, batch_size=8, learning_rate=1e-2)
    whole = fit(model, TASK, EXAMPLES, **settings)
    cached = fit(probe, VectorClassification(), vectors, **settings)
    np.testing.assert_allclose(whole, cached, rtol=0, atol=1e-12)  # the same losses, step by step
    np.testing.assert_allclose(
        model.out.weight.numpy(), probe.out.weight.numpy(), rtol=0, atol=1e-12
    )
    for name, p in model.encoder.named_parameters().items():
        assert p.grad is None
        np.testing.assert_array_equal(p.numpy(), before[name])
    assert (
        evaluate(model, TASK, EXAMPLES)["accuracy"]
        == evaluate(probe, VectorClassification(), vectors)["accuracy"]
    )


def test_a_probe_is_far_cheaper_than_the_whole():
    model = Classifier(encoder(), 2)
    vectors = list(zip(features(model, TASK, EXAMPLES), (label for _, label in EXAMPLES)))
    spent = []
    for m, task, examples in (
        (model, TASK, EXAMPLES),
        (Probe(16, 2), VectorClassification(), vectors),
    ):
        with count_operations() as counted:
            loss, _ = task.loss(m, task.make_batch(examples[:8]))
            loss.backward()
        spent.append(sum(counted.flops.values()) + sum(counted.backward.values()))
    assert spent[1] < spent[0] / 100


def test_any_classifier_may_follow_the_encoder():
    # The nearest mean of vectors, computed without any training; the two classes have words of
    # their own.
    model, y = Classifier(encoder(), 2, "mean"), np.arange(40) % 2
    x = features(
        model,
        TASK,
        [([word % 10 + 10 * label for word in text], label) for text, label in zip(texts(40), y)],
    )
    means = np.stack([x[y == label].mean(axis=0) for label in (0, 1)])
    said = ((x[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
    assert np.mean(said == y) > 0.75  # guessing is 0.5, with a deviation of 0.08
