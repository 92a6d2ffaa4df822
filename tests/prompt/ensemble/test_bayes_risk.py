"""Minimum Bayes risk: the rules that it contains."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.small import Chat, text_model
from tinylm.data.read.items import Item
from tinylm.errors import DataError, ShapeError
from tinylm.generate import EnumerableLM
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.bayes_risk import (
    absolute,
    least_risk,
    minimum_risk,
    overlap_risk,
    risks,
    squared,
    zero_one,
)
from tinylm.prompt.ensemble.combine import edit_similarity, vote
from tinylm.prompt.evaluation.judge import answer_key

numbers = st.lists(st.integers(-20, 20), min_size=1, max_size=9)


def test_the_risks_of_the_book_example():
    # Two samples say 3/8 and one says 1/3: risks 1/3 and 2/3.
    values = [answer_key(text) for text in ("3/8", "0.375", "1/3")]
    np.testing.assert_allclose(risks(values), [1 / 3, 1 / 3, 2 / 3], rtol=0, atol=1e-15)
    assert minimum_risk(values).value == answer_key("37.5%")


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9))
def test_zero_one_risk_is_the_majority_vote(values):
    found = minimum_risk(values)
    assert found.value == vote(values).value == values[found.number]
    assert found.risks[found.number] == pytest.approx(1 - vote(values).confidence)


def test_zero_one_risk_on_whole_strings_is_the_most_probable_string():
    strings, probabilities = EnumerableLM.random(3, 3, seed=4).all_strings(0)
    strings = [tuple(string) for string in strings.tolist()]
    found = minimum_risk(strings, zero_one, weights=probabilities)
    assert found.number == probabilities.argmax()
    np.testing.assert_allclose(found.risks, 1 - probabilities, rtol=0, atol=1e-12)


def test_overlap_of_whole_strings_may_choose_another_than_the_most_probable():
    # Two strings that share all but one token have more in common than the single best string.
    strings = ["c c c", "b b y", "b b z"]
    weights = [0.4, 0.3, 0.3]
    assert minimum_risk(strings, zero_one, weights=weights).value == "c c c"
    found = minimum_risk(strings, overlap_risk(edit_similarity), weights=weights)
    assert found.value == "b b y"
    # 1 - (.3 + .3 * 2/3) of the second and third.
    np.testing.assert_allclose(found.risks, [0.6, 0.5, 0.5], rtol=0, atol=1e-12)


@given(numbers)
def test_squared_risk_is_least_nearest_the_mean(values):
    found = minimum_risk(values, squared)
    mean = np.mean(values)
    assert abs(found.value - mean) == pytest.approx(min(abs(v - mean) for v in values), abs=1e-9)
    # Risk(y) = (y - mean)^2 + variance.
    np.testing.assert_allclose(
        found.risks, (np.array(values) - mean) ** 2 + np.var(values), atol=1e-9
    )


@given(numbers)
def test_absolute_risk_is_least_at_the_median(values):
    found = minimum_risk(values, absolute)
    ordered = sorted(values)
    n = len(ordered)
    assert ordered[(n - 1) // 2] <= found.value <= ordered[n // 2]


def test_mean_and_median_and_majority_differ():
    values = [0, 0, 5, 6, 7, 20, 30]
    assert minimum_risk(values, zero_one).value == 0
    assert minimum_risk(values, absolute).value == 6
    assert minimum_risk(values, squared).value == 7  # the mean is 9.7


def test_references_and_weights():
    # Candidates that no reference supports, and one reference with all of the weight.
    found = minimum_risk([1, 4], squared, references=[5, 0], weights=[3, 0])
    assert (found.value, found.number, found.risks.tolist()) == (4, 1, [16.0, 1.0])
    assert risks([1], squared, references=[0, 2, 5], weights=[1, 1, 2]).tolist() == [8.5]


def test_equal_risks_go_to_the_first_in_order():
    assert minimum_risk(["b", "a"]).value == "a"
    assert minimum_risk([3, 1], squared).value == 1


def test_what_is_no_distribution_is_refused():
    with pytest.raises(DataError, match="no candidate"):
        minimum_risk([])
    with pytest.raises(ShapeError, match=r"shape \(1,\), and there are 2 references"):
        risks([1, 2], weights=[1])
    for weights in ([1, -1], [0, 0]):
        with pytest.raises(DataError, match="no distribution"):
            risks([1, 2], weights=weights)
    with pytest.raises(DataError, match="no distribution"):
        risks([1], references=[])


def test_the_method_samples_and_decides():
    replies = iter([" in the red house", " ", " in a red house now", " far away\n\nQ: more"])

    class Sampler(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            assert (len(prompts), max_tokens, seed) == (4, 64, 3)
            assert sampling == {"temperature": 1.0}
            self._left = [(prompt, next(replies)) for prompt in prompts]
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Sampler([])
    with lm.tracing() as trace:
        answer = least_risk(lm, Item("Where?"), samples=4, seed=3)
    assert set(lm.prompts) == {"Q: Where?\nA:"}
    assert answer.value == answer.text == "in a red house now"
    assert answer.details["answers"][1] is None and len(answer.details["risks"]) == 3
    assert trace.calls[-1].parsed == [("answer", "in a red house now")]


def test_no_answer_at_all_is_none():
    answer = least_risk(ScriptedLM([(None, " ")] * 2), Item("Where?"), samples=2)
    assert (answer.value, answer.details["risks"]) == (None, [])


def test_it_runs_on_a_model_and_keeps_its_seed():
    lm = text_model()
    found = [least_risk(lm, Item("2+2?"), max_tokens=4, samples=3, seed=s) for s in (1, 1)]
    assert found[0] == found[1]


def test_a_turn_of_a_chat_may_have_paragraphs_where_no_demonstration_ends_in_one():
    reply = "In the house.\n\nIt is red.\nQ: more"
    demo, options = Item("Who?", "Ann"), {"samples": 1}
    chat = least_risk(Chat([(None, reply)]), Item("Where?"), **options)
    assert chat.value == "In the house.\n\nIt is red."
    shown = least_risk(Chat([(None, reply)]), Item("Where?"), [demo], **options)
    text = least_risk(ScriptedLM([(None, reply)]), Item("Where?"), **options)
    assert shown.value == text.value == "In the house."
