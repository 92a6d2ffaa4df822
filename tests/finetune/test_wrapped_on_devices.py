"""Models inside others train on every device, dropout too: its stream moves with the parameters."""

import numpy as np
import pytest

from tests.finetune.tasks.heads_small import INPUTS, encoder
from tinylm.finetune import fit
from tinylm.finetune.compress.early_exit import EarlyExit, ExitTask
from tinylm.finetune.compress.length_adaptive import LengthAdaptive
from tinylm.finetune.context.context_distillation import AnswerLikelihood
from tinylm.finetune.context.contexts import ContextExample
from tinylm.finetune.context.gist import GistCompressor
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.peft.lora import lora
from tinylm.finetune.peft.prefix import hidden_prefix, key_value_prefix
from tinylm.finetune.peft.quantized_base import quantize_linears
from tinylm.finetune.peft.soft_prompts import prompt_tuning, random_start
from tinylm.finetune.tasks.classify import Classification, Regression
from tinylm.finetune.tasks.heads import Classifier, Regressor
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.pretrain.language.causal import CausalLM

TEXTS = [([1, 2], 0), ([3], 1), ([4, 5, 6], 1)]
CONTEXTS = [ContextExample((1, 2, 3), (4,), (5, 6)), ContextExample((1,), (4, 2), (5,))]
TALKS = [encode_sft([1, 2, 3], [4, 5]), encode_sft([6, 7], [8])]
IDS = [np.array([1, 2, 3, 4]), np.array([4, 3, 2, 1])]


def gpt(**changes):
    return GPT(
        GPTConfig(
            vocab_size=11, context=24, n_layer=2, n_head=2, d_model=32, dropout=0.1, **changes
        ),
        seed=1,
    )


def prompted():
    model = gpt()
    return prompt_tuning(model, random_start(model.tokens.weight, 2))


WRAPPED = {
    "regressor": (lambda: Regressor(encoder(dropout=0.1)), Regression(INPUTS), TEXTS),
    "exits": (lambda: EarlyExit(encoder(dropout=0.1), 2), ExitTask(Classification(INPUTS)), TEXTS),
    "shortened": (
        lambda: Classifier(LengthAdaptive(encoder(dropout=0.1)), 2),
        Classification(INPUTS),
        TEXTS,
    ),
    "prompt": (prompted, CausalLM(), IDS),
    "keys and values": (lambda: key_value_prefix(gpt(), 2), CausalLM(), IDS),
    "states": (lambda: hidden_prefix(gpt(), 2), CausalLM(), IDS),
    "gist": (lambda: GistCompressor(gpt(), 2), AnswerLikelihood(), CONTEXTS),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_stands_around_a_model_moves_its_dropout_too(name, device):
    make, task, examples = WRAPPED[name]
    here, there = (
        fit(make().to(place), task, examples, steps=2, batch_size=2) for place in ("cpu", device)
    )
    np.testing.assert_allclose(there, here, rtol=1e-5)  # float32


@pytest.mark.parametrize("moved_first", [True, False])
def test_lora_is_where_the_model_is_though_quantized_weights_do_not_tell(moved_first, device):
    model = gpt(bias=False)
    if moved_first:
        model.to(device)
    quantize_linears(model, "qkv")
    lora(model.to(device), "qkv", r=2, dropout=0.1)
    assert {p.device for p in model.parameters()} == {device} == {model.rng.device}
    assert np.isfinite(fit(model, InstructionTuning(), TALKS, steps=1)).all()
