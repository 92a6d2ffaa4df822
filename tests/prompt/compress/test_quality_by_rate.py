"""Every method at several rates, each length beside random deletions of it."""

import numpy as np
import pytest

from tests.prompt.compress.test_selective_context import is_subsequence
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.compress.llmlingua import llmlingua
from tinylm.prompt.compress.quality import Quality, quality
from tinylm.prompt.compress.quality_by_rate import RatePoint, quality_by_rate, shortened
from tinylm.prompt.compress.selective_context import selective_context

LM = text_model(n_layer=1, context=256)
SCORER = text_model(n_layer=1, context=256, seed=1)
ITEMS = [Item(f"{c}?", options=("x", "yy")) for c in "ab"]
INSTRUCTION = "Please choose one of the letters, in order to answer."
DEMOS = ["Q: c? A: x", "Q: d? A: yy"]
FULL = "\n\n".join([INSTRUCTION, *DEMOS])


def test_every_method_shortens_the_prompt_at_every_rate():
    found = shortened(LM, INSTRUCTION, DEMOS, (0.3, 0.6), "word")
    assert [(method, rate) for method, rate, _ in found] == [
        ("rules", None),
        ("selective-context", 0.3),
        ("selective-context", 0.6),
        ("llmlingua", 0.3),
        ("llmlingua", 0.6),
    ]
    texts = [text for _, _, text in found]
    assert texts[0].startswith("Choose one of the letters, to answer.\n\nQ: c?")
    assert texts[1] == selective_context(LM, FULL, 0.3, "word").text
    assert texts[4] == llmlingua(LM, INSTRUCTION, DEMOS, "", 0.6).text
    assert all(is_subsequence(text, FULL) and len(text) < len(FULL) for text in texts[1:])
    phrases = shortened(LM, INSTRUCTION, DEMOS, (0.3,))[1]
    assert phrases[2] == selective_context(LM, FULL, 0.3, "phrase").text
    quarters = [0.25, 0.5, 0.75]
    assert [rate for _, rate, _ in shortened(LM, INSTRUCTION)] == [None, *quarters, *quarters]
    points = quality_by_rate(LM, INSTRUCTION, ITEMS[:1], np.random.default_rng(0), draws=1)
    assert [point.rate for point in points] == [None, *quarters, *quarters]


def test_every_point_has_a_baseline_of_its_own_length():
    rng = np.random.default_rng(0)
    points = quality_by_rate(
        LM, INSTRUCTION, ITEMS, rng, DEMOS, rates=(0.5,), scorer=SCORER, unit="word", draws=2
    )
    texts = [text for _, _, text in shortened(SCORER, INSTRUCTION, DEMOS, (0.5,), "word")]
    assert [point.text for point in points] == texts
    for point in points:
        assert point.quality == quality(LM, FULL, point.text, ITEMS)
        assert point.quality.ratio == len(point.text) / len(FULL)
        assert len({one.divergence for one in point.random}) == 2
        assert {one.ratio for one in point.random} == {point.quality.ratio}
    # Scores of another model choose other words.
    own = quality_by_rate(LM, INSTRUCTION, ITEMS, rng, DEMOS, rates=(0.5,), unit="word", draws=1)
    assert own[1].text != points[1].text and len(own[1].random) == 1
    assert len(quality_by_rate(LM, "Go on.", ITEMS[:1], rng, rates=())[0].random) == 5


def test_all_of_a_prompt_costs_nothing_and_gains_nothing():
    points = quality_by_rate(LM, "Élan: go.", ITEMS, np.random.default_rng(0), rates=(1.0,))
    for point in points:
        assert point.text == "Élan: go."
        assert point.quality == Quality(1.0, 0, 1.0, pytest.approx(0, abs=1e-12))
        assert point.gain == pytest.approx(0, abs=1e-12)


def test_the_gain_is_what_chance_loses_more():
    random = [Quality(0.5, 1, 0.0, 3.0), Quality(0.5, 1, 0.0, 4.0)]
    assert RatePoint("rules", None, "", Quality(0.5, 1, 1.0, 1.0), random).gain == 2.5


def test_a_baseline_is_needed():
    with pytest.raises(ConfigError, match="draws=0 must be 1 or more"):
        quality_by_rate(LM, "Go.", ITEMS, np.random.default_rng(0), draws=0)
