"""P-tuning: vectors behind a network, whose output may be kept in its place."""

import numpy as np
import pytest

from tests.finetune.peft.few_parameters import IDS, assert_only_these_learn, gpt
from tinylm.backend import Random
from tinylm.finetune.peft.prompt_encoder import MLP, BidirectionalLSTM, PromptEncoder, transformer
from tinylm.finetune.peft.soft_prompts import prompt_tuning

START = np.random.default_rng(0).normal(size=(3, 8))
NETWORKS = {
    "mlp": lambda: MLP(8, 6, 8, Random(0), np.float64),
    "lstm": lambda: BidirectionalLSTM(8, 5, 8, Random(0), np.float64),
    "transformer": lambda: transformer(8, 2, Random(0), np.float64),
}
SIZES = {
    "mlp": 9 * 6 + 7 * 8,
    "lstm": 2 * (8 * 20 + 20 + 5 * 20)
    + (11 * 5 + 6 * 8),  # two LSTMs of width 5, the MLP 10 -> 5 -> 8
    "transformer": 9 * 24 + 9 * 8 + 9 * 32 + 33 * 8 + 2 * 16,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_vectors_and_network_learn_and_what_is_kept_says_the_same(name):
    tuned = prompt_tuning(gpt(), PromptEncoder(START, NETWORKS[name]()))
    assert_only_these_learn(tuned, 3 * 8 + SIZES[name], learning_rate=0.02)
    live = tuned(IDS).numpy()
    sources = tuned.model.tokens.sources
    sources[0] = sources[0].cached()
    assert np.array_equal(tuned(IDS).numpy(), live) and sources[0].count_parameters() == 3 * 8


def test_without_a_network_it_is_prompt_tuning():
    assert np.array_equal(
        prompt_tuning(gpt(), PromptEncoder(START))(IDS).numpy(),
        prompt_tuning(gpt(), START)(IDS).numpy(),
    )


@pytest.mark.parametrize("name, sees", [("mlp", False), ("lstm", True), ("transformer", True)])
def test_a_sequence_model_makes_each_vector_from_all(name, sees):
    network, other = NETWORKS[name](), START.copy()
    other[2] *= -1
    first = [PromptEncoder(start, network)().numpy()[0] for start in (START, other)]
    assert np.allclose(*first, rtol=0, atol=1e-9) != sees
