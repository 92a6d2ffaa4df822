import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tests.align.verifiers.small import PATHS, chain, decoder, judged
from tinylm.align.verifiers.outcome import (
    OutcomeVerification,
    OutcomeVerifier,
    verification_loss,
)
from tinylm.align.verifiers.paths import JudgedPath
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune import evaluate, fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.pretrain.batch import IGNORE


def softplus(z):
    return math.log1p(math.exp(z))


def sigma(z):
    return 1 / (1 + math.exp(-z))


Z = [[9.0, 2.0, -1.0, 7.0], [0.25, 9.0, 9.0, 9.0], [9.0] * 4]
COUNTED = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)


def test_the_loss_is_the_mean_over_paths_of_the_mean_over_their_tokens():
    # labels 1 and 0; the third row is not judged, and is a row still
    found = verification_loss(Tensor(Z), [1, 0, 1], COUNTED).item()
    first = (softplus(-2.0) + softplus(1.0)) / 2
    assert found == pytest.approx((first + softplus(0.25)) / 3, rel=1e-12)
    # a mean over all judged tokens would be another number
    assert found != pytest.approx((2 * first + softplus(0.25)) / 3, rel=1e-3)


def test_its_gradient_is_the_probability_less_the_label():
    z = Tensor(Z, requires_grad=True)
    found = grad(verification_loss(z, [1, 0, 1], COUNTED), [z])[0].numpy()
    expected = np.zeros((3, 4))
    expected[0, 1:3] = (sigma(2.0) - 1) / 6, (sigma(-1.0) - 1) / 6  # two tokens, three rows
    expected[1, 0] = sigma(0.25) / 3
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_labels_get_no_gradient():
    z, y = Tensor(Z, requires_grad=True), Tensor([1.0, 0.0, 1.0], requires_grad=True)
    loss = verification_loss(z, y, COUNTED)
    assert np.all(grad(loss, [z, y])[1].numpy() == 0)


def test_at_a_logit_of_0_the_loss_is_ln_2_and_extremes_are_finite():
    every = np.ones((1, 2), bool)
    assert verification_loss(Tensor([[0.0, 0.0]]), [1], every).item() == pytest.approx(math.log(2))
    assert verification_loss(Tensor([[800.0, 800.0]]), [0], every).item() == 800


@pytest.mark.parametrize(("right", "counted"), [([1, 0], COUNTED), ([1, 0, 1], COUNTED[:, :2])])
def test_shapes_must_agree(right, counted):
    with pytest.raises(ShapeError, match="need"):
        verification_loss(Tensor(Z), right, counted)


# Rows

THREE = [
    JudgedPath(np.array([1, 2, 3, 4, 5]), 2, True),
    JudgedPath(np.array([6, 7, 8]), 1, False),
    JudgedPath(np.array([9, 1, 2, 3]), 3, None),
]


def test_every_token_of_a_path_is_judged_and_none_of_its_question():
    batch = OutcomeVerification().make_batch(THREE)
    assert batch.counted.tolist() == [
        [False, False, True, True, True],
        [False, True, True, False, False],
        [False] * 5,  # not judged
    ]
    last = OutcomeVerification(at="last").make_batch(THREE)
    assert np.argwhere(last.counted).tolist() == [[0, 4], [1, 2]]
    assert batch.right.tolist() == [1, 0, 0] and batch.tokens == 3
    assert batch.mask.sum(axis=1).tolist() == [5, 3, 4]


def test_the_language_objective_reads_paths_that_are_not_wrong():
    batch = OutcomeVerification().make_batch(THREE)
    N = IGNORE
    # the first token of a path is predicted at the last one of its question
    assert batch.targets.tolist() == [[N, 3, 4, 5, N], [N] * 5, [N, N, 3, N, N]]


def test_the_language_part_is_that_of_tuning_on_answers():
    model = OutcomeVerifier(decoder()).eval()
    task, one = OutcomeVerification(), PATHS[0]
    _, parts = task.loss(model, task.make_batch([one]))
    ids, start = one.ids, one.start
    tuning = InstructionTuning()
    answer = tuning.make_batch([encode_sft(ids[:start], ids[start:])])
    assert parts["language"] == pytest.approx(
        tuning.loss(model.decoder, answer)[0].item(), rel=1e-6
    )


def test_the_two_objectives_are_added_with_the_weight():
    model = OutcomeVerifier(decoder()).eval()
    found = {}
    for weight in (0, 1, 0.5):
        task = OutcomeVerification(language=weight)
        loss, parts = task.loss(model, task.make_batch(PATHS))
        assert loss.item() == pytest.approx(parts["loss"]) and parts["tokens"] == len(PATHS)
        found[weight] = parts
    assert "language" not in found[0] and found[0]["loss"] == pytest.approx(found[0]["verify"])
    for weight in (1, 0.5):
        total = found[weight]["verify"] + weight * found[weight]["language"]
        assert found[weight]["loss"] == pytest.approx(total, rel=1e-6)
        assert found[weight]["verify"] == pytest.approx(found[0]["verify"], rel=1e-6)
    assert OutcomeVerification() == OutcomeVerification(at="token", language=1.0)


def test_the_language_part_trains_the_decoder_and_not_the_head():
    model = OutcomeVerifier(decoder()).eval()
    for at, right, language, moved in (("last", None, 1.0, False), ("last", True, 0, True)):
        task = OutcomeVerification(at, language)
        batch = task.make_batch([JudgedPath(PATHS[0].ids, PATHS[0].start, right)])
        loss, _ = task.loss(model, batch)
        found = grad(loss, [model.head.weight, model.decoder.tokens.weight])
        assert np.any(found[0].numpy()) == moved and np.any(found[1].numpy())


@pytest.mark.parametrize("wrong", [{"at": "first"}, {"language": -0.1}])
def test_other_objectives_are_refused(wrong):
    with pytest.raises(ConfigError, match="OutcomeVerification"):
        OutcomeVerification(**wrong)
    with pytest.raises(FrozenInstanceError):
        OutcomeVerification().at = "last"


# The model


def test_a_token_is_judged_without_those_after_it():
    model = OutcomeVerifier(decoder()).eval()
    ids = np.array([[1, 2, 3, 4, 5]])
    other = ids.copy()
    other[0, 3:] = 7
    a, b = model(ids).numpy()[0], model(other).numpy()[0]
    np.testing.assert_allclose(a[:3], b[:3], rtol=1e-6)
    assert np.abs(a[3:] - b[3:]).min() > 1e-4


def test_the_probability_is_read_at_the_last_token_whatever_the_padding():
    model, task = OutcomeVerifier(decoder()).eval(), OutcomeVerification()
    together = task.predict(model, task.make_batch(PATHS))
    for one, p in zip(PATHS, together, strict=True):
        z = model(one.ids[None]).numpy()[0, -1]
        assert p == pytest.approx(sigma(float(z)), rel=1e-5)


def test_the_head_is_drawn_from_its_seed_and_has_a_bias():
    weights = [OutcomeVerifier(decoder(), *seed).head.weight.data for seed in ((), (0,), (1,))]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.any(weights[0] != weights[2])
    assert OutcomeVerifier(decoder()).head.bias.shape == (1,)


def test_training_is_the_same_in_micro_batches_as_in_one():
    found = []
    for micro in (0, 1):
        model = OutcomeVerifier(decoder(dtype=np.float64))
        losses = fit(model, OutcomeVerification(), PATHS, epochs=2, batch_size=4, micro_batch=micro)
        found.append((losses, model.state_dict()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-10)
    for name, value in found[0][1].items():
        np.testing.assert_allclose(value, found[1][1][name], rtol=1e-7, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("at", ["token", "last"])
def test_a_verifier_learns_whether_all_steps_are_right(at):
    rng = np.random.default_rng(0)
    train, held = ([judged(*chain(rng)) for _ in range(n)] for n in (200, 100))
    model = OutcomeVerifier(decoder())
    task = OutcomeVerification(at, language=0.0)
    fit(model, task, train, epochs=5, learning_rate=1e-2)
    found = evaluate(model, task, held)
    # half of the paths are wrong: chance is 0.5 for both
    assert found["accuracy"] > 0.9 and found["auc"] > 0.95
