"""Methods beside plain prompting with as many tokens."""

import math

import pytest

from tests.prompt.small import text_model
from tinylm.data.measure.proportions import wilson_interval
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.evaluation.compare import (
    compare,
    paired_difference,
    plain_vote,
    summarize,
)
from tinylm.prompt.evaluation.runner import Record
from tinylm.prompt.in_context.few_shot import zero_shot


def record(item, right, value="x", tokens=10):
    return Record(item, value, right, "", 2, tokens, tokens, 4, 1, 0.5)


def test_a_summary_counts_what_was_judged():
    found = summarize([record(0, True), record(1, False, None, 20), record(2, None)])
    assert (found.count, found.right, found.unread) == (2, 1, 1)
    assert (found.low, found.high) == wilson_interval(1, 2)
    assert found.accuracy == 0.5 and found.calls == 2 and found.seconds == 0.5
    assert found.tokens == pytest.approx((15 + 25 + 15) / 3)
    unknown = summarize([record(0, None)])
    assert math.isnan(unknown.accuracy) and math.isnan(unknown.low) and unknown.count == 0
    with pytest.raises(DataError, match="no answer to summarize"):
        summarize([])


def test_a_paired_difference_and_its_interval():
    # Differences 1, 0, 0, -1, 1: mean 1/5, standard deviation sqrt(0.7), t = 2.776 with 4 degrees.
    first = [record(i, right) for i, right in enumerate([1, 1, 0, 0, 1])]
    second = [record(i, right) for i, right in enumerate([0, 1, 0, 1, 0])]
    mean, low, high = paired_difference(first, second)
    half = 2.7764 * math.sqrt(0.7 / 5)
    assert mean == pytest.approx(0.2)
    assert (low, high) == (pytest.approx(0.2 - half, abs=1e-4), pytest.approx(0.2 + half, abs=1e-4))
    assert paired_difference(second, first)[0] == pytest.approx(-0.2)
    assert paired_difference(first, first) == (0, 0, 0)
    narrow = paired_difference(first, second, level=0.5)
    assert narrow[2] - narrow[1] < high - low


def test_only_the_same_questions_are_paired():
    with pytest.raises(DataError, match="different questions"):
        paired_difference([record(0, True)], [record(1, True)])
    with pytest.raises(DataError, match="1 judged questions"):
        paired_difference([record(0, True), record(1, None)], [record(0, True), record(1, True)])


def test_a_vote_takes_the_commonest_answer_by_value():
    replies = ["1/2", "3", "50 %", "0.5", "3"]
    lm = ScriptedLM([(None, reply) for reply in replies])
    answer = plain_vote(lm, Item("?"), count=5)
    # Three spellings of one value, of which none is more frequent: the first in order of text.
    assert answer.value == "0.5" and sorted(answer.details["votes"].values()) == [0.4, 0.6]


def test_of_equally_frequent_answers_the_first_in_order_of_text_wins():
    lm = ScriptedLM([(None, "d"), (None, "c"), (None, "")])
    assert plain_vote(lm, Item("?"), count=3).value == "c"
    # Where a number is wanted, sentences with the same one agree.
    lm = ScriptedLM([(None, "It is 4."), (None, "5"), (None, "2 + 2 = 4")])
    assert plain_vote(lm, Item("?", "4"), count=3).details["votes"]["5"] == pytest.approx(1 / 3)
    nothing = plain_vote(ScriptedLM([(None, ""), (None, "")]), Item("?"), count=2)
    assert nothing.value is None and nothing.details == {"votes": {}}


def test_one_plain_prompt_is_the_most_probable_reply():
    lm = text_model()
    item = Item("A question?")
    one = plain_vote(lm, item, max_tokens=5)
    assert one.text == zero_shot(lm, item, max_tokens=5).text
    # Samples: other texts with other seeds.
    texts = {plain_vote(lm, item, count=2, seed=s, max_tokens=5).text for s in range(4)}
    assert len(texts) > 1


def test_scores_of_options_are_not_sampled():
    item = Item("?", options=("a", "b"))
    lm = ScriptedLM([(None, {" a": -1.0, " b": -0.5})])
    assert plain_vote(lm, item, count=9).value == "b"


def thrice(lm, item, demonstrations=(), *, seed=0, max_tokens=64):
    """A method that sends the question three times."""
    replies = [lm.complete(f"Q: {item.question}\nA:", max_tokens=max_tokens) for _ in range(3)]
    return Answer(replies[-1].text.strip() or None)


def test_a_method_is_compared_with_plain_samples_of_as_many_tokens():
    lm = text_model(context=256)
    items = [Item("a?", "b"), Item("c?", "d"), Item("e?", "f")]
    shown = []
    options = {"max_tokens": 4}
    plain, method = compare(
        lm, {"plain": (zero_shot, options), "thrice": (thrice, options)}, items, show=shown.append
    )
    assert plain.plain is None and plain.samples == 1 and plain.difference is None
    assert method.samples == 3 and method.plain.calls == 3 and len(method.difference) == 3
    assert method.summary.tokens == pytest.approx(3 * plain.summary.tokens, rel=0.3)
    assert shown == [
        "plain, 3 questions",
        "thrice, 3 questions",
        "plain prompting, 3 samples a question",
    ]
    assert method.as_dict()["summary"]["calls"] == 3 and plain.as_dict()["plain"] is None


def test_without_gold_answers_there_is_nothing_to_compare_with():
    (row,) = compare(text_model(), {"thrice": (thrice, {"max_tokens": 2})}, [Item("a?")])
    assert row.plain is None and row.summary.count == 0
