"""A label has the probability of all its words, with a causal and with a masked model."""

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks.verbalizer import FEELINGS, classify_by_verbalizer, label_masses, words_of

TEXT = "We love the bread here. So fresh!"


def test_the_label_is_that_with_the_largest_mass_of_words():
    p = {"happy": 0.03, "glad": 0.02, "satisfied": 0.02, "sad": 0.05, "angry": 0.005}
    p["disappointed"] = 0.001
    scores = {f" {word}": np.log(value) for word, value in p.items()}
    lm = ScriptedLM([(f"{TEXT} I'm", scores)])
    with lm.tracing() as trace:
        answer = classify_by_verbalizer(lm, Item(TEXT))
    # The most probable word is one of the other label.
    assert answer.value == "positive" and answer.text == "sad"
    assert answer.details["masses"]["positive"] == pytest.approx(np.log(0.07))
    assert answer.details["masses"]["negative"] == pytest.approx(np.log(0.056))
    assert trace.calls[0].parsed == [("label", "positive")]


def test_the_words_of_a_real_model_are_scored_by_the_chain_rule():
    lm = text_model()
    verbalizer = {"x": ("a", "bc"), "y": ("d",)}
    answer = classify_by_verbalizer(lm, Item("It."), verbalizer=verbalizer)
    words = lm.score("It. I'm", [" a", " bc", " d"]).sums
    expected = {"x": np.log(np.exp(words[:2]).sum()), "y": words[2]}
    assert answer.details["masses"] == pytest.approx(expected)
    by_token = classify_by_verbalizer(lm, Item("It."), verbalizer=verbalizer, normalization="token")
    assert by_token.details["masses"]["y"] == pytest.approx(words[2] / 2)
    scores = answer.details["scores"]
    assert label_masses(scores, verbalizer) == answer.details["masses"]


def test_each_label_needs_words_of_its_own():
    assert words_of(FEELINGS)[:3] == ["happy", "glad", "satisfied"] and len(words_of(FEELINGS)) == 6
    for wrong in ({}, {"a": ()}, {"a": ("x",), "b": ("x",)}, {"a": ("x",), "b": ()}):
        with pytest.raises(ConfigError, match="each label needs words of its own"):
            words_of(wrong)
