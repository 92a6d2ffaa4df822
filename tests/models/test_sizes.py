"""Counting parameters: the closed form against models that were built, and the book's Table 2.2."""
import dataclasses
import itertools

import pytest

from tinylm.models import GPT, GPTConfig
from tinylm.models.sizes import TABLE_2_2, ModelSize

CHOICES = {"norm": ["layer", "rms"], "norm_placement": ["pre", "post", "branch"], "activation": ["gelu", "swiglu"],
           "positions": ["learned", "rope"], "bias": [True, False], "tied": [True, False], "n_kv_head": [None, 2, 1]}


def test_the_closed_form_counts_what_is_built_for_every_combination_of_parts():
    for values in itertools.product(*CHOICES.values()):
        config = GPTConfig(vocab_size=7, context=5, n_layer=1, n_head=4, d_model=8, **dict(zip(CHOICES, values)))
        assert ModelSize.of(config).parameters() == GPT(config).count_parameters(), config


def test_depth_and_hidden_width_count_too():
    config = GPTConfig(vocab_size=7, context=5, n_layer=3, n_head=2, d_model=8, d_hidden=11)
    assert ModelSize.of(config).parameters() == GPT(config).count_parameters()


# Published totals of the models; LLaMA, Mistral, Qwen and GPT-1/2 as their authors' checkpoints hold them.
EXACT = {"GPT-1": 116_534_784, "GPT-2": 1_557_611_200, "GPT-3": 174_604_259_328, "LLaMA2-7B": 6_738_415_616,
         "LLaMA2-13B": 13_015_864_320, "LLaMA2-70B": 68_976_648_192, "LLaMA3-8B": 8_030_261_248,
         "LLaMA3-70B": 70_553_706_496, "LLaMA3.1-405B": 405_853_388_800, "Gemma2-2B": 2_614_341_888,
         "Gemma2-9B": 9_241_705_984, "Gemma2-27B": 27_227_128_320, "Qwen2.5-0.5B": 494_032_768,
         "Qwen2.5-7B": 7_615_616_512, "Qwen2.5-72B": 72_706_203_648, "Mistral-7B": 7_241_732_096}


@pytest.mark.parametrize("name", EXACT)
def test_table_2_2_comes_out_to_the_last_parameter(name):
    assert TABLE_2_2[name].parameters() == EXACT[name]


def test_gpt_2_small_has_124_million():
    assert ModelSize.of(GPTConfig(vocab_size=50257)).parameters() == 124_439_808       # the defaults are GPT-2's


def test_printed_heads_that_cannot_be_give_a_total_that_is_not_the_printed_one():
    """The count is evidence: with the heads of the table, LLaMA2-70B, Mistral and Falcon would be 8 to 19 % larger."""
    for name, size in TABLE_2_2.items():
        if name != "Gemma2-27B":                            # printed as 37B: the heads are right, the name is not
            assert abs(size.parameters() / size.printed / 1e9 - 1) < 0.34, name   # Gemma2-2B rounds 2.6 down to 2
        if size.printed_kv:
            wrong = dataclasses.replace(size, n_kv_head=size.printed_kv).parameters()
            assert abs(wrong / size.printed / 1e9 - 1) > abs(size.parameters() / size.printed / 1e9 - 1), name
            assert 1.08 < wrong / size.parameters() < 1.20
