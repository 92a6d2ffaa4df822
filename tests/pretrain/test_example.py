"""An example is the batch of the objective that trains, and nothing else."""

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.example import TEXT, example
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.objectives import OBJECTIVES


def test_the_batch_is_what_the_objective_makes_of_the_words():
    made = example("masked", TEXT, seed=3)
    ids = made.words.ids(TEXT)[None]
    batch = MaskedLM(made.words.special).make_batch(ids, Random(3, "corrupt"))
    np.testing.assert_array_equal(made.batch.inputs, batch.inputs)
    np.testing.assert_array_equal(made.batch.targets, batch.targets)
    assert dict(made.rows)["input"] == made.words.show(batch.inputs[0])


def test_patterns_are_labeled_by_what_is_read():
    made = example("sentinels", TEXT)
    rows = dict(made.rows)
    for name, mask, queries, keys in made.patterns:
        assert mask.shape == (len(queries), len(keys))
        assert queries == (rows["source"] if name == "encoder" else rows["reads"])
        assert keys == (rows["reads"] if name == "decoder" else rows["source"])


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(DataError, match="fewer than two words"):
        example("causal", "Hello")
    with pytest.raises(ConfigError, match="did you mean"):
        example("maskd", TEXT)
    with pytest.raises(ConfigError, match="two sentences"):
        example("translation", TEXT)
    assert {example(name, TEXT).recipe.name for name in OBJECTIVES if name != "translation"}
