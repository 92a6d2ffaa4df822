"""ModelLM: a model behind the protocol, and the checks of what it is asked to read."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import EnumerableLM, ModelLM, as_language_model


def test_next_logits_are_the_last_row_of_logits(gpt):
    lm, ids = ModelLM(gpt()), np.array([[0, 3, 1], [2, 2, 4]])
    np.testing.assert_allclose(lm.next_logits(ids), lm.logits(ids)[:, -1], rtol=0, atol=1e-14)


def test_changing_a_future_token_leaves_earlier_logits_bit_identical(gpt):
    lm, ids = ModelLM(gpt(context=8)), np.array([[0, 3, 1, 4, 2, 0, 1, 1]])
    before = lm.logits(ids)
    for j in range(1, 8):
        changed = ids.copy()
        changed[0, j] = (ids[0, j] + 1) % 5
        after = lm.logits(changed)
        np.testing.assert_array_equal(after[0, :j], before[0, :j])
        assert (after[0, j] != before[0, j]).any()


@pytest.mark.parametrize(
    "changes", [{}, {"positions": "rope", "n_kv_head": 1}], ids=["learned", "rope, one kv head"]
)
def test_padding_at_the_left_changes_nothing(gpt, changes):
    lm, short, long = ModelLM(gpt(**changes)), [3, 1], [0, 4, 2, 2, 1]
    cache = lm.new_cache(2, padding=[3, 0])
    together = [
        lm.next_logits(np.array([[0, 0, 0, *short], long]), cache),
        lm.next_logits(np.array([[4], [3]]), cache),
    ]
    for row, prompt, new in (0, short, 4), (1, long, 3):
        alone = lm.new_cache(1)
        for logits, ids in zip(together, (prompt, [new])):
            np.testing.assert_allclose(
                logits[row], lm.next_logits(np.array([ids]), alone)[0], rtol=0, atol=1e-12
            )


def test_dropout_is_off_while_reading_and_training_mode_is_given_back(gpt):
    model = gpt(dropout=0.5).train()
    lm, ids = ModelLM(model), np.array([[0, 1, 2]])
    np.testing.assert_array_equal(lm.logits(ids), lm.logits(ids))
    assert model.training


def test_the_output_layer_scores_one_position_where_one_is_asked_for(gpt, monkeypatch):
    model, read = gpt(), []
    scores = type(model).logits
    monkeypatch.setattr(
        type(model),
        "logits",
        lambda self, hidden: (read.append(hidden.shape), scores(self, hidden))[1],
    )
    ModelLM(model).next_logits(np.array([[0, 1, 2], [4, 4, 1]]))
    assert read == [(2, 8)]  # (B, D), not (B, T, D)


class OnlyCalled:
    """The least that a model can be: parameters, a configuration, and a call."""

    def __init__(self, model):
        self.model, self.config, self.parameters = model, model.config, model.parameters

    def __call__(self, ids, **options):
        return self.model(ids, **options)


def test_a_model_that_can_only_be_called_is_read_the_same(gpt):
    lm, ids = ModelLM(OnlyCalled(gpt())), np.array([[0, 3, 1], [2, 2, 4]])
    np.testing.assert_array_equal(lm.logits(ids), ModelLM(gpt()).logits(ids))
    np.testing.assert_array_equal(lm.next_logits(ids), lm.logits(ids)[:, -1])
    with pytest.raises(ConfigError, match="a OnlyCalled does not show its hidden states"):
        lm.hidden_and_logits(ids)


def test_states_and_scores_of_one_reading_belong_together(gpt):
    model, ids = gpt(), np.array([[0, 3, 1], [2, 2, 4]])
    states, scores = ModelLM(model).hidden_and_logits(ids)
    assert states.shape == (2, 3, 8) and scores.shape == (2, 3, 5)
    np.testing.assert_array_equal(scores, model.logits(model.hidden(ids)).data)
    np.testing.assert_array_equal(states, model.hidden(ids).data)


def test_a_new_cache_is_as_the_model_needs_it(gpt):
    model = gpt(n_layer=3, n_head=4, n_kv_head=2, d_model=16, dtype=np.float32)
    cache = ModelLM(model).new_cache(5, capacity=6)
    assert (cache.layers, cache.batch, cache.kv_heads, cache.head_width) == (3, 5, 2, 4)
    assert cache.dtype == np.float32 and (cache.capacity, cache.length) == (6, 0)
    # All heads have keys of their own where the model does not group them.
    assert ModelLM(gpt(n_head=4)).new_cache(1).kv_heads == 4


def test_an_id_outside_the_vocabulary_is_named_with_its_size(gpt):
    with pytest.raises(DataError, match="token id 5 is outside the vocabulary of 5"):
        ModelLM(gpt()).logits(np.array([[0, 5]]))
    with pytest.raises(DataError, match="float64"):
        ModelLM(gpt()).logits(np.array([[0.0]]))


def test_reading_past_the_context_is_refused(gpt):
    lm = ModelLM(gpt(context=4))
    cache = lm.new_cache(1)
    lm.logits(np.array([[0, 1, 2]]), cache)
    with pytest.raises(
        ShapeError, match="3 tokens in the cache and 2 new ones go past the context of 4"
    ):
        lm.logits(np.array([[0, 1]]), cache)


@pytest.mark.parametrize(
    "tokens", [[0, 1], [[]], np.zeros((0, 2), int)], ids=["one axis", "no tokens", "no rows"]
)
def test_tokens_of_the_wrong_shape_are_refused(gpt, tokens):
    with pytest.raises(ShapeError, match=r"\(B, T\)"):
        ModelLM(gpt()).logits(np.array(tokens))


def test_models_and_language_models_are_told_apart(gpt):
    lm = EnumerableLM.random(3, 2)
    assert as_language_model(lm) is lm
    assert isinstance(as_language_model(gpt()), ModelLM)
    with pytest.raises(ConfigError, match="a str is no language model"):
        as_language_model("gpt2")
