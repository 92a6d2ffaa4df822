"""Many questions at a time: the same answers in fewer calls of the model."""

import threading

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.ensemble.self_consistency import self_consistency
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.in_context.few_shot import few_shot
from tinylm.prompt.reasoning.chain_of_thought import two_stage_cot

ITEMS = [Item("a?", "1"), Item("bcd ef?", "2"), Item("g?"), Item("hi?", "x", ("x", "yz"))]


class Watched(ScriptedLM):
    """Notes the batches that it gets."""

    def __init__(self, script):
        super().__init__(script)
        self.batches = []

    def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
        self.batches.append((tuple(prompts), begin, max_tokens, stop, list(seed), sampling))
        return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)


def steps(lm, item, demonstrations=(), *, seed=0, tokens=5):
    """One or two calls: the second begins with the first reply."""
    first = lm.complete(item.question, max_tokens=tokens, seed=seed, stop="!")
    if first.text == "ready":
        return Answer("1", first.text)
    second = lm.complete(item.question, begin=f" {first.text}", max_tokens=tokens, seed=seed)
    return Answer(second.text, second.text)


def test_calls_that_wait_are_one_batch():
    script = {"a?": "ready", "bcd ef?": "so", "g?": "thus", "bcd ef? so": "2", "g? thus": "3"}
    lm = Watched(script)
    records = answer_together(lm, steps, ITEMS[:3], seed=7)
    assert [(r.item, r.value, r.right) for r in records] == [
        (0, "1", True),
        (1, "2", True),
        (2, "3", None),
    ]
    greedy = {"temperature": 0.0}
    assert lm.batches == [
        (("a?", "bcd ef?", "g?"), ["", "", ""], 5, ("!",), [7, 1007, 2007], greedy),
        # what replies begin with differs in a batch
        (("bcd ef?", "g?"), [" so", " thus"], 5, (), [1007, 2007], greedy),
    ]
    assert [r.calls for r in records] == [1, 2, 2]
    assert [r.prompt_tokens for r in records] == [1, 2 + 3, 1 + 2]
    assert [r.generated_tokens for r in records] == [1, 2, 2]
    # 9 tokens were read, and each record has a third of them.
    assert lm.account.read_tokens == 9 and [r.read_tokens for r in records] == [3, 3, 3]
    assert sum(r.seconds for r in records) == pytest.approx(lm.account.seconds)


def test_at_most_so_many_questions_are_answered_at_a_time():
    script = {"a?": "ready", "bcd ef?": "ready", "g?": "ready"}
    for size, rows in (1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (32, [3]):
        lm = Watched(script)
        answer_together(lm, steps, ITEMS[:3], at_once=size)
        assert [len(batch[0]) for batch in lm.batches] == rows
    assert answer_together(Watched({}), steps, []) == []
    with pytest.raises(ConfigError, match="at_once 0 must be 1 or more"):
        answer_together(Watched({}), steps, ITEMS, at_once=0)


def test_by_default_32_questions_are_answered_at_a_time_from_seed_0():
    lm = Watched({"a?": "ready"})
    answer_together(lm, steps, [ITEMS[0]] * 33)
    assert [len(batch[0]) for batch in lm.batches] == [32, 1]
    assert [batch[4][0] for batch in lm.batches] == [0, 32_000]


def test_calls_with_other_settings_are_another_batch():
    def method(lm, item, demonstrations=(), *, seed=0):
        assert lm.chat is False  # of a model that does not state it
        tokens = 1 + len(item.question) // 4  # "bcd ef?" alone gets more
        return Answer(lm.complete(item.question, max_tokens=tokens).text)

    lm = Watched({"a?": "x", "bcd ef?": "y z", "g?": "u v"})
    records = answer_together(lm, method, ITEMS[:3])
    assert [(batch[0], batch[2]) for batch in lm.batches] == [(("a?", "g?"), 1), (("bcd ef?",), 2)]
    assert [r.value for r in records] == ["x", "y z", "u"]


@pytest.mark.parametrize(
    "method, options",
    [
        (few_shot, {"max_tokens": 5}),
        (two_stage_cot, {"trigger": "So", "max_tokens": 6, "answer_tokens": 3, "temperature": 1.0}),
        (self_consistency, {"samples": 2, "max_tokens": 5, "answer_tokens": 2, "trigger": "So"}),
    ],
)
def test_a_real_model_answers_as_one_question_at_a_time(method, options):
    def run(way):
        lm = text_model(context=256)
        return list(way(lm, method, ITEMS, seed=3, **options)), lm.account

    one, account = run(answer_items)
    together, same = run(answer_together)
    for a, b in zip(one, together, strict=True):
        assert (a.item, a.value, a.right, a.text) == (b.item, b.value, b.right, b.text)
        assert (a.calls, a.tokens) == (b.calls, b.tokens)
        assert a.scored_tokens == b.scored_tokens
    assert (account.calls, account.tokens) == (same.calls, same.tokens)


def test_scores_are_those_of_the_model():
    found = {}

    def method(lm, item, demonstrations=(), *, seed=0):
        begin = f" So {item.question}"
        found[item.question] = lm.score(item.question, [" x", " yz"], begin=begin)
        return Answer("x")

    lm = text_model()
    with lm.tracing() as trace:
        answer_together(lm, method, ITEMS[:2])
    assert [call.begin for call in trace.calls] == [" So a?", " So bcd ef?"]
    for item in ITEMS[:2]:
        begin = f" So {item.question}"
        expected = lm.score(item.question, [" x", " yz"], begin=begin)
        np.testing.assert_allclose(found[item.question].sums, expected.sums, rtol=1e-9)


def test_an_error_is_raised_and_no_thread_is_left():
    def method(lm, item, demonstrations=(), *, seed=0):
        text = lm.complete(item.question).text
        if item.question == "g?":
            raise ValueError("not this one")
        return Answer(text)

    threads = threading.active_count()
    with pytest.raises(ValueError, match="not this one"):
        answer_together(ScriptedLM({"a?": "1", "bcd ef?": "2", "g?": "3"}), method, ITEMS[:3])
    # A setting is that of all items, so its error is raised.
    with pytest.raises(ConfigError, match="no reply for the prompt 'g"):
        answer_together(ScriptedLM({"a?": "1", "bcd ef?": "2"}), method, ITEMS[:3])
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(5)
    assert threading.active_count() == threads


def test_a_prompt_that_is_too_long_is_an_error_of_its_own_item_alone():
    items = [Item("a?", "1"), Item("long " * 30, "2"), Item("g?", "3")]
    # few_shot finds it before the call, `steps` when the batch is sent.
    for method, options in [(few_shot, {"max_tokens": 5}), (steps, {})]:
        one = list(answer_items(text_model(context=64), method, items, **options))
        together = answer_together(text_model(context=64), method, items, **options)
        assert [(r.value, r.right, r.error) for r in together] == [
            (r.value, r.right, r.error) for r in one
        ]
        assert [bool(r.error) for r in together] == [False, True, False]
        assert together[1].value is None and together[1].right is False
        assert together[0].calls > 0 and together[2].generated_tokens > 0


def test_a_chat_keeps_what_its_replies_begin_with_apart():
    lm = Watched([("a?Yes", "1"), ("bcd ef?Yes", "2")])
    lm.chat = True

    def method(lm, item, demonstrations=(), *, seed=0):
        assert lm.chat
        return Answer(lm.complete(item.question, begin="Yes").text)

    records = answer_together(lm, method, ITEMS[:2])
    assert lm.batches[0][:2] == (("a?", "bcd ef?"), ["Yes", "Yes"])
    assert [r.value for r in records] == ["1", "2"]
