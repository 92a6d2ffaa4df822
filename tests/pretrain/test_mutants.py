"""The objectives do what their texts say, and the check rejects every objective that is wrong."""

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.pretrain import languages
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import SPECIAL
from tinylm.pretrain.denoising import sentinels, seq2seq, ul2
from tinylm.pretrain.discriminative import contrastive, pairs, replaced
from tinylm.pretrain.discriminative.pairs import pack
from tinylm.pretrain.language import fim, multi_token, prefix
from tinylm.pretrain.masked import masked, permuted, span_boundary
from tinylm.pretrain.masked.masked import MaskedLM, targets_at, with_cls
from tinylm.pretrain.masked.span_boundary import boundaries
from tinylm.pretrain.mutants import CHECKED, fault, mutants, right
from tinylm.pretrain.objectives import OBJECTIVES
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
    ("prefix", prefix, "prefix_mask", lambda T, k: np.tril(np.ones((len(k), T, T), bool))),
    ("prefix-seq2seq", prefix, "prefix_split", lambda ids, k: (ids[:k], ids[k + 1 :])),
    ("fim", fim, "fill_in_middle", lambda ids, first, second, special, order: backwards(ids)),
    ("multi-token", multi_token, "IGNORE", 0),
    ("span-boundary", span_boundary, "boundaries", lambda chosen: boundaries(moved(chosen))),
    ("mass", seq2seq, "masked_pair", lambda ids, chosen, mask: (ids, targets_at(ids, chosen))),
    ("bert-style", seq2seq, "targets_at", lambda ids, chosen: ids),
    ("sentinels", sentinels, "sentinel_spans", lambda ids, chosen, marks, close: (ids, ids)),
    ("ul2", ul2, "PrefixTask", lambda *shares: lambda ids, draws: (ids[:2], ids[3:])),
    ("translation", languages, "pack", lambda special, a, b: pack(special, b, a)),
    ("code-switching", languages, "switch_code", lambda ids, *others: (ids + 1) % 4),
    ("permuted", permuted, "with_cls", lambda ids, *others: moved(with_cls(ids, *others))),
]


def moved(ids):
    return np.roll(ids, 1, axis=-1)


def backwards(ids):
    """The marks, and the text from its end to its beginning."""
    marks = SPECIAL.prefix, SPECIAL.suffix, SPECIAL.middle
    return np.concatenate([marks, ids[::-1], [SPECIAL.end]])


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
    assert sum(len(mutants(name)) for name in CHECKED) >= 200


def test_every_objective_has_a_rule():
    assert set(CHECKED) == set(OBJECTIVES)
