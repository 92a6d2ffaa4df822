"""The objectives do what their texts say, and the check rejects every objective that is wrong."""

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.denoising import seq2seq
from tinylm.pretrain.discriminative import contrastive, pairs, replaced
from tinylm.pretrain.masked import masked
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.mutants import CHECKED, fault, mutants, right
from tinylm.pretrain.score import masked_row_mean

SEEDS = range(12)


@pytest.mark.parametrize("name", CHECKED)
def test_an_objective_is_what_its_text_says(name):
    for seed in SEEDS:
        assert fault(name, right(name), Random(seed)) == ""


@pytest.mark.parametrize("name", CHECKED)
def test_every_wrong_objective_is_rejected(name):
    """Some errors are no errors on some draws: a class of one row, a guess that is never right."""
    accepted = [
        wrong.what
        for wrong in mutants(name)
        if not any(fault(name, wrong, Random(seed)) for seed in SEEDS)
    ]
    assert not accepted


# Errors planted in the code itself: (objective, module, function, what stands in its place).
PLANTED = [
    ("replaced", replaced, "replaced_labels", lambda original, filled: (original == filled) * 1),
    ("replaced", replaced, "row_means", lambda losses, counts: losses.mean(axis=1)),
    ("replaced", replaced, "MaskedLM", lambda special, shares: MaskedLM(special)),
    ("replaced", replaced, "sample_from", lambda logits, draws: logits.argmax(-1)),
    ("bert", pairs, "masked_row_mean", lambda *given: (masked_row_mean(*given)[0] * 2, None)),
    ("sentence-order", pairs, "SWAPPED", 0),
    ("masked", masked, "targets_at", lambda ids, chosen: np.where(chosen, moved(ids), IGNORE)),
    ("token-masking", seq2seq, "shifted", lambda targets, start, mask: targets),
    ("contrastive", contrastive, "unit", lambda x: x),
]


def moved(ids):
    return np.roll(ids, 1, axis=-1)


@pytest.mark.parametrize("name, module, function, wrong", PLANTED)
def test_an_error_in_the_code_is_found(name, module, function, wrong, monkeypatch):
    monkeypatch.setattr(module, function, wrong)
    assert any(fault(name, right(name), Random(seed)) for seed in SEEDS)


def test_there_are_mutants_of_every_kind_of_error():
    found = {wrong.what for name in CHECKED for wrong in mutants(name)}
    assert found >= {
        "labels inverted",
        "labels by mask position",
        "classes inverted",
        "targets one place later",
        "a sum for a mean",
        "[CLS] is judged",
        "the decoder reads the target",
    }
    assert sum(len(mutants(name)) for name in CHECKED) >= 100
