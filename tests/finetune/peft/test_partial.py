"""Partial fine-tuning: which parameters a name of a method means, and that the others stay."""

import pytest

from tests.finetune.peft.few_parameters import assert_only_these_learn, encoder, gpt
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import trainable
from tinylm.finetune.peft.partial import bitfit, last_layers, norms_only
from tinylm.finetune.tasks.heads import Classifier


def test_bitfit_trains_every_bias_and_nothing_else():
    model = bitfit(gpt())
    names = {name for name in gpt().named_parameters().keys() if name.endswith(".bias")}
    # a layer: qkv 24, out 8, hidden 12, feed-forward out 8, two norms 16; and the last norm
    assert_only_these_learn(model, 2 * (24 + 8 + 12 + 8 + 16) + 8, names)


def test_norms_alone():
    norms = ["norm", *(f"blocks.{i}.norms.{j}" for i in (0, 1) for j in (0, 1))]
    names = {f"{norm}.{part}" for norm in norms for part in ("gain", "bias")}
    assert_only_these_learn(norms_only(gpt()), 5 * 16, names)
    assert {"embedding_norm.gain", "embedding_norm.bias"} < set(trainable(norms_only(encoder())))
    assert {f"encoder.{name}" for name in names} == set(trainable(norms_only(Classifier(gpt(), 2))))


def test_the_last_layers():
    names = {
        name for name in gpt().named_parameters().keys() if name.startswith(("blocks.1.", "norm."))
    }
    block = (8 + 1) * 24 + (8 + 1) * 8 + (8 + 1) * 12 + (12 + 1) * 8 + 2 * 16
    assert_only_these_learn(last_layers(gpt(), 1), block + 16, names)
    assert {name.split(".")[1] for name in trainable(last_layers(encoder(), 1))} == {"1"}
    every = trainable(last_layers(gpt(), 2))  # all but the embeddings
    assert set(gpt().named_parameters().keys()) - set(every) == {
        "tokens.weight",
        "positions.table.weight",
    }
    for k in (3, 0):
        with pytest.raises(ConfigError, match=f"{k} of 2 layers"):
            last_layers(gpt(), k)
