"""Distillation: nothing to learn from oneself, the limits, and what is matched."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.compress.small_models import IDS, MASK, classifier, examples, gpt, layered
from tinylm.autograd import Tensor, cross_entropy, grad, softmax
from tinylm.backend import Random, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.compress.distill import Distillation, Student, packed_parts, watch
from tinylm.finetune.compress.distill_losses import (
    cosine_loss,
    hidden_loss,
    logit_matching,
    mixed_loss,
    output_weights,
    relation_loss,
    scores,
    soft_loss,
    uniform_map,
)
from tinylm.finetune.fitting import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.optim import FlatParameters
from tinylm.pretrain import CausalLM
from tinylm.pretrain.batch import IGNORE
from tinylm.train.step import accumulate

TEXT = np.array([[0, 3, 1, 2, 6, 5, 1], [4, 5, 4, 4, 0, 1, 2]])


def whole(model, batch):
    """Outputs of a classifier."""
    return model(batch.inputs, **batch.options), batch.targets


@pytest.mark.parametrize("beta, gamma", [(0, 0), (1, 0), (0, 1)])
def test_a_model_learns_nothing_from_itself(beta, gamma):
    model, task = gpt(), CausalLM()
    distillation = Distillation(task, gpt(), alpha=1.0, beta=beta, gamma=gamma, heads=4)
    loss, found = distillation.loss(model, distillation.make_batch(TEXT, Random(0)))
    loss.backward()
    assert loss.item() == 0 and found["tokens"] == 2  # rows
    for p in model.parameters():
        assert (
            p.grad is None or abs(p.grad.numpy()).max() < 1e-15
        )  # sums of probabilities are 1 to rounding


def test_the_teacher_gets_no_gradient():
    teacher = gpt(seed=1)
    distillation = Distillation(CausalLM(), teacher, beta=1.0, gamma=1.0)
    distillation.loss(gpt(), distillation.make_batch(TEXT, Random(0)))[0].backward()
    assert all(p.grad is None for p in teacher.parameters())


@given(rows=st.integers(1, 4), classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_for_large_temperatures_logits_are_matched(rows, classes, seed):
    rng = np.random.default_rng(seed)
    student = Tensor(rng.normal(size=(rows, classes)), requires_grad=True)
    teacher = rng.normal(size=(rows, classes))
    pairs = [(soft_loss(student, teacher, 1e4), 1), (logit_matching(student, teacher), 1)]
    values, slopes = [p.item() for p, _ in pairs], [grad(p, [student])[0].numpy() for p, _ in pairs]
    np.testing.assert_allclose(
        values[0], values[1], rtol=1e-2, atol=1e-6
    )  # what is left is of the order 1 / tau, times (z - mean)
    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-3)
    d = student.numpy() - teacher
    d -= d.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(slopes[1], d / (rows * classes), atol=1e-12)


def test_alpha_0_is_training_and_alpha_1_needs_no_labels(rng):
    student = Tensor(rng.normal(size=(3, 4)))
    teacher = rng.normal(size=(3, 4))
    targets = np.array([0, 3, 1])
    assert mixed_loss(student, teacher, targets, alpha=0).item() == pytest.approx(
        cross_entropy(student, targets).item()
    )
    assert mixed_loss(student, teacher, targets, alpha=1).item() == pytest.approx(
        soft_loss(student, teacher).item()
    )


@pytest.mark.parametrize("tau", [0.5, 3.0])
def test_the_soft_loss_of_a_fair_and_a_loaded_coin_by_hand(tau):
    # logits tau log p, so that the softened probabilities are p themselves
    student = Tensor(tau * np.log([[0.75, 0.25]]))
    teacher = tau * np.log([[0.5, 0.5]])
    divergence = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    assert soft_loss(student, teacher, tau).item() == pytest.approx(tau**2 * divergence, rel=1e-12)


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_both_losses_are_mixed_by_alpha_and_rows_by_their_weights(tau, rng):
    student, teacher = Tensor(rng.normal(size=(2, 4))), rng.normal(size=(2, 4))
    targets = np.array([0, 3])
    each = [
        0.25 * soft_loss(student[i : i + 1], teacher[i : i + 1], tau).item()
        + 0.75 * cross_entropy(student[i : i + 1], targets[i : i + 1]).item()
        for i in range(2)
    ]
    mixed = partial(mixed_loss, student, teacher, targets, tau, 0.25)
    assert mixed().item() == pytest.approx(np.mean(each), rel=1e-12)
    weighted = mixed(np.array([0.2, 0.6])).item()
    assert weighted == pytest.approx(0.2 * each[0] + 0.6 * each[1], rel=1e-12)
    student.data[1] = np.inf  # a row that does not count may hold anything
    assert mixed(np.array([1.0, 0.0])).item() == pytest.approx(each[0], rel=1e-12)


@pytest.mark.parametrize("pairs", [None, [(2, 1)]])
def test_terms_are_those_of_the_states_seen_and_add_up_with_their_weights(pairs):
    student, teacher = gpt(2), gpt(3, seed=1)
    task = Distillation(CausalLM(), teacher, heads=2, layer_map=pairs)
    batch = task.make_batch(TEXT, Random(0))
    with watch(student) as ours, watch(teacher) as theirs:
        student.hidden(batch.inputs), teacher.hidden(batch.inputs)
    states = hidden_loss(ours.states, theirs.states, pairs or [(0, 0), (1, 1), (2, 3)]).item()
    parts = (packed_parts(student.blocks[0].attention, seen.qkv[-1]) for seen in (ours, theirs))
    relations = relation_loss(*parts, heads=2, causal=True).item()  # of the last layers
    assert min(states, relations) > 1e-3
    found = {}
    for task.beta, task.gamma in ((0, 0), (2, 0), (0, 3), (2, 3)):
        found[task.beta, task.gamma] = task.loss(student, batch)[0].item() - found.get((0, 0), 0)
    assert found[2, 0] == pytest.approx(2 * states, rel=1e-9)
    assert found[0, 3] == pytest.approx(3 * relations, rel=1e-9)
    assert found[2, 3] == pytest.approx(2 * states + 3 * relations, rel=1e-9)


def test_distances_of_layers_are_mean_squares_and_add_up():
    ours, theirs = [np.ones((2, 3, 4))] * 2, [np.zeros((2, 3, 4)), np.full((2, 3, 4), 3.0)]
    loss = hidden_loss(list(map(Tensor, ours)), theirs, [(0, 0), (1, 1)])
    assert loss.item() == 1 + 2**2  # 1 from 0, and 1 from 3


def divergence_of_relations(teacher, student, visible):
    """KL(softmax(t t^T / sqrt(W)) || softmax(s s^T / sqrt(W))) by position: (T, W) -> (T,)."""
    found = []
    for i, seen in enumerate(visible):
        t, s = (x[seen] @ x[i] / np.sqrt(x.shape[1]) for x in (teacher, student))
        t, s = t - np.logaddexp.reduce(t), s - np.logaddexp.reduce(s)
        found.append((np.exp(t) * (t - s)).sum())
    return np.array(found)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_relations_are_compared_position_by_position_and_head_by_head(causal, masked, rng):
    # three rows of four tokens, of which the mask keeps 4, 2 and 3; two heads of width 3
    student, teacher = (rng.normal(size=(2, 3, 4, 6)) for _ in range(2))  # two parts of a layer
    mask = np.arange(4) < np.array([[4], [2], [3]]) if masked else np.ones((3, 4), bool)
    expected = 0.0
    for part in range(2):
        for row in range(3):
            visible = (np.tri(4, dtype=bool) if causal else np.ones((4, 4), bool)) & mask[row]
            heads = [
                divergence_of_relations(
                    teacher[part, row, :, cut], student[part, row, :, cut], visible
                )[mask[row]].mean()
                for cut in (slice(0, 3), slice(3, 6))
            ]
            expected += np.mean(heads) / 3
    ours = list(map(Tensor, student))
    options = {"mask": mask if masked else None, "causal": causal}
    assert relation_loss(ours, list(teacher), 2, **options).item() == pytest.approx(expected)
    if causal:
        past = np.tri(4, dtype=bool)[None, None]
        same = relation_loss(ours, list(teacher), 2, options["mask"], visible=past)
        assert same.item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="shorter|longer"):
        relation_loss(ours, list(teacher[:1]), 2)


def test_the_gradient_at_temperature_1_is_the_difference_of_probabilities(rng):
    student, teacher = Tensor(rng.normal(size=(3, 4)), requires_grad=True), rng.normal(size=(3, 4))
    soft_loss(student, teacher, 1.0).backward()
    np.testing.assert_allclose(
        student.grad.numpy(),
        (softmax(student).numpy() - softmax(Tensor(teacher)).numpy()) / 3,
        atol=1e-15,
    )


def test_cosine_ignores_length(rng):
    h = rng.normal(size=(2, 3, 4))
    assert cosine_loss(Tensor(h * 5), h).item() == pytest.approx(0, abs=1e-15)
    assert cosine_loss(Tensor(-h), h).item() == pytest.approx(2)


def test_the_map_between_widths_is_the_least_squares_one(rng):
    # hidden_loss is quadratic in W, so its gradient is zero at the closed form and there alone.
    narrow, true = rng.normal(size=(2, 6, 3)), rng.normal(size=(3, 5))
    wide = narrow @ true
    W = Tensor(
        np.linalg.lstsq(narrow.reshape(-1, 3), wide.reshape(-1, 5), rcond=None)[0],
        requires_grad=True,
    )
    loss = hidden_loss([Tensor(narrow)], [wide], [(0, 0)], [W])
    np.testing.assert_allclose(W.numpy(), true, atol=1e-12)
    assert loss.item() < 1e-25 and abs(grad(loss, [W])[0].numpy()).max() < 1e-12


def test_padding_is_not_matched(rng):
    states = rng.normal(size=(2, 6, 3))
    other = np.where(MASK[..., None], states, 99.0)
    assert hidden_loss([Tensor(states)], [other], [(0, 0)], mask=MASK).item() == 0
    parts = [Tensor(states)], [Tensor(other)]
    assert relation_loss(*parts, 1, MASK).item() == pytest.approx(0, abs=1e-15)
    assert relation_loss(*parts, 1).item() > 0.1


def test_layers_are_mapped_evenly_from_embeddings_to_the_last():
    assert uniform_map(4, 12) == [
        (0, 0),
        (1, 3),
        (2, 6),
        (3, 9),
        (4, 12),
    ]  # TinyBERT 4 of BERT-base: g(m) = 3 m
    assert uniform_map(3, 3) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert uniform_map(1, 12) == [(0, 0), (1, 12)]
    with pytest.raises(ConfigError, match="student of 0 layers"):
        uniform_map(0, 2)
    with pytest.raises(ConfigError, match="student of 3 layers"):
        uniform_map(3, 2)


@pytest.mark.parametrize(
    "build", [lambda: layered(3), lambda: gpt(3), lambda: layered(3, layer_groups=1)]
)
def test_watching_sees_every_state_and_changes_nothing(build):
    model = build()
    wanted = model.hidden(IDS).numpy()
    with watch(model) as seen:
        np.testing.assert_array_equal(model.hidden(IDS).numpy(), wanted)
    assert len(seen.states) == 4 and len(seen.qkv) == 3
    with watch(model):
        pass
    np.testing.assert_array_equal(model.hidden(IDS).numpy(), wanted)
    if hasattr(model, "layers"):
        for mine, theirs in zip(seen.states, model.layers(IDS)):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    q, k, v = packed_parts(model.blocks[0].attention, seen.qkv[0])
    assert q.shape == k.shape == v.shape == (2, 6, 16)
    assert scores(q, k, 2).shape == (2, 2, 6, 6)


def test_relations_join_models_of_unlike_widths_and_heads():
    student, teacher = gpt(1, d_model=8, n_head=2), gpt(2, n_head=4)
    distillation = Distillation(CausalLM(), teacher, alpha=0.5, gamma=1.0, heads=4)
    before = distillation.loss(student, distillation.make_batch(TEXT, Random(0)))[0].item()
    fit(student, distillation, list(TEXT), steps=10, batch_size=2, learning_rate=1e-2)
    assert distillation.loss(student, distillation.make_batch(TEXT, Random(0)))[0].item() < before


def test_a_student_of_another_width_learns_its_maps_along():
    student, teacher = Student(gpt(1, d_model=8, n_head=2), 2, 8, 16, Random(0), np.float64), gpt(2)
    distillation = Distillation(CausalLM(), teacher, beta=1.0)
    maps = [w.numpy().copy() for w in student.maps]
    losses = fit(student, distillation, list(TEXT), steps=10, batch_size=2, learning_rate=1e-2)
    assert losses[-1] < losses[0]
    assert all((w.numpy() != before).any() for w, before in zip(student.maps, maps))


def test_a_classifier_is_distilled_with_its_own_outputs():
    (student, task), (teacher, _) = classifier(1), classifier(2)
    distillation = Distillation(
        task, teacher, whole, beta=1.0, gamma=1.0, heads=2, core=lambda model: model.encoder
    )
    losses = fit(student, distillation, examples(), steps=10, batch_size=12, learning_rate=1e-2)
    assert losses[-1] < losses[0]


def test_on_every_device(device):
    model, teacher = gpt(1).to(device), gpt(2, seed=1).to(device)
    distillation = Distillation(CausalLM(), teacher, beta=1.0, gamma=1.0)
    loss, _ = distillation.loss(model, distillation.make_batch(TEXT, Random(0)).to(device))
    loss.backward()
    cpu = Distillation(CausalLM(), gpt(2, seed=1), beta=1.0, gamma=1.0)
    assert loss.item() == pytest.approx(
        cpu.loss(gpt(1), cpu.make_batch(TEXT, Random(0)))[0].item(), rel=1e-12
    )
    assert (
        hidden_loss(
            [Tensor(to_device(np.ones((2, 6, 3)), device))],
            [to_device(np.zeros((2, 6, 3)), device)],
            [(0, 0)],
            mask=to_device(MASK, device),
        ).item()
        == 1
    )


def test_answers_in_one_row_are_distilled_as_in_rows_of_their_own():
    a, b, c = encode_sft([1, 2, 3], [4, 5]), encode_sft([6, 7, 1], [8, 2]), encode_sft([1], [2, 3])
    distillation = Distillation(InstructionTuning(), gpt(seed=1), beta=0.5, gamma=1.0, heads=2)
    apart, packed = (
        [
            distillation.loss(gpt(), distillation.make_batch(rows, None))[0].item()
            for rows in batches
        ]
        for batches in ([[a, b], [c]], [[[a, b], [c]]])
    )  # a and b are equally long; c is padded beside them
    assert packed[0] == pytest.approx(
        np.mean(apart), rel=1e-10
    )  # neither neighbors nor padding count


def cut(distillation, student, batch):
    """Loss and gradients of a batch, whole and row by row."""
    for size in (len(batch), 1):
        flat = FlatParameters(student.named_parameters())
        loss = accumulate(
            student,
            distillation,
            flat,
            (batch.rows(i, i + size) for i in range(0, len(batch), size)),
            batch.tokens,
        )
        flat.collect()
        yield loss, flat.grad.copy()


@pytest.mark.parametrize("beta, gamma", [(0, 0), (1, 0), (0, 1), (0.5, 0.5)])
def test_it_does_not_matter_how_a_batch_is_cut(beta, gamma):
    samples = [
        encode_sft([1, 2, 3], [4, 5]),
        encode_sft([6, 7], [8]),
        encode_sft([1], [2, 3, 4, 5, 6, 7]),
    ]
    distillation = Distillation(
        InstructionTuning(), gpt(2, seed=1), beta=beta, gamma=gamma, heads=2
    )
    (whole_loss, whole_grad), (loss, slope) = cut(
        distillation, gpt(), distillation.make_batch(samples, None)
    )
    assert loss == pytest.approx(whole_loss, rel=1e-12)
    np.testing.assert_allclose(slope, whole_grad, rtol=1e-9, atol=1e-12)


def test_rows_without_a_label_are_learned_from_the_teacher_alone():
    (student, task), (teacher, _) = classifier(1), classifier(2)
    texts = examples(4)
    mixed, soft, hard = (
        Distillation(task, teacher, whole, alpha=alpha, core=lambda model: model.encoder)
        for alpha in (0.5, 1, 0)
    )
    some = [(text, label if i else None) for i, (text, label) in enumerate(texts)]
    value = {
        name: [d.loss(student, d.make_batch(rows, None))[0].item() for rows in (some, some[1:])]
        for name, d in (("mixed", mixed), ("soft", soft), ("hard", hard))
    }
    assert value["mixed"][0] == pytest.approx((value["soft"][0] + value["hard"][0]) / 2, rel=1e-12)
    assert value["hard"][0] == pytest.approx(
        value["hard"][1] * 3 / 4, rel=1e-12
    )  # 3 of 4 rows have a label
    assert value["soft"][0] != pytest.approx(value["soft"][1], rel=1e-3)
    (loss, slope), (cut_loss, cut_slope) = cut(mixed, student, mixed.make_batch(some, None))
    assert cut_loss == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(cut_slope, slope, rtol=1e-9, atol=1e-12)


def test_outputs_are_one_for_every_target_or_for_those_that_count():
    targets = np.array([[1, 2, IGNORE], [IGNORE, IGNORE, 4]])
    np.testing.assert_array_equal(output_weights(targets, 6), [0.25, 0.25, 0, 0, 0, 0.5])
    np.testing.assert_array_equal(output_weights(targets, 3), [0.25, 0.25, 0.5])
    np.testing.assert_array_equal(output_weights(np.array([IGNORE, 1]), 2), [0.5, 0.5])
    with pytest.raises(ShapeError, match="4 outputs"):
        output_weights(targets, 4)


def test_states_are_watched_only_where_they_are_compared():
    def no_blocks(model):
        raise AssertionError("asked for the blocks")

    distillation = Distillation(CausalLM(), gpt(2, seed=1), core=no_blocks)
    batch = distillation.make_batch(TEXT, Random(0))
    assert distillation.loss(gpt(), batch)[0].item() > 0
    distillation.gamma = 1.0
    with pytest.raises(AssertionError, match="asked for"):
        distillation.loss(gpt(), batch)


def test_with_alpha_1_texts_without_labels_teach():
    (student, task), (teacher, _) = classifier(1), classifier(2)
    distillation = Distillation(task, teacher, whole, alpha=1.0, core=lambda model: model.encoder)
    labeled, bare = examples(4), [(text, None) for text, _ in examples(4)]
    found = [
        distillation.loss(student, distillation.make_batch(rows, None)) for rows in (labeled, bare)
    ]
    assert found[1][0].item() == found[0][0].item() > 0 and found[1][1]["tokens"] == 4
    assert fit(student, distillation, bare, steps=1)[0] == pytest.approx(
        found[0][0].item(), rel=1e-12
    )


def test_distances_in_float16_are_squared_in_float32():
    apart = np.array([[[300, 0, 0, 0]]], np.float16)  # 300^2 is no float16, a quarter of it is
    loss = hidden_loss([Tensor(apart)], [np.zeros_like(apart)], [(0, 0)])
    np.testing.assert_allclose(loss.numpy(), 22500, rtol=1e-3)
