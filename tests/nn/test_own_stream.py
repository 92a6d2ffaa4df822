"""Modules that are made without a generator draw from streams of their own."""

import json
import subprocess
import sys

import numpy as np
import pytest

import tinylm as tl
from tinylm import nn
from tinylm.nn.own_stream import OWN, own_stream

MAKERS = {
    "Linear": lambda *rng: nn.Linear(4, 6, *rng),
    "Embedding": lambda *rng: nn.Embedding(5, 4, *rng),
    "FeedForward": lambda *rng: nn.FeedForward(4, 8, *rng),
    "GatedFeedForward": lambda *rng: nn.GatedFeedForward(4, 8, *rng),
    "SelfAttention": lambda *rng: nn.SelfAttention(4, 2, *rng),
    "CrossAttention": lambda *rng: nn.CrossAttention(4, 2, *rng),
    "LearnedPositions": lambda *rng: nn.LearnedPositions(5, 4, *rng),
    "MixtureOfExperts": lambda *rng: nn.experts.MixtureOfExperts(4, 8, *rng, experts=2),
}


def matrices(module):
    return [p.numpy() for p in module.parameters() if p.ndim > 1]


@pytest.mark.parametrize("name", MAKERS)
def test_two_modules_of_a_process_differ_in_every_matrix(name):
    first, second = MAKERS[name](), MAKERS[name]()
    for a, b in zip(matrices(first), matrices(second)):
        assert not np.array_equal(a, b) and a.std() > 0


@pytest.mark.parametrize("name", MAKERS)
def test_a_given_generator_is_the_one_that_draws(name):
    first, second = MAKERS[name](tl.Random(5)), MAKERS[name](tl.Random(5))
    for a, b in zip(matrices(first), matrices(second)):
        np.testing.assert_array_equal(a, b)


def test_the_matrices_inside_one_module_differ():
    layer = nn.FeedForward(4, 4)
    assert not np.array_equal(layer.hidden.weight.numpy(), layer.out.weight.numpy())


def test_a_program_that_runs_again_draws_the_same_weights():
    code = """
import json
from tinylm import nn
layers = [nn.Linear(2, 2), nn.Embedding(2, 2), nn.SelfAttention(2, 1)]
print(json.dumps([p.tolist() for layer in layers for p in layer.parameters()]))
"""
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert json.loads(runs[0].stdout) == json.loads(runs[1].stdout)


def test_none_is_still_a_placeholder_and_a_generator_is_returned_as_it_is():
    assert own_stream(None) is None and nn.Linear(3, 4, None).weight.data.strides == (0, 0)
    rng = tl.Random(1)
    assert own_stream(rng) is rng
    first, second = own_stream(OWN), own_stream(OWN)
    assert first.path != second.path and first.seed == 0


def test_attention_drops_by_a_stream_of_its_own():
    attention = nn.SelfAttention(4, 2, dropout=0.5)
    assert attention.rng is not OWN and attention.rng is not nn.SelfAttention(4, 2).rng


def test_a_bias_in_the_place_of_the_generator_is_explained():
    with pytest.raises(tl.errors.ConfigError, match="rng must be .*, not False; .* bias=False"):
        nn.Linear(3, 4, False)
