"""Objectives are found by the names that papers and other programs give them."""

import pytest

from tinylm.errors import ConfigError
from tinylm.pretrain.objectives import OBJECTIVES, objective
from tinylm.pretrain.special import Special
from tinylm.pretrain.synonyms import BY_SYNONYM, SYNONYMS, canonical, near_names


@pytest.mark.parametrize(
    "said, meant",
    [
        ("mlm", "masked"),
        ("T5", "sentinels"),
        ("clm", "causal"),
        ("Electra", "replaced"),
        ("span", "spans"),
        ("span_corruption", "sentinels"),
        ("BART", "bart"),
        ("next_sentence", "next-sentence"),
        ("bert", "bert"),  # masked LM with next sentences, as in the paper
    ],
)
def test_a_synonym_means_an_objective(said, meant):
    assert canonical(said) == meant and meant in OBJECTIVES


def test_synonyms_are_of_objectives_and_never_of_two():
    assert set(SYNONYMS) <= set(OBJECTIVES)
    assert not set(BY_SYNONYM) & set(OBJECTIVES)
    assert len(BY_SYNONYM) == sum(map(len, SYNONYMS.values()))
    assert all(canonical(name) == name for name in OBJECTIVES)


def test_an_objective_is_made_by_its_synonym():
    special = Special.after(20)
    assert type(objective("mlm", special)) is type(objective("masked", special))


def test_an_unknown_name_names_near_synonyms_with_what_they_mean():
    assert near_names("elektra", OBJECTIVES)[0] == "electra (replaced)"
    assert near_names("zzz", OBJECTIVES) == [] and canonical("zzz") == "zzz"
    with pytest.raises(ConfigError, match=r"did you mean .*mlm \(masked\)"):
        objective("mlmm", special=Special.after(20))


def test_what_is_no_text_stays_for_the_check_of_its_type():
    assert canonical(None) is None and canonical(3) == 3
