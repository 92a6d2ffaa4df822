"""A hash that tells weights apart."""

import numpy as np

from tests.prompt.small import text_model
from tinylm.prompt import ScriptedLM


def test_equal_weights_have_one_hash_and_one_changed_number_another():
    first, same, other = text_model(), text_model(), text_model(seed=1)
    hashed = first.weights()
    assert len(hashed) == 16 and same.weights() == hashed != other.weights()
    for weight in same.lm.model.parameters():
        kept = weight.data.flat[-1]
        weight.data.flat[-1] = np.nextafter(kept, np.inf)
        assert same.weights() != hashed
        weight.data.flat[-1] = kept
    assert same.weights() == hashed == first.raw().weights()
    # The same numbers in another shape
    gain = same.lm.model.norm.gain
    gain.data = gain.data[None]
    assert same.weights() != hashed


def test_a_model_without_weights_has_no_hash():
    assert ScriptedLM([]).weights() is None
