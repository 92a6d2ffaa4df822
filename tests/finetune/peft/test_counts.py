"""The formulas for how much each method trains are what is found trained."""

import numpy as np
import pytest

from tests.finetune.peft.few_parameters import gpt
from tinylm.errors import ConfigError
from tinylm.finetune.freezing import count_trainable
from tinylm.finetune.peft.adapters import houlsby, pfeiffer
from tinylm.finetune.peft.counts import counts
from tinylm.finetune.peft.ia3 import ia3
from tinylm.finetune.peft.lora import lora
from tinylm.finetune.peft.partial import bitfit, last_layers, norms_only
from tinylm.finetune.peft.prefix import hidden_prefix, key_value_prefix
from tinylm.finetune.peft.soft_prompts import prompt_tuning, random_start


@pytest.mark.parametrize(
    "changes",
    [
        {"bias": False},
        {"norm": "rms"},
        {"norm_placement": "post"},
        {"qk_norm": "head"},
        {"activation": "swiglu"},
        {"kv_sharing": 2},
    ],
)
def test_other_models_have_other_formulas(changes):
    with pytest.raises(ConfigError, match="the formulas are those of a GPT with biases"):
        counts(gpt(positions="rope", **changes).config)


def test_every_formula_counts_what_is_trained():
    r, n = 3, 5
    for changes in ({}, {"n_kv_head": 1, "d_model": 12, "head_width": 4}):
        found = {
            "last layer": last_layers(gpt(**changes), 1),
            "bitfit": bitfit(gpt(**changes)),
            "norms": norms_only(gpt(**changes)),
            "lora q, v": lora(gpt(**changes), "qkv", r=r, parts="qv"),
            "lora all": lora(gpt(**changes), r=r),
            "adapters, Houlsby": houlsby(gpt(**changes), r),
            "adapters, Pfeiffer": pfeiffer(gpt(**changes), r),
            "ia3": ia3(gpt(**changes)),
            "prefix, states": hidden_prefix(gpt(**changes), n),
            "prefix, keys and values": key_value_prefix(gpt(**changes), n),
            "prompt tuning": prompt_tuning(
                model := gpt(**changes), random_start(model.tokens.weight, n)
            ),
        }
        assert {name: count_trainable(model) for name, model in found.items()} == counts(
            gpt(**changes).config, r, n
        )
    assert np.isclose(counts(gpt().config, r, n)["prefix, states"], 2 * 5 * 8)  # the book's L n d
