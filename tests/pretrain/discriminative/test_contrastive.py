"""Contrastive losses: their values where they are known, and scores of pairs of sentences."""
import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import encoder
from tinylm.errors import ConfigError, ShapeError
from tinylm.pretrain.cases import SPECIAL, TEXT
from tinylm.pretrain.discriminative.contrastive import (
    SentenceEmbedding,
    bilinear_score,
    cosine_score,
    dot_score,
    info_nce,
    mean_pool,
    unit,
)


def vectors(rng, B=4, D=3):
    return tl.Tensor(rng.normal(size=(B, D)), requires_grad=True)


def test_scores_of_two_sentences(rng):
    a, b = vectors(rng), vectors(rng)
    np.testing.assert_allclose(cosine_score(a, b).numpy(), cosine_score(b, a).numpy(), rtol=1e-12)
    np.testing.assert_allclose(cosine_score(a * 3, b * 0.1).numpy(), cosine_score(a, b).numpy(), rtol=1e-9)
    np.testing.assert_allclose(cosine_score(a, a).numpy(), 1, rtol=1e-9)                    # 1e-12 under the root
    np.testing.assert_allclose(bilinear_score(a, b, tl.Tensor(np.eye(3))).numpy(), dot_score(a, b).numpy(), rtol=1e-12)


def test_one_row_has_nothing_to_choose_and_equal_scores_cost_log_B(rng):
    a = vectors(rng, 1)
    assert info_nce(a, vectors(rng, 1)).item() == pytest.approx(0, abs=1e-12)
    same = tl.Tensor(np.ones((5, 3)))
    assert info_nce(same, same).item() == pytest.approx(np.log(5), rel=1e-12)


def test_the_symmetric_loss_does_not_care_which_side_is_which(rng):
    a, b = vectors(rng), vectors(rng)
    assert info_nce(a, b, symmetric=True).item() == pytest.approx(info_nce(b, a, symmetric=True).item(), rel=1e-12)
    assert info_nce(a, b).item() != pytest.approx(info_nce(b, a).item(), rel=1e-3)


def test_by_hand(rng):
    a, b = vectors(rng), vectors(rng)
    x, y = (v.numpy() / np.linalg.norm(v.numpy(), axis=1, keepdims=True) for v in (a, b))
    scores = np.exp(x @ y.T / 0.5)
    assert info_nce(a, b, 0.5).item() == pytest.approx(-np.log(np.diag(scores) / scores.sum(1)).mean(), rel=1e-9)


def test_padding_is_not_in_the_mean(rng):
    h = tl.Tensor(rng.normal(size=(1, 3, 2)))
    np.testing.assert_allclose(mean_pool(h, np.array([[True, True, False]])).numpy(), h.numpy()[:, :2].mean(1), rtol=1e-12)
    np.testing.assert_allclose(mean_pool(h).numpy(), h.numpy().mean(1), rtol=1e-12)


@pytest.mark.parametrize("pool", ["first", "mean"])
def test_two_readings_differ_by_dropout_alone(pool):
    objective = SentenceEmbedding(SPECIAL, pool=pool)
    batch, model = objective.make_batch(TEXT), encoder(languages=0, dropout=0.3)
    assert np.array_equal(objective.embed(model, batch).numpy(), objective.embed(model, batch).numpy())
    model.train()
    assert not np.array_equal(objective.embed(model, batch).numpy(), objective.embed(model, batch).numpy())
    assert objective.loss(model, batch)[1]["tokens"] == batch.tokens == 2


def test_what_does_not_work_is_said(rng):
    with pytest.raises(ShapeError, match="must be the same"):
        info_nce(vectors(rng), vectors(rng, 3))
    with pytest.raises(ConfigError, match="not first or mean"):
        SentenceEmbedding(SPECIAL, pool="max")


def test_means_and_directions_of_float16_are_taken_in_float32():
    h = tl.Tensor(np.full((1, 400, 2), 300.0, np.float16))  # the sum, 120 000, is no float16
    shown = np.arange(400)[None] < 399
    np.testing.assert_array_equal(mean_pool(h, shown).numpy(), [[300, 300]])
    for value in (0.0, 1e-4):                               # 1e-12 is no float16 either
        direction = unit(tl.Tensor(np.full((1, 4), value, np.float16))).numpy()
        np.testing.assert_allclose(direction, np.full((1, 4), 0.5 * (value > 0)), atol=1e-3)
