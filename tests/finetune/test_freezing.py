"""Frozen parameters get no gradient and are still parameters."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.finetune.freezing import (
    count_trainable,
    freeze,
    frozen,
    matching,
    only,
    stages,
    trainable,
    unfreeze,
)
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.optim import FlatParameters

IDS = np.array([[1, 2, 3, 4]])


def encoder():
    return Encoder(
        EncoderConfig(vocab_size=11, context=4, n_layer=2, n_head=2, d_model=8, dropout=0.0),
        dtype=np.float64,
    )


def test_a_frozen_model_is_saved_loaded_and_counted_like_any_other():
    model = encoder()
    names, size = list(model.named_parameters().keys()), model.count_parameters()
    freeze(model)
    assert (
        list(model.named_parameters().keys()) == names
        and model.count_parameters() == size
        and count_trainable(model) == 0
    )
    other = Encoder(model.config, seed=1, dtype=np.float64)
    other.load_state_dict(model.state_dict())
    assert np.array_equal(other(IDS).data, model(IDS).data)
    assert "frozen" in repr(model)


def test_only_what_matches_gets_a_gradient():
    model = only(encoder(), "*.bias")
    model(IDS).sum().backward()
    got = {name for name, p in model.named_parameters().items() if p.grad is not None}
    assert got and all(name.endswith(".bias") for name in got)
    assert set(FlatParameters(model.named_parameters()).names) == set(trainable(model))


def test_counts_are_those_of_the_shapes():
    model = only(encoder(), "blocks.*.attention.qkv.*")
    assert count_trainable(model) == 2 * (8 * 24 + 24)  # two layers, D = 8, biases
    unfreeze(model)
    assert count_trainable(model) == model.count_parameters()


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(ConfigError, match="no parameter is named like blocks.7"):
        matching(encoder(), "*.bias", "blocks.7.*")


def test_the_model_thaws_from_its_end():
    model, thawed = encoder(), []
    for _ in stages(
        model,
        [
            ["tokens.*", "positions.*", "segments.*", "embedding_norm.*"],
            ["blocks.0.*"],
            ["blocks.1.*"],
        ],
    ):
        thawed.append(
            {
                name.split(".")[0] + name.split(".")[1] * name.startswith("blocks")
                for name in trainable(model)
            }
        )
    assert len(thawed) == 3
    assert thawed == [
        {"blocks1"},
        {"blocks0", "blocks1"},
        {"blocks0", "blocks1", "tokens", "positions", "segments", "embedding_norm"},
    ]


def test_frozen_for_a_while():
    model = only(encoder(), "blocks.1.*")
    before = set(trainable(model))
    with frozen(model):
        assert not trainable(model)
    assert set(trainable(model)) == before


@pytest.mark.parametrize("what", ["head", ["head.weight"], 3, None])
def test_what_is_no_parameter_is_refused_with_the_way_by_name(what):
    for change in (freeze, unfreeze):
        with pytest.raises(ConfigError, match="matching"):
            change(what)
