"""Multi-token prediction: what is said where, and that one token is causal language modeling."""

import numpy as np
import pytest

from tests.pretrain.tiny import decoder
from tinylm.errors import ConfigError, ShapeError
from tinylm.pretrain import CausalLM
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.language.multi_token import MultiTokenHeads, MultiTokenLM

X = np.array([[5, 6, 7, 8, 9]])


def test_targets_are_the_next_tokens():
    batch = MultiTokenLM(3).make_batch(X)
    assert batch.inputs.tolist() == [[5, 6, 7, 8]] and batch.tokens == 4 + 3 + 2
    assert batch.targets[0].tolist() == [[6, 7, 8], [7, 8, 9], [8, 9, IGNORE], [9, IGNORE, IGNORE]]
    assert MultiTokenLM(2, ignore=9).make_batch(X).targets[0, -1].tolist() == [IGNORE, IGNORE]


def test_one_token_is_causal_language_modeling():
    model, one = decoder(), MultiTokenLM(1)
    heads = MultiTokenHeads(model, 1)
    causal = CausalLM().loss(model, CausalLM().make_batch(X))[0].item()
    assert one.loss(heads, one.make_batch(X))[0].item() == pytest.approx(causal, rel=1e-14)


@pytest.mark.parametrize("positions", ["learned", "rope", "alibi"])
def test_the_first_head_is_the_model_itself_and_no_head_sees_the_future(positions):
    model = decoder(positions=positions)
    heads, other = MultiTokenHeads(model, 3), X.copy()
    other[0, 3:] = 0
    logits = heads(X).numpy()
    np.testing.assert_allclose(logits[:, :, 0], model(X).numpy(), rtol=1e-12)
    assert np.array_equal(heads(other).numpy()[:, :3], logits[:, :3]) and logits.shape == (
        1,
        5,
        3,
        model.config.vocab_size,
    )
    assert np.abs(logits[:, :, 1] - logits[:, :, 2]).max() > 1e-6  # the further heads are their own


def test_heads_are_made_like_the_first_layer_which_may_not_turn():
    model = decoder(positions="rope", rotation=("none", "rope"), qk_norm="head")
    heads = MultiTokenHeads(model, 2)
    said = heads(X).numpy()
    head, h = heads.heads[0], model.hidden(X)
    np.testing.assert_allclose(said[:, :, 1], model.logits(head(h)).numpy(), rtol=1e-12)


def test_the_output_layer_is_shared_and_counted_once():
    model = decoder()
    block = sum(p.size for p in model.blocks[0].parameters())
    total = sum(p.size for p in model.parameters())
    assert sum(p.size for p in MultiTokenHeads(model, 3).parameters()) == total + 2 * block


def test_what_does_not_work_is_said():
    with pytest.raises(ConfigError, match="at least 1"):
        MultiTokenHeads(decoder(), 0)
    with pytest.raises(ShapeError, match="T >= 2"):
        MultiTokenLM(2).make_batch([[1]])
