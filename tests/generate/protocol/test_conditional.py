import numpy as np
import pytest

from tinylm.errors import DataError, ShapeError
from tinylm.generate import generate, generate_batch
from tinylm.generate.protocol.conditional import Conditional
from tinylm.models.encoder.presets import build, tiny

SOURCE = np.array([[5, 6, 7, 8, 9], [9, 3, 5, 4, 4]])
TARGET = np.array([[0, 4, 8, 2], [0, 7, 7, 1]])


@pytest.fixture(params=["t5-small", "t5-v1.1-small", "bart-base", "mbart-large"])
def model(request):
    model = build(tiny(request.param), 3, dtype=np.float64)
    for p in model.parameters():  # initial weights are small; larger ones make sources matter
        p.data[...] += 0.3 * np.random.default_rng(p.size).normal(size=p.shape)
    return model.eval()


def test_a_cache_changes_nothing(model):
    lm, whole = Conditional(model, SOURCE), model(SOURCE, TARGET).numpy()
    cache = lm.new_cache(2)
    parts = [
        lm.logits(TARGET[:, :2], cache),
        lm.logits(TARGET[:, 2:3], cache),
        lm.logits(TARGET[:, 3:], cache),
    ]
    np.testing.assert_allclose(
        np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-12
    )  # sums in another order
    np.testing.assert_allclose(lm.logits(TARGET), whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(lm.next_logits(TARGET), whole[:, -1], rtol=0, atol=1e-12)


def test_one_source_serves_all_rows(model):
    both = Conditional(model, SOURCE[:1]).logits(TARGET)
    np.testing.assert_allclose(
        both[1], Conditional(model, SOURCE[0]).logits(TARGET[1:])[0], atol=1e-12
    )


def test_selected_rows_take_their_sources_along(model):
    lm = Conditional(model, SOURCE)
    cache = lm.new_cache(2)
    lm.logits(TARGET[:, :2], cache)
    cache.select([1, 1, 0])
    found = lm.next_logits(TARGET[[1, 1, 0], 2:3], cache)
    expected = model(SOURCE, TARGET[:, :3]).numpy()[[1, 1, 0], -1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_padding_of_source_and_prompt_is_not_seen(model):
    mask = np.array([[False, True, True, True, True]])
    start = model.config.start
    padded = Conditional(model, SOURCE[:1], mask)
    cache = padded.new_cache(1, np.array([2]))
    after = padded.logits(np.array([[9, 9, start, 4]]), cache)[:, 2:]
    if model.config.positions == "t5":  # distances alone count, so what is left stands as before
        alone = Conditional(model, SOURCE[:1, 1:]).logits(np.array([[start, 4]]))
        np.testing.assert_allclose(after, alone, rtol=0, atol=1e-12)
    other = Conditional(model, np.where(mask, SOURCE[:1], 1), mask)
    np.testing.assert_array_equal(
        other.logits(np.array([[3, 8, start, 4]]), other.new_cache(1, np.array([2])))[:, 2:], after
    )


def test_generation_depends_on_the_source_and_is_the_greedy_choice(model):
    first, second = (
        list(generate(Conditional(model, source), [0], 6, temperature=0)) for source in SOURCE
    )
    assert generate_batch(Conditional(model, SOURCE), [[0], [0]], 6, temperature=0) == [
        first,
        second,
    ]
    logits = model(SOURCE[:1], np.array([[0, *first[:-1]]])).numpy()[0]
    assert logits.argmax(-1).tolist() == first
    one, other = Conditional(model, SOURCE).next_logits(np.array([[0], [0]]))
    assert np.max(np.abs(one - other)) > 1e-3  # the source is heard at all


def test_as_many_sources_as_rows_or_one():
    lm = Conditional(build(tiny("bart-base")), SOURCE)
    with pytest.raises(ShapeError, match="3 rows of targets for 2 sources"):
        lm.new_cache(3)
    with pytest.raises(DataError, match="outside the vocabulary of 31"):
        Conditional(build(tiny("bart-base")), [31])


@pytest.mark.parametrize("training", [True, False])
def test_it_scores_without_dropout_and_leaves_the_model_in_the_mode_it_found(training):
    model = build(tiny("bart-base", dropout=0.5), 3, dtype=np.float64)
    expected = Conditional(model.eval(), SOURCE).logits(TARGET)
    if training:
        model.train()
    np.testing.assert_array_equal(Conditional(model, SOURCE).logits(TARGET), expected)
    assert model.training == training
    assert all(block.training == training for block in model.decoder.blocks)
