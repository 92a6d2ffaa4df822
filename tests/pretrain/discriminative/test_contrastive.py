"""Contrastive losses: their values where they are known, and scores of pairs of sentences."""

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import encoder
from tinylm.errors import ConfigError, DataError, DtypeError, ShapeError
from tinylm.optim import SGD, AdamW, FlatParameters
from tinylm.pretrain.cases import PAIRS, SPECIAL, TEXT
from tinylm.pretrain.discriminative.contrastive import (
    PairedEncoders,
    PairEmbedding,
    SentenceEmbedding,
    bilinear_score,
    clip_loss,
    cosine_score,
    cosines,
    dot_score,
    info_nce,
    mean_pool,
    unit,
)
from tinylm.pretrain.special import Special
from tinylm.train.trainer import Trainer


def vectors(rng, B=4, D=3):
    return tl.Tensor(rng.normal(size=(B, D)), requires_grad=True)


def test_scores_of_two_sentences(rng):
    a, b = vectors(rng), vectors(rng)
    np.testing.assert_allclose(cosine_score(a, b).numpy(), cosine_score(b, a).numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        cosine_score(a * 3, b * 0.1).numpy(), cosine_score(a, b).numpy(), rtol=1e-9
    )
    np.testing.assert_allclose(cosine_score(a, a).numpy(), 1, rtol=1e-9)  # 1e-12 under the root
    np.testing.assert_allclose(
        bilinear_score(a, b, tl.Tensor(np.eye(3))).numpy(), dot_score(a, b).numpy(), rtol=1e-12
    )


def test_one_row_has_nothing_to_choose_and_equal_scores_cost_log_B(rng):
    a = vectors(rng, 1)
    assert info_nce(cosines(a, vectors(rng, 1))).item() == pytest.approx(0, abs=1e-12)
    same = tl.Tensor(np.ones((5, 3)))
    assert info_nce(cosines(same, same)).item() == pytest.approx(np.log(5), rel=1e-12)


def test_the_symmetric_loss_does_not_care_which_side_is_which(rng):
    a, b = vectors(rng), vectors(rng)
    assert info_nce(cosines(a, b), symmetric=True).item() == pytest.approx(
        info_nce(cosines(b, a), symmetric=True).item(), rel=1e-12
    )
    assert info_nce(cosines(a, b)).item() != pytest.approx(info_nce(cosines(b, a)).item(), rel=1e-3)


def test_by_hand(rng):
    a, b = vectors(rng), vectors(rng)
    x, y = (v.numpy() / np.linalg.norm(v.numpy(), axis=1, keepdims=True) for v in (a, b))
    scores = np.exp(x @ y.T / 0.5)
    assert info_nce(cosines(a, b, 0.5)).item() == pytest.approx(
        -np.log(np.diag(scores) / scores.sum(1)).mean(), rel=1e-9
    )


def test_both_directions_by_hand(rng):
    """Half the sum of the cross-entropies of the rows and of the columns."""
    a, b = vectors(rng), vectors(rng)
    x, y = (v.numpy() / np.linalg.norm(v.numpy(), axis=1, keepdims=True) for v in (a, b))
    chances = np.exp(x @ y.T / 0.5)
    there, back = np.diag(chances) / chances.sum(1), np.diag(chances) / chances.sum(0)
    by_hand = (-np.log(there).mean() - np.log(back).mean()) / 2
    assert info_nce(cosines(a, b, 0.5), symmetric=True).item() == pytest.approx(by_hand, rel=1e-9)
    log_scale = tl.Tensor(np.array(np.log(2)))  # 1 / 0.5
    assert clip_loss(a, b, log_scale).item() == pytest.approx(by_hand, rel=1e-9)


def test_negatives_beyond_the_rows_are_in_every_sum(rng):
    """Six candidates for three rows: the first three are the right ones."""
    scores = rng.normal(size=(3, 6))
    by_hand = [-scores[i, i] + np.log(np.exp(scores[i]).sum()) for i in range(3)]
    assert info_nce(tl.Tensor(scores)).item() == pytest.approx(np.mean(by_hand), rel=1e-12)
    assert info_nce(tl.Tensor(np.zeros((3, 6)))).item() == pytest.approx(np.log(6), rel=1e-12)


def test_an_excluded_pair_is_not_read(rng):
    """Chosen away, not subtracted from: whatever its score is, the sum is one without it."""
    excluded = np.array([[False, False, True], [True, False, False]])
    a, b, c, d = rng.normal(size=4)
    by_hand = (np.log(1 + np.exp(b - a)) + np.log(1 + np.exp(d - c))) / 2
    for unread in (0.0, 1e30, np.inf, np.nan):
        scores = tl.Tensor(np.array([[a, b, unread], [unread, c, d]]), requires_grad=True)
        loss = info_nce(scores, excluded)
        assert loss.item() == pytest.approx(by_hand, rel=1e-12)
        loss.backward()
        assert np.isfinite(scores.grad.numpy()).all()
        assert (scores.grad.numpy() == 0).tolist() == excluded.tolist()


def test_an_excluded_pair_is_excluded_in_both_directions(rng):
    scores = rng.normal(size=(2, 2))
    excluded = np.array([[False, True], [False, False]])
    found = info_nce(tl.Tensor(scores), excluded, symmetric=True).item()
    # Row 1 has two columns to pick from, and column 0 two rows; the others have one.
    row, column = scores[1, 0] - scores[1, 1], scores[1, 0] - scores[0, 0]
    by_hand = (np.log(1 + np.exp(row)) / 2 + np.log(1 + np.exp(column)) / 2) / 2
    assert found == pytest.approx(by_hand, rel=1e-12)


def test_equal_similarities_cost_log_B_in_both_directions():
    same = tl.Tensor(np.ones((5, 3)))
    assert info_nce(cosines(same, same), symmetric=True).item() == pytest.approx(
        np.log(5), rel=1e-12
    )
    found = clip_loss(same, same, tl.Tensor(np.array(3.0))).item()
    assert found == pytest.approx(np.log(5), rel=1e-12)


def test_a_bilinear_score_is_h_a_M_h_b():
    a, b = tl.Tensor(np.array([[1.0, 2.0]])), tl.Tensor(np.array([[3.0, 5.0]]))
    M = tl.Tensor(np.array([[0.0, 1.0], [0.0, 0.0]]))  # keeps the first of a and the second of b
    assert bilinear_score(a, b, M).numpy().tolist() == [1 * 5]
    assert bilinear_score(b, a, M).numpy().tolist() == [3 * 2]
    assert dot_score(a, b).numpy().tolist() == [1 * 3 + 2 * 5]
    assert cosine_score(a, b).item() == pytest.approx(13 / np.sqrt(5 * 34), rel=1e-9)


@pytest.mark.parametrize("scale, used", [(1, 1), (99, 99), (100, 100), (101, 100), (1e9, 100)])
def test_the_learned_scale_is_at_most_100(rng, scale, used):
    a, b = vectors(rng), vectors(rng)
    found = clip_loss(a, b, tl.Tensor(np.array(np.log(scale)))).item()
    assert found == pytest.approx(
        info_nce(cosines(a, b, 1 / used), symmetric=True).item(), rel=1e-9
    )


def clip_model(dtype=np.float64, **changes):
    """Two encoders of different widths with a common space of 3."""
    first = encoder(languages=0, **changes)
    second = encoder(seed=1, languages=0, d_model=6, **changes)
    return PairedEncoders(first, second, (4, 6), 3, dtype=dtype)


def test_clip_starts_at_the_temperature_of_the_paper_and_reads_with_two_encoders():
    model, objective = clip_model(), PairEmbedding(SPECIAL)
    assert np.exp(model.log_scale.item()) == pytest.approx(1 / 0.07, rel=1e-12)
    batch = objective.make_batch(PAIRS)
    a, b = (v.numpy() for v in objective.embed(model, batch))
    ids = np.array([SPECIAL.cls, *PAIRS[0][0]])  # the first text alone, without padding
    state = model.first.hidden(ids[None]).numpy()[:, 0]
    np.testing.assert_allclose(a[:1], state @ model.first_map.numpy(), rtol=1e-10)
    ids = np.array([SPECIAL.cls, *PAIRS[1][1]])
    state = model.second.hidden(ids[None]).numpy()[:, 0]
    np.testing.assert_allclose(b[1:], state @ model.second_map.numpy(), rtol=1e-10)
    loss, metrics = objective.loss(model, batch)
    by_hand = info_nce(cosines(tl.Tensor(a), tl.Tensor(b), 0.07), symmetric=True).item()
    assert metrics["loss"] == loss.item() == pytest.approx(by_hand, rel=1e-9)
    assert metrics["tokens"] == batch.tokens == 2


def test_maps_into_the_common_space_keep_the_length_of_vectors():
    first, second = encoder(languages=0), encoder(seed=1, languages=0)
    model = PairedEncoders(first, second, (400, 900), 50)  # the maps alone: no text is read
    for D, table in ((400, model.first_map.numpy()), (900, model.second_map.numpy())):
        # Entries have variance 1/D, and n of them measure it to sqrt(2 / n) of itself.
        n = table.size
        assert table.shape == (D, 50)
        assert abs((table**2).mean() * D - 1) < 4 * (2 / n) ** 0.5


def test_padding_changes_no_vector_of_a_pair():
    for pool in ("first", "mean"):
        model, objective = clip_model(), PairEmbedding(SPECIAL, pool)
        together = objective.embed(model, objective.make_batch(PAIRS))  # lengths 2 and 3, 2 and 2
        for i, pair in enumerate(PAIRS):
            alone = objective.embed(model, objective.make_batch([pair]))
            for one, whole in zip(alone, together):
                np.testing.assert_allclose(one.numpy()[0], whole.numpy()[i], rtol=1e-10)


def test_clip_trains_both_encoders_and_the_temperature_which_comes_back_from_its_limit():
    model, objective = clip_model(), PairEmbedding(SPECIAL)
    optimizer = SGD(FlatParameters(model.named_parameters()), lr=0.1)
    model.log_scale.data[...] = np.log(1e4)  # as after an update that went too far
    batch = objective.make_batch([*PAIRS, (PAIRS[0][1], PAIRS[1][0])])
    first = objective.loss(model, batch)[0]
    assert np.exp(model.log_scale.item()) == pytest.approx(100, rel=1e-12)
    first.backward()
    for part in (
        model.first_map,
        model.second_map,
        model.log_scale,
        model.first.tokens.weight,
        model.second.tokens.weight,
    ):
        assert np.abs(part.grad.numpy()).max() > 0
    optimizer.step()
    assert model.log_scale.item() != pytest.approx(np.log(100), abs=1e-9)


def test_clip_learns_which_text_belongs_to_which():
    model, objective = clip_model(), PairEmbedding(SPECIAL)
    optimizer = AdamW(FlatParameters(model.named_parameters()), lr=1e-2)
    rows = lambda step, start, stop: PAIRS[start:stop]  # noqa: E731
    trainer = Trainer(model, objective, optimizer, rows, 2, 1e-2)
    before = objective.loss(model, objective.make_batch(PAIRS))[0].item()
    assert trainer.run(20)
    assert objective.loss(model, objective.make_batch(PAIRS))[0].item() < before / 2


def test_padding_is_not_in_the_mean(rng):
    h = tl.Tensor(rng.normal(size=(1, 3, 2)))
    np.testing.assert_allclose(
        mean_pool(h, np.array([[True, True, False]])).numpy(), h.numpy()[:, :2].mean(1), rtol=1e-12
    )
    np.testing.assert_allclose(mean_pool(h).numpy(), h.numpy().mean(1), rtol=1e-12)


@pytest.mark.parametrize("pool", ["first", "mean"])
def test_two_readings_differ_by_dropout_alone(pool):
    objective = SentenceEmbedding(SPECIAL, pool=pool)
    batch, model = objective.make_batch(TEXT), encoder(languages=0, dropout=0.3)
    assert np.array_equal(
        objective.embed(model, batch).numpy(), objective.embed(model, batch).numpy()
    )
    model.train()
    assert not np.array_equal(
        objective.embed(model, batch).numpy(), objective.embed(model, batch).numpy()
    )
    assert objective.loss(model, batch)[1]["tokens"] == batch.tokens == 2


def test_what_does_not_work_is_said(rng):
    with pytest.raises(ShapeError, match="must be the same"):
        info_nce(cosines(vectors(rng), vectors(rng, 3)))
    with pytest.raises(ShapeError, match=r"\(2, 1\), needs \(B, C\) with C >= B"):
        info_nce(vectors(rng, 2, 1))
    with pytest.raises(ShapeError, match=r"\(3,\), needs \(B, C\)"):
        info_nce(vectors(rng)[0])
    with pytest.raises(ShapeError, match=r"\(2, 3\), needs \(B, B\)"):
        info_nce(vectors(rng, 2, 3), symmetric=True)
    with pytest.raises(DtypeError, match="excluded must be bool, True = excluded, not float64"):
        info_nce(vectors(rng, 2, 3), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"excluded \(2, 2\), scores \(2, 3\)"):
        info_nce(vectors(rng, 2, 3), np.zeros((2, 2), bool))
    with pytest.raises(DataError, match="excluded from its own column"):
        info_nce(vectors(rng, 2, 3), np.eye(2, 3, dtype=bool))
    with pytest.raises(ConfigError, match="not first or mean"):
        SentenceEmbedding(SPECIAL, pool="max")
    with pytest.raises(ConfigError, match="PairEmbedding: pool = 'max' is not first or mean"):
        PairEmbedding(SPECIAL, pool="max")
    with pytest.raises(ConfigError, match="different lengths"):
        PairEmbedding(Special(4)).make_batch(PAIRS)


def test_means_and_directions_of_float16_are_taken_in_float32():
    h = tl.Tensor(np.full((1, 400, 2), 300.0, np.float16))  # the sum, 120 000, is no float16
    shown = np.arange(400)[None] < 399
    np.testing.assert_array_equal(mean_pool(h, shown).numpy(), [[300, 300]])
    for value in (0.0, 1e-4):  # 1e-12 is no float16 either
        direction = unit(tl.Tensor(np.full((1, 4), value, np.float16))).numpy()
        np.testing.assert_allclose(direction, np.full((1, 4), 0.5 * (value > 0)), atol=1e-3)
