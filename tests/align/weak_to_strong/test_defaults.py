"""What holds where nothing is given."""

import inspect

import pytest

from tests.prompt.seeds import default_seeds
from tinylm.align import supervised, weak_to_strong
from tinylm.align.supervised.mitigations import tune
from tinylm.align.supervised.sft import sft_loss
from tinylm.align.weak_to_strong import cascade, distillation, ensembles

# Temperature 1 and token means are the book's; a large model is taken for ten times as dear; no
# remedy against forgetting is on.
DEFAULTS = [
    (sft_loss, {"how": "token", "total": None}),
    (tune, {"patience": None, "anchor": 0.0, "replay": 0.0}),
    (distillation.kd_loss, {"temperature": 1.0, "how": "token", "total": None}),
    (distillation.combined_loss, {"how": "token", "total": None}),
    (cascade.Cascade, {"costs": (1.0, 10.0)}),
    (cascade.curve, {"costs": (1.0, 10.0)}),
    (ensembles.Stacking.fit, {"epochs": 100, "learning_rate": 0.05}),
]


@pytest.mark.parametrize("function, defaults", DEFAULTS)
def test_defaults_are_the_plain_ones(function, defaults):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in defaults} == defaults


@pytest.mark.parametrize("room", [supervised, weak_to_strong])
def test_every_seed_is_0_unless_it_is_given(room):
    seeds = default_seeds(room)
    assert seeds and all(seed == 0 for seed in seeds)
