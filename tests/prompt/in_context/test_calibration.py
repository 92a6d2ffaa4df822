"""Calibration takes back what a model prefers without a question, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.in_context.calibration import (
    Blank,
    batch_calibration,
    calibrated,
    content_free_prior,
    contextual_calibration,
    label_probabilities,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt

LABELS = "bad", "good"
FORM = FewShotPrompt("Judge.", "Text", "Label")
weights = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(np.array)


def log(*probabilities):
    """Scores of the two labels."""
    return dict(zip([" bad", " good"], np.log(probabilities)))


@given(weights, weights)
def test_the_laws_of_dividing_by_a_prior(a, b):
    p, prior = a / a.sum(), b / b.sum()
    assert np.allclose(calibrated(prior, prior), 1 / 3, atol=1e-15)  # no content: no preference
    assert np.allclose(calibrated(p, np.full(3, 1 / 3)), p, atol=1e-15)  # nothing to take back
    fair = calibrated(p, prior)
    assert np.isclose(fair.sum(), 1) and np.allclose(calibrated(p, 5 * prior), fair)
    odds = (fair[0] / fair[1]) / ((p[0] / p[1]) / (prior[0] / prior[1]))
    assert np.isclose(odds, 1)  # odds are divided by the prior's odds
    assert np.allclose(calibrated(np.array([p, prior]), prior), [fair, np.full(3, 1 / 3)])


def test_a_prior_that_cannot_divide_is_refused():
    with pytest.raises(DataError, match="must be 2 positive numbers"):
        calibrated([0.5, 0.5], [1.0, 0.0])
    with pytest.raises(DataError, match="must be 2 positive numbers"):
        calibrated([0.5, 0.5], [0.2, 0.3, 0.5])


def test_the_prior_is_the_mean_over_inputs_without_content():
    demos = [Item("fine", "good")]
    start = "Judge.\n\nText: fine\nLabel: good\n\nText: "
    lm = ScriptedLM(
        {
            f"{start}N/A\nLabel:": log(0.1, 0.3),  # 1/4 and 3/4 among the labels
            f"{start}\nLabel:": log(0.2, 0.2),
            f"{start}[MASK]\nLabel:": log(0.03, 0.01),
        }
    )
    prior = content_free_prior(lm, LABELS, demos, FORM)
    assert np.allclose(prior, [(0.25 + 0.5 + 0.75) / 3, (0.75 + 0.5 + 0.25) / 3])
    assert np.allclose(content_free_prior(lm, LABELS, demos, FORM, ["N/A"]), [0.25, 0.75])


def test_a_calibrated_answer_is_the_one_that_content_makes_more_probable():
    item = Item("dull", None, LABELS)
    table = {"Judge.\n\nText: dull\nLabel:": log(0.4, 0.6)}
    table.update({f"Judge.\n\nText: {x}\nLabel:": log(0.2, 0.8) for x in ("N/A", "", "[MASK]")})
    lm = ScriptedLM(table)
    with lm.tracing() as trace:
        answer = contextual_calibration(lm, item, prompt=FORM)
    # 0.4 / 0.2 against 0.6 / 0.8
    assert answer.value == "bad" and np.allclose(answer.details["calibrated"], [8 / 11, 3 / 11])
    assert np.allclose(answer.details["probabilities"], [0.4, 0.6])
    assert np.allclose(answer.details["prior"], [0.2, 0.8])
    assert trace.calls[-1].parsed == [("answer", "bad")]
    only = contextual_calibration(lm, item, prompt=FORM, inputs=["dull"])
    assert np.allclose(only.details["calibrated"], 0.5)


def test_an_input_without_content_becomes_uniform_under_a_real_model():
    lm = text_model()
    demos = [Item("no", "bad")]
    p = label_probabilities(lm, [Blank("N/A"), Item("dull")], LABELS, demos)
    prior = content_free_prior(lm, LABELS, demos, inputs=["N/A"])
    assert np.allclose(calibrated(p[0], prior), 0.5, atol=1e-12)
    assert abs(calibrated(p[1], prior)[0] - 0.5) > 1e-3
    shown = FewShotPrompt().prompt(Item("dull"), demos)
    assert np.allclose(p[1], lm.score(shown, [" bad", " good"]).probabilities(), atol=1e-12)


def test_a_batch_is_divided_by_its_own_mean():
    items = [Item(text, None, LABELS) for text in ("a", "b")]
    table = {"Q: a\nA:": log(0.3, 0.7), "Q: b\nA:": log(0.1, 0.9)}
    answers = batch_calibration(ScriptedLM(table), items)
    # Means 0.2 and 0.8: 0.3/0.2 > 0.7/0.8, and 0.1/0.2 < 0.9/0.8.
    assert [answer.value for answer in answers] == ["bad", "good"]
    prior = answers[0].details["prior"]
    assert np.allclose(prior, [0.2, 0.8])
    # Divided by their mean, the probabilities of a label have mean 1.
    divided = np.array([answer.details["probabilities"] for answer in answers]) / prior
    assert np.allclose(divided.mean(axis=0), 1)
    alone = batch_calibration(ScriptedLM(table), items[:1])[0]
    assert np.allclose(alone.details["calibrated"], 0.5)  # one question is its own mean
    form = ScriptedLM({"Judge.\n\nText: d\nLabel: good\n\nText: a\nLabel:": log(0.3, 0.7)})
    assert batch_calibration(form, items[:1], [Item("d", "good")], prompt=FORM)[0].value == "bad"


def test_a_question_that_is_too_long_has_no_part_in_the_mean():
    lm = text_model(context=64)
    items = [Item(text, None, LABELS) for text in ("a", "x" * 60, "b")]
    first, long, last = batch_calibration(lm, items)
    assert isinstance(long, DataError) and "have 67 tokens, and 59 are allowed" in str(long)
    alone = batch_calibration(lm, [items[0], items[2]])
    assert first.details["prior"] == pytest.approx(alone[0].details["prior"], rel=1e-9)
    assert (first.value, last.value) == (alone[0].value, alone[1].value)
    (only,) = batch_calibration(lm, items[1:2])
    assert isinstance(only, DataError)


def test_items_without_the_same_options_are_refused():
    lm = ScriptedLM({})
    with pytest.raises(DataError, match="needs items with options"):
        contextual_calibration(lm, Item("a"))
    with pytest.raises(DataError, match="needs items with options"):
        batch_calibration(lm, [])
    with pytest.raises(DataError, match="needs items with options"):
        batch_calibration(lm, [Item("a", None, LABELS), Item("b")])
    with pytest.raises(DataError, match="the same options"):
        batch_calibration(lm, [Item("a", None, LABELS), Item("b", None, LABELS[::-1])])
