"""The filter of calls by hand, and the whole annotation with replies written by hand."""

import re

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tools.annotated import Called, with_results
from tinylm.prompt.tools.registry import Tools, calculator
from tinylm.prompt.tools.toolformer import (
    TASK,
    Candidate,
    annotate,
    annotation_prompt,
    call_positions,
    filter_weights,
    insert_calls,
    sample_calls,
    score_calls,
    weighted_loss,
)

TOOLS = Tools({"calculator": calculator})
TEXT = "We need 6 * 7 = 42 eggs."
AT = TEXT.index("42")
CALL = "{tool: calculator, expression: 6 * 7}"


def test_the_weights_of_the_paper():
    # 1, 0.8, 0.6, 0.4, 0.2 over their sum 3
    np.testing.assert_allclose(filter_weights(), [1 / 3, 4 / 15, 1 / 5, 2 / 15, 1 / 15])
    assert weighted_loss([-3.0, 0, 0, 0, 0]) == pytest.approx(1.0)
    assert weighted_loss([0, 0, 0, 0, -15.0, -99.0]) == pytest.approx(1.0)  # the sixth: weight 0
    assert weighted_loss([-3.0]) == pytest.approx(1.0)


def test_the_losses_are_those_of_the_text_after_the_position():
    lm = text_model(context=200)
    calls = [(CALL, "42"), ("{tool: x}", "7")]
    found = score_calls(lm, TEXT, AT, calls)

    def loss(before):
        return weighted_loss(lm.score(before + TEXT[:AT], [TEXT[AT:]]).terms[0])

    for one, (call, result) in zip(found, calls):
        assert (one.position, one.call, one.result) == (AT, call, result)
        assert one.without == pytest.approx(min(loss(""), loss(f"{call}\n")), abs=1e-9)
        assert one.with_result == pytest.approx(loss(f"{call} -> {result}\n"), abs=1e-9)
        assert one.gain == one.without - one.with_result
    assert len(found) == 2 and score_calls(lm, TEXT, AT, []) == []


def test_of_nothing_and_the_call_alone_the_better_one_is_to_be_beaten():
    before, after = TEXT[:AT], TEXT[AT:]
    for nothing, alone, expected in (-6.0, -9.0, 2.0), (-9.0, -6.0, 2.0):
        lm = ScriptedLM(
            [
                (before, {after: nothing}),
                (f"{CALL}\n{before}", {after: alone}),
                (f"{CALL} -> 42\n{before}", {after: -1.5}),
            ]
        )
        (one,) = score_calls(lm, TEXT, AT, [(CALL, "42")])
        # All of a log-probability is on the first word, of weight 1/3: 6 / 3 = 2, 1.5 / 3 = 0.5
        assert (one.without, one.with_result) == (pytest.approx(expected), pytest.approx(0.5))
        assert one.gain == pytest.approx(1.5)


def test_there_must_be_text_to_predict():
    for position in len(TEXT), len(TEXT) + 1:
        with pytest.raises(DataError, match="no text after position"):
            score_calls(None, TEXT + " ", position, [(CALL, "42")])


def test_the_prompt_that_asks_for_calls():
    ask = annotation_prompt(TOOLS, [("a", "b")])
    assert ask("x") == (
        f"{TASK}\nTools:\n{TOOLS.describe()}\n\nInput: a\nOutput: b\n\nInput: x\nOutput:"
    )


def ask(text):
    return f"[{text}]"


def probabilities(values):
    """Replies to the questions how probable a call is before each word but the first."""
    words = TEXT.split()
    script = []
    for number, value in enumerate(values, 1):
        before = " ".join(words[:number])
        script.append((f"[{TEXT}] {before}", {" {tool:": float(np.log(value))}))
    return script


VALUES = [0.01, 0.06, 0.05, 0.3, 0.2, 0.9, 0.3]  # before need, 6, *, 7, =, 42, eggs.


def test_positions_are_where_a_call_is_probable():
    found = call_positions(ScriptedLM(probabilities(VALUES)), TEXT, ask)
    # Best first, of equal ones the earlier; 0.05 is not above the threshold.
    places = [TEXT.index(word) for word in ("42", "7", "eggs", "=", "6")]
    assert [position for position, _ in found] == places
    np.testing.assert_allclose([p for _, p in found], [0.9, 0.3, 0.3, 0.2, 0.06])
    found = call_positions(ScriptedLM(probabilities(VALUES)), TEXT, ask, most=2, threshold=0.25)
    assert [position for position, _ in found] == places[:2]
    certain = ScriptedLM(probabilities([1.0] * 7))
    assert call_positions(certain, TEXT, ask, threshold=1.0) == []
    many = [0.5] * 7
    assert len(call_positions(ScriptedLM(probabilities(many)), TEXT, ask)) == 5  # by default


def test_calls_are_sampled_at_a_position():
    begun = f"[{TEXT}] We need 6 * 7 = {{tool:"
    replies = [" calculator, expression: 6 * 7} eggs", " calculator, expression: 6+7}"]
    replies += [replies[0], " calculator}}", " never closed", " {tool: f}}", " calculator 3}"]
    lm = ScriptedLM([(begun, reply) for reply in replies])
    found = sample_calls(lm, TEXT, AT, ask, count=7)
    # Each call once; cut off, nested and malformed ones are left out.
    assert [call for _, call in found] == [
        CALL,
        "{tool: calculator, expression: 6+7}",
        "{tool: calculator}",
    ]
    assert found[0][0].arguments == {"expression": "6 * 7"}
    lm = ScriptedLM([(begun, replies[1])] * 5)
    assert len(sample_calls(lm, TEXT, AT, ask)) == 1 and lm.finished  # five by default
    lm = ScriptedLM([(begun, " calculator, expression:" + " 1" * 30 + "}")])
    assert len(sample_calls(lm, TEXT, AT, ask, count=1)) == 1  # 32 words
    lm = ScriptedLM([(begun, " calculator, expression:" + " 1" * 31 + "}")])
    assert sample_calls(lm, TEXT, AT, ask, count=1) == []


def script(values, samples, scores):
    """All replies of annotate() where only "42" is a probable position."""
    begun = f"[{TEXT}] We need 6 * 7 = {{tool:"
    after = TEXT[AT:]
    rest = [(begun, sample) for sample in samples]
    rest += [(None, {after: score}) for score in scores]
    return probabilities(values) + rest


LIKELY = [0.0001] * 5 + [0.9, 0.0001]


def test_calls_whose_results_help_are_kept():
    samples = [" calculator, expression: 6 * 7}", " calculator, expression: 40}", " f}"]
    # nothing; the first call alone and with its result; the second alone and with its result
    lm = ScriptedLM(script(LIKELY, samples, [-6.0, -9.0, -3.0, -9.0, -5.0]))
    pieces, candidates = annotate(lm, TEXT, TOOLS, ask, samples=3)
    assert pieces == ["We need 6 * 7 = ", Called(CALL, "42"), " eggs."]
    assert with_results(pieces) == TEXT
    assert [one.gain for one in candidates] == [pytest.approx(1.0), pytest.approx(1 / 3)]
    assert lm.finished  # the unknown tool was not scored


@pytest.mark.parametrize("least, kept", [(1.0, False), (0.9, True)])
def test_calls_that_help_too_little_are_dropped(least, kept):
    lm = ScriptedLM(script(LIKELY, [" calculator, expression: 6 * 7}"], [-6.0, -6.0, -3.1]))
    pieces, candidates = annotate(lm, TEXT, TOOLS, ask, samples=1, least_gain=least)
    assert len(candidates) == 1 and (pieces != [TEXT]) == kept
    lm = ScriptedLM(script(LIKELY, [" calculator, expression: 6 * 7}"] * 5, [-6.0, -6.0, -3.1]))
    assert annotate(lm, TEXT, TOOLS, ask)[0] == [TEXT]  # by default 5 samples, and a gain of 1


def test_the_best_call_of_a_position_is_kept():
    samples = [" calculator, expression: 40}", " calculator, expression: 6 * 7}"]
    lm = ScriptedLM(script(LIKELY, samples, [-9.0, -9.0, -5.0, -9.0, -3.0]))
    pieces, _ = annotate(lm, TEXT, TOOLS, ask, samples=2)
    assert pieces[1].call == CALL


def test_without_probable_positions_nothing_is_sampled():
    lm = ScriptedLM(probabilities([0.01] * 7))
    assert annotate(lm, TEXT, TOOLS, ask) == ([TEXT], [])
    assert lm.finished
    lm = ScriptedLM(script(LIKELY, [" never closed"], []))
    assert annotate(lm, TEXT, TOOLS, ask, samples=1) == ([TEXT], [])


def test_every_position_is_annotated_with_draws_of_its_own():
    seeds = []

    class Spy(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            seeds.append((seed, sampling))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Spy([*probabilities(VALUES), (None, "no"), (None, "no")])
    annotate(lm, TEXT, TOOLS, ask, positions=2, samples=1, seed=100)
    assert seeds == [
        (100 + AT, {"temperature": 1.0}),
        (100 + TEXT.index("7"), {"temperature": 1.0}),
    ]
    lm = Spy([*probabilities(VALUES)] + [(None, "no")] * 25)
    annotate(lm, TEXT, TOOLS, ask)
    assert lm.finished and len(seeds) == 2 + 5 and seeds[2][0] == AT  # 5 positions, seed 0


def test_a_result_that_the_text_does_not_go_on_with_is_inserted():
    place = TEXT.index("eggs")
    calls = [Candidate(place, "{tool: x}", "new", 0, 0), Candidate(AT, CALL, "42", 0, 0)]
    pieces = insert_calls(TEXT, calls)
    assert pieces == [
        "We need 6 * 7 = ",
        Called(CALL, "42"),
        " ",
        Called("{tool: x}", "new"),
        " ",
        "eggs.",
    ]
    assert with_results(pieces) == "We need 6 * 7 = 42 new eggs."
    # 4 is a part of the number 42 only; and an empty result replaces nothing.
    assert with_results(insert_calls(TEXT, [Candidate(AT, CALL, "4", 0, 0)])).endswith("4 42 eggs.")
    assert insert_calls(TEXT, [Candidate(0, CALL, "", 0, 0)])[1] == " "
    assert insert_calls(TEXT, []) == [TEXT]
    inside = [Candidate(AT, CALL, "42", 0, 0), Candidate(AT + 1, CALL, "2", 0, 0)]
    with pytest.raises(DataError, match=f"position {AT + 1}"):
        insert_calls(TEXT, inside)


def test_counts_that_cannot_be_are_refused():
    for options in {"positions": 0}, {"samples": 0}:
        with pytest.raises(ConfigError, match=re.escape("must be 1 or more")):
            annotate(None, TEXT, TOOLS, ask, **options)
