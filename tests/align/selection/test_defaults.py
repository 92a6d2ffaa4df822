"""What holds where nothing is given: defaults and their sources, and seeds of 0."""

import inspect

import pytest

from tests.prompt.seeds import default_seeds
from tinylm.align import selection
from tinylm.align.selection import clusters, influence, perplexity, quality, superficial

# Kingma and Ba 2015: Adam's constants. Lin et al. 2024: a shift is a rank of 3 or more. A judge's
# score comes first, so 16 tokens are enough for it.
DEFAULTS = [
    (influence.adam_direction, {"betas": (0.9, 0.999), "eps": 1e-8}),
    (clusters.cluster_and_rank, {"per_cluster": 1, "best": 0}),
    (quality.lm_judge, {"max_tokens": 16}),
    (perplexity.cross_entropies, {"batch_size": 16}),
]


@pytest.mark.parametrize("function, defaults", DEFAULTS)
def test_defaults_are_those_of_the_papers(function, defaults):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in defaults} == defaults


def test_constants_are_those_of_the_papers():
    assert superficial.MARGINAL == 3 and quality.THRESHOLD == 4.5


def test_every_seed_is_0_unless_it_is_given():
    seeds = default_seeds(selection)
    assert seeds and all(seed == 0 for seed in seeds)
