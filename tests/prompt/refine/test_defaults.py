"""The defaults: one seed, room for a paragraph, three iterations."""

import inspect

import pytest

from tinylm.prompt.refine.aspects import refine_aspects, translate
from tinylm.prompt.refine.brill import BrillTagger
from tinylm.prompt.refine.deliberate import deliberate, deliberate_negative
from tinylm.prompt.refine.self_refine import refinement, respond, self_refine

METHODS = refine_aspects, translate, deliberate, deliberate_negative, respond, self_refine


def defaults(function):
    """{name: default} of its arguments."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_every_method_has_the_same_seed_and_length(method):
    found = defaults(method)
    assert (found["seed"], found["max_tokens"], found["demonstrations"]) == (0, 256, ())


def test_other_defaults():
    assert defaults(self_refine)["max_iter"] == defaults(refinement)["max_iter"] == 3
    learn = defaults(BrillTagger.learn)
    assert (learn["most_rules"], learn["least_gain"]) == (50, 2)  # one error may be chance
