"""Methods beside plain prompting with as many tokens."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.small import text_model
from tinylm.data.measure.proportions import wilson_interval
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.evaluation.compare import (
    compare,
    paired_difference,
    plain_vote,
    summarize,
)
from tinylm.prompt.evaluation.runner import Record
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot, zero_shot


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


def test_a_summary_has_the_means_of_what_is_reported():
    reports = {"prompt": "Go.", "left": 4}, {"left": 8, "prompt": "Stop."}, {}, {"left": 9.0}
    found = summarize([replace(record(0, True), report=one) for one in reports])
    assert found.report == {"prompt": "Go.", "left": 7.0}
    assert summarize([record(0, True)]).report == {}


def paired(both, first, second, none, level=0.95):
    """paired_difference of so many questions right in both, the first, the second, none."""
    a = [True] * both + [True] * first + [False] * second + [False] * none
    b = [True] * both + [False] * first + [True] * second + [False] * none
    return paired_difference(
        [record(i, right) for i, right in enumerate(a)],
        [record(i, right) for i, right in enumerate(b)],
        level,
    )


def test_a_paired_difference_and_its_interval():
    # Newcombe 1998, an example of 36, 12, 2 and 0 pairs: 0.2 in 0.0569 .. 0.3404.
    assert paired(36, 12, 2, 0) == pytest.approx((0.2, 0.0569, 0.3404), abs=5e-5)


def test_the_interval_by_hand_where_answers_go_together():
    # e, f, g, h = 6, 2, 1, 6: q = 36 - 2 - 15/2 = 26.5, phi = 26.5 / sqrt(8 * 7 * 7 * 8).
    (l1, u1), (l2, u2) = wilson_interval(8, 15), wilson_interval(7, 15)
    a, b, c, d = 8 / 15 - l1, u2 - 7 / 15, u1 - 8 / 15, 7 / 15 - l2
    phi = 26.5 / 56
    low = 1 / 15 - math.sqrt(a * a - 2 * phi * a * b + b * b)
    high = 1 / 15 + math.sqrt(c * c - 2 * phi * c * d + d * d)
    assert paired(6, 2, 1, 6) == pytest.approx((1 / 15, low, high))
    # 0 < eh - fg < n/2 counts as no correlation: 2 - 1 < 5/2.
    wide = paired(1, 1, 1, 2)
    (l1, u1) = wilson_interval(2, 5)
    assert wide == pytest.approx(
        (0, -math.hypot(0.4 - l1, u1 - 0.4), math.hypot(0.4 - l1, u1 - 0.4))
    )


def test_the_level_is_that_of_both_sides():
    l1, u1 = wilson_interval(2, 5, 0.5)
    half = math.hypot(0.4 - l1, u1 - 0.4)
    assert paired(1, 1, 1, 2, 0.5) == pytest.approx((0, -half, half))


@given(*[st.integers(0, 6)] * 4)
def test_an_interval_lies_in_its_range_and_is_never_empty(both, first, second, none):
    if both + first + second + none == 0:
        return
    difference, low, high = paired(both, first, second, none)
    assert -1 <= low < high <= 1 and low <= difference <= high
    other = paired(both, second, first, none)
    assert other == pytest.approx((-difference, -high, -low))
    assert paired(both, first, second, none, 0.5)[1] >= low


def test_few_questions_show_little():
    difference, low, high = paired(0, 1, 0, 1)
    assert difference == 0.5 and low < 0 and high < 1
    assert paired(0, 0, 0, 2) == pytest.approx((0, -0.6576, 0.6576), abs=1e-4)  # 1 less 2/(2+z^2)


def test_only_the_same_questions_are_paired():
    with pytest.raises(DataError, match="different questions"):
        paired_difference([record(0, True)], [record(1, True)])
    with pytest.raises(DataError, match="no question is judged"):
        paired_difference([record(0, None)], [record(0, True)])
    one = paired_difference([record(0, True), record(1, None)], [record(0, True), record(1, True)])
    assert one[0] == 0 and one[1] < 0 < one[2]


def test_a_vote_takes_the_commonest_answer_by_value():
    replies = ["1/2", "3", "50 %", "0.5", "3"]
    lm = ScriptedLM([(None, reply) for reply in replies])
    answer = plain_vote(lm, Item("?"), count=5)
    # Three spellings of one value, of which none is more frequent: the first in order of text.
    assert answer.value == "0.5" and sorted(answer.details["votes"].values()) == [0.4, 0.6]
    assert answer.text == "3"  # the last reply


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
    texts = [plain_vote(lm, item, count=2, seed=s, max_tokens=5).text for s in range(4)]
    assert len(set(texts)) == 4 and plain_vote(lm, item, count=2, max_tokens=5).text == texts[0]


class Drawn(ScriptedLM):
    """Keeps the sampling of every call; its reply is always the same."""

    def __init__(self):
        super().__init__([])
        self.drawn = []

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        self.drawn.append(sampling)
        self._left = [(None, "yes")] * len(prompts)
        return super()._complete(prompts, begins, max_tokens, stop, seed, sampling)


def test_plain_samples_have_the_temperature_of_self_consistency_unless_it_is_given():
    lm = Drawn()
    plain_vote(lm, Item("?"), count=2)
    plain_vote(lm, Item("?"), count=1)
    plain_vote(lm, Item("?"), count=2, temperature=0.1, top_k=40)
    greedy, own = {"temperature": 0.0}, {"temperature": 0.7}
    assert lm.drawn == [own, own, greedy, *[{"temperature": 0.1, "top_k": 40}] * 2]
    for count, temperature, message in (0, 1, "count=0 must"), (2, 0, "above 0, not 0"):
        with pytest.raises(ConfigError, match=message):
            plain_vote(lm, Item("?"), count=count, temperature=temperature)


def warm(lm, item, demonstrations=(), *, seed=0, temperature=0.5, **sampling):
    """A method that samples twice, so two plain prompts cost as many tokens."""
    for _ in range(2):
        reply = lm.complete("Q: a?\nA:", temperature=temperature, **sampling)
    return Answer(reply.text)


@pytest.mark.parametrize(
    "options, sampling, drawn",
    [
        ({}, {}, {"temperature": 0.5}),
        ({"temperature": 0.3, "top_k": 4}, {}, {"temperature": 0.3, "top_k": 4}),
        ({"top_k": 4}, {"temperature": 1.0}, {"temperature": 1.0, "top_k": 4}),
        ({"temperature": 0.0}, {}, {"temperature": 0.7}),  # the method does not sample
    ],
)
def test_plain_prompting_is_sampled_as_the_method_is(options, sampling, drawn):
    lm = Drawn()
    (row,) = compare(lm, {"warm": (warm, options)}, [Item("a?", "b")], **sampling)
    assert row.samples == 2 and lm.drawn[-2:] == [drawn, drawn]
    lm = Drawn()  # one plain prompt is the most probable reply
    (row,) = compare(lm, {"once": (once, {})}, [Item("a?", "b")], **sampling)
    assert row.samples == 1 and lm.drawn == [{"temperature": 0.0}] * 2


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


def test_one_judged_question_is_compared():
    (row,) = compare(text_model(), {"thrice": (thrice, {"max_tokens": 2})}, [Item("a?", "b")])
    difference, low, high = row.difference
    assert row.summary.count == 1 and low < difference < high


def test_options_are_scored_once_however_much_a_method_spends():
    lm, shown = text_model(context=256), []
    items = [Item("a?", "b", ("b", "c")), Item("d?", "b", ("b", "c"))]
    (row,) = compare(lm, {"thrice": (thrice, {"max_tokens": 4})}, items, show=shown.append)
    assert row.samples == 1 and row.scored and row.plain.calls == 1
    assert shown[-1] == "plain prompting, options scored"
    assert row.as_dict()["scored"] is True
    (mixed,) = compare(lm, {"thrice": (thrice, {"max_tokens": 4})}, [*items, Item("e?", "f")])
    assert not mixed.scored and mixed.samples > 1


def test_plain_prompting_of_other_settings_is_another_run():
    shown, items = [], [Item("a?", "b")]
    methods = {
        "plain": (zero_shot, {"max_tokens": 4, "normalization": "byte"}),
        "two": (zero_shot, {"max_tokens": 2}),
        "once": (once, {"max_tokens": 2}),
        "more": (once, {"max_tokens": 4}),
    }
    compare(text_model(), methods, items, show=shown.append)
    # That of 2 tokens has been run as a method; that of 4 had an option of its own.
    names = [line.split(",")[0] for line in shown]
    assert names == ["plain", "two", "once", "more", "plain prompting"]


def once(lm, item, demonstrations=(), *, seed=0, max_tokens=64):
    """A method that sends the plain prompt."""
    return zero_shot(lm, item, seed=seed, max_tokens=max_tokens)


def test_plain_prompting_has_the_same_instruction():
    def method(lm, item, demonstrations=(), *, seed=0, max_tokens=64, prompt=None):
        return zero_shot(lm, item, seed=seed, max_tokens=max_tokens, prompt=prompt)

    lm = text_model()
    options = {"max_tokens": 2, "prompt": FewShotPrompt("Add.")}
    with lm.tracing() as trace:
        compare(lm, {"method": (method, options)}, [Item("a?", "b")])
    assert {call.prompt for call in trace.calls} == {"Add.\n\nQ: a?\nA:"}


def counted(lm, item, demonstrations=(), *, seed=0, max_tokens=64, word="A"):
    """Plain prompting of another kind: the question after a word, after the demonstrations."""
    text = " ".join([*(one.question for one in demonstrations), word, item.question])
    return Answer(lm.complete(text, max_tokens=max_tokens).text)


def test_plain_prompting_may_be_another_method_with_options_of_its_own():
    lm, items, shown = text_model(), [Item("a?", "b")], [Item("c?", "d")]
    # The method gets 6 tokens a reply, plain prompting 2 for an answer alone.
    methods = {"thrice": (thrice, {"max_tokens": 6})}
    with lm.tracing() as trace:
        (row,) = compare(lm, methods, items, shown, plain=(counted, {"max_tokens": 2, "word": "B"}))
    calls = [call for call in trace.calls if not call.prompt.startswith("Q:")]
    assert {call.prompt for call in calls} == {"c? B a?"}
    # One plain prompt, to know what it costs, and then as many samples as there is room for.
    assert len(calls) == 1 + row.samples and row.samples > 1
    assert row.plain.tokens < row.summary.tokens + lm.length("c? B a?") + 2


def test_plain_prompting_of_its_own_is_run_once_and_not_compared_with_itself():
    own, shown = {"max_tokens": 2, "word": "B"}, []
    methods = {
        "other": (counted, own | {"word": "C"}),
        "plain": (counted, dict(reversed(own.items()))),
        "once": (once, {"max_tokens": 2}),
    }
    rows = compare(
        text_model(), methods, [Item("a?", "b")], plain=(counted, own), show=shown.append
    )
    assert [row.plain is None for row in rows] == [True, True, False]
    # "once" is compared with "plain", in whatever order the options of that are.
    assert shown[:3] == [f"{name}, 1 questions" for name in methods]
    assert "plain prompting, 1 samples a question" not in shown


def test_a_judge_of_the_caller_decides_what_is_right():
    items = [Item("a?", "b"), Item("c?", "d")]
    seen = []

    def begins(value, item):
        seen.append((value, item.answer))
        return value is not None and item.answer == "b"

    lm = text_model()
    methods = {"thrice": (thrice, {"max_tokens": 2})}
    (row,) = compare(lm, methods, items, judge=begins)
    assert row.summary.right == 1 and row.plain.right == 1 and row.difference[0] == 0
    # each run of two questions: the method, one plain prompt, the vote
    assert [answer for _, answer in seen] == ["b", "d"] * 3


def test_questions_answered_together_have_the_figures_of_each_alone():
    items = [Item("a?", "b"), Item("cc?", "d"), Item("e?", "f", ("f", "g"))]
    methods = {"thrice": (thrice, {"max_tokens": 4})}
    alone = compare(text_model(context=256), methods, items, seed=3)
    lm = text_model(context=256)
    with lm.tracing() as trace:
        together = compare(lm, methods, items, seed=3, at_once=2)
    for one, other in zip(alone, together, strict=True):
        a, b = dict(vars(one.summary)), dict(vars(other.summary))
        assert a.pop("failed") == b.pop("failed") == ()
        assert a.pop("report") == b.pop("report") == {}
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0})
        assert (one.samples, one.difference) == (other.samples, other.difference)
    # The first call of each question is sent before the second call of any.
    assert [call.prompt for call in trace.calls[:2]] == ["Q: a?\nA:", "Q: cc?\nA:"]


def test_a_method_has_its_own_size_beside_the_number_of_questions_at_once():
    found = []

    def sized(lm, item, demonstrations=(), *, seed=0, size=1):
        found.append(size)
        return Answer("b")

    lm, items = text_model(), [Item("a?"), Item("c?")]
    compare(lm, {"sized": (sized, {"size": 7})}, items, at_once=2)
    assert found == [7, 7]


def test_a_comparison_that_is_resumed_has_the_rows_of_one_that_is_not(tmp_path):
    items = [Item("a?", "b"), Item("cc?", "d"), Item("e?", "f")]
    methods = {"thrice": (thrice, {"max_tokens": 4}), "plain": (zero_shot, {"max_tokens": 4})}

    def run(items=items, **options):
        rows = compare(text_model(), methods, items, seed=3, **options)
        return [(row.name, row.summary.right, row.summary.tokens, row.difference) for row in rows]

    whole, kept = run(), {"folder": tmp_path, "about": {"model": "m"}}
    assert run(items[:1], **kept) and run(**kept) == whole
    files = sorted(path.name for path in tmp_path.iterdir())
    # one of a single plain prompt, one of the vote: a name for every kind of plain prompting
    assert files[2:] == ["plain.jsonl", "thrice.jsonl"]
    assert [name.rpartition("-")[0] for name in files[:2]] == ["plain-1", "plain-3"]
    assert [len(path.read_text().splitlines()) for path in tmp_path.iterdir()] == [4] * 4
    with pytest.raises(ConfigError, match="model was 'm' and is 'n'"):
        run(folder=tmp_path, about={"model": "n"})
    with pytest.raises(ConfigError, match="one question at a time: at_once=1"):
        run(folder=tmp_path, at_once=2)


def test_where_no_question_can_be_answered_one_plain_prompt_is_compared():
    items = [Item("long " * 30, "b")]
    (row,) = compare(text_model(context=64), {"few": (few_shot, {"max_tokens": 4})}, items)
    assert row.samples == 1 and row.summary.right == row.plain.right == 0
    assert [number for number, _ in row.summary.failed] == [0] and row.summary.unread == 0
