"""Different prompts are read from what a model writes, and more are sampled for those missing."""

import numpy as np
import pytest

from tests.prompt.small import Chat
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.optimize.proposals import cleaned, draw_seed, propose, read_list, tagged


@pytest.mark.parametrize(
    "text, prompt",
    [
        ("  Add.\n", "Add."),
        ("Instruction: Add.", "Add."),
        ("New prompt 2: Add.", "Add."),
        ('"Add."', "Add."),
        ('Prompt: "Add." ', "Add."),
        ("“Add.”", "Add."),
        ('"Add" or "sum"', '"Add" or "sum"'),
        ('Say "yes"', 'Say "yes"'),
        ('"', '"'),
        ("Prompt the user.", "Prompt the user."),
        ("", ""),
    ],
)
def test_what_stands_around_a_prompt_is_removed(text, prompt):
    assert cleaned(text) == prompt


@pytest.mark.parametrize(
    "reply, entries",
    [
        ("1. Add.\n2. Sum up\nall numbers.\n", ["Add.", "Sum up\nall numbers."]),
        ('Here they are:\n- "Add."\n* Sum.\n• Total.', ["Add.", "Sum.", "Total."]),
        ("1) Add.\n 12) Sum.", ["Add.", "Sum."]),
        ("Add 1. 5 and 2. Then stop.", ["Add 1. 5 and 2. Then stop."]),
        ("1.5 is a number", ["1.5 is a number"]),
        ("1. Add.\n2. \n3. Sum.", ["Add.", "Sum."]),
        ("1. Add.\n\n2. Sum.\n\n\nBoth add.\n\n3. No.", ["Add.", "Sum.", "No."]),
        ("1. Add.\n \n   All.\n2. Sum.\n \nBoth add.", ["Add.\n \n   All.", "Sum."]),
        ("Add.\n\nAll numbers.", ["Add.\n\nAll numbers."]),
        ("  ", []),
    ],
)
def test_a_list_is_read_by_its_marks(reply, entries):
    assert read_list(reply) == entries


@pytest.mark.parametrize(
    "reply, prompts",
    [
        ("no tags", []),
        ("<prompt></prompt>", []),
        ("x <prompt> a </prompt> y <prompt>b\nc", ["a", "b\nc"]),
        ("<prompt>a <prompt>b</prompt> c", ["a", "b"]),
    ],
)
def test_tags_hold_prompts_and_the_last_may_stay_open(reply, prompts):
    assert tagged(reply) == prompts


def test_seeds_are_drawn_from_all_of_31_bits():
    rng = np.random.default_rng(0)
    seeds = [draw_seed(rng) for _ in range(400)]
    # The largest of 400 is below 0.97 * 2^31 once in 200,000 runs.
    assert 0.97 * 2**31 < max(seeds) < 2**31 and min(seeds) >= 0
    assert all(isinstance(seed, int) for seed in seeds)


class Seeds(ScriptedLM):
    """Records the options of every call."""

    def __init__(self, script):
        super().__init__(script)
        self.calls = []

    def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
        self.calls.append((len(prompts), seed, max_tokens, stop, sampling))
        return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)


def test_replies_are_sampled_until_there_are_enough_different_prompts():
    lm = Seeds([(None, reply) for reply in (" Add.", " Add.", " Sum.", "Total.", "more")])
    with lm.tracing() as trace:
        found = propose(lm, "Write:", 3, begin="Prompt:", seed=7)
    assert found == ["Add.", "Sum.", "Total."]
    assert lm.prompts == ["Write:Prompt:"] * 4
    options = (128, ("\n\n",), {"temperature": 0.9, "top_p": 0.9})
    assert lm.calls == [(3, 7, *options), (1, 10, *options)]  # no seed is used twice
    assert trace.calls[-1].parsed == [("prompts", found)]


def test_a_reply_may_hold_several_prompts():
    lm = Seeds([(None, " a\n2. b\n3. c"), (None, " c\n2. d\n3. e")])
    assert propose(lm, "List:", 5, begin="1.", per_reply=3) == ["a", "b", "c", "d", "e"]
    assert [call[0] for call in lm.calls] == [2]  # ceil(5 / 3)
    assert propose(ScriptedLM([(None, "1. a\n2. b\n3. c")]), "x", 2, per_reply=2) == ["a", "b"]


def test_a_chat_may_leave_blank_lines_between_prompts():
    reply = " a\n\n2. b\n\nThese are two."
    assert propose(Chat([(None, reply)]), "List:", 2, begin="1.", per_reply=2) == ["a", "b"]
    # A model that continues a text has written another text after the blank line.
    lm = ScriptedLM([(None, reply), (None, " c")])
    assert propose(lm, "List:", 2, begin="1.", per_reply=2) == ["a", "c"] and lm.finished


def test_rounds_are_limited():
    lm = ScriptedLM([(None, "same")] * 7)
    assert propose(lm, "x", 2, rounds=6) == ["same"] and lm.finished  # 2, then 1 five times
    lm = Seeds({"x": "same"})
    propose(lm, "x", 2)
    assert len(lm.calls) == 4


def test_options_of_sampling_are_the_callers():
    lm = Seeds({"x": "a b c"})
    assert propose(lm, "x", 1, temperature=0.5, top_k=3, max_tokens=2, stop=("c",)) == ["a b"]
    assert lm.calls == [(1, 0, 2, ("c",), {"temperature": 0.5, "top_p": 0.9, "top_k": 3})]
    assert propose(lm, "x", 1, read=lambda reply: [reply.upper()]) == ["A B C"]


def test_at_least_one_prompt_is_wanted():
    with pytest.raises(ConfigError, match="0 prompts are wanted"):
        propose(ScriptedLM([]), "x", 0)
