import dataclasses

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.models.encoder.presets import (
    ENCODER_FAMILIES,
    SEQ2SEQS,
    build,
    electra_pair,
    note,
    preset,
    tiny,
)


@pytest.mark.parametrize("name", ENCODER_FAMILIES)
def test_every_family_has_a_small_model_of_the_same_parts(name):
    config, ids = tiny(name), np.array([[3, 4, 5]])
    model = build(config).eval()
    assert model.count_parameters() < 20_000
    languages = {"languages": 1} if getattr(config, "languages", 0) else {}
    if name in SEQ2SEQS:
        out = model(ids, ids)
    else:
        out = model(ids, **languages) if getattr(config, "head", "logits") else model.hidden(ids)
    assert np.isfinite(out.numpy()).all()


def test_tiny_keeps_the_words_and_changes_the_sizes():
    sizes = {
        "vocab_size",
        "n_layer",
        "n_head",
        "d_model",
        "d_hidden",
        "context",
        "d_embed",
        "languages",
        "head_width",
        "buckets",
        "max_distance",
        "embedding_scale",
        "logit_scale",
    }
    for name in ENCODER_FAMILIES:
        whole, small = dataclasses.asdict(preset(name)), dataclasses.asdict(tiny(name))
        assert {k for k in whole if whole[k] != small[k]} <= sizes


def test_placeholders_count_without_memory():
    model = build(preset("t5-11b"), None)
    assert model.count_parameters() == 11_307_321_344  # 45 GB in float32, were they there
    assert all(p.data.strides == (0,) * p.ndim or p.ndim < 2 for p in model.parameters())


def test_a_name_that_does_not_exist_gets_the_near_ones():
    with pytest.raises(ConfigError, match="did you mean .*roberta-base"):
        preset("roberta-bas")
    with pytest.raises(ConfigError, match="no pair"):
        electra_pair("bert-base-uncased")


def test_every_family_has_a_note():
    assert all(note(name) for name in ENCODER_FAMILIES)


def test_a_part_of_a_name_gets_the_four_nearest_and_anything_else_the_whole_list():
    with pytest.raises(ConfigError) as told:
        preset("bert")  # BERT's own names are longer than those of its relatives
    four = "roberta-base or spanbert-base or roberta-large or bart-base"
    assert str(told.value) == f"no model 'bert': did you mean {four}?"
    with pytest.raises(ConfigError) as told:
        preset("gpt")
    assert str(told.value) == f"no model 'gpt': there are {', '.join(ENCODER_FAMILIES)}"
