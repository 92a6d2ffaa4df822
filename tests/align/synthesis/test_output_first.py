"""Labels by a prior, and inputs for them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.align.synthesis.output_first import input_prompt, label_counts, output_first
from tinylm.align.synthesis.self_instruct import generate_example
from tinylm.data.read.instructions import Instruction
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM, TextLM
from tinylm.prompt.protocol.completion import Completion

TASK = "Is the sentence positive or negative?"
SHOWN = [Instruction("Is it a fruit?", "yes", "apple")]


class Sunny(TextLM):
    """A model that writes positive sentences nine times of ten, unless the label is given."""

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        self.sampling = sampling
        rng, (prompt,) = np.random.default_rng(seed), prompts
        label = str(rng.choice(["positive", "negative"], p=[0.9, 0.1]))
        if begins[0]:
            text = f" {label} day\nOutput: {label}"
        else:
            label = prompt.split("\n")[-2].removeprefix("Output: ")
            text = f" {label} day"
        return [Completion(text, [], np.zeros(0), "end")]


def test_the_label_comes_before_the_input():
    assert input_prompt(SHOWN, TASK, "negative") == (
        "You are given a set of examples, each composed of an instruction, an output and a user "
        "input that has this output. Please generate the user input of a new example based on "
        "these.\n"
        "Example 1: Is it a fruit?\n"
        "Output: yes\n"
        "Input: apple\n"
        f"New Example: {TASK}\n"
        "Output: negative\n"
        "Input:"
    )
    assert "\nInput: <noinput>\n" in input_prompt([Instruction("Go.", "gone")], TASK, "x")


def test_labels_follow_the_prior_where_input_first_is_skewed():
    lm, n = Sunny(), 40
    first = [generate_example(lm, SHOWN, TASK, seed=s) for s in range(n)]
    assert Counter(one.output for one in first)["positive"] > 0.75 * n
    found = output_first(lm, TASK, {"positive": 1, "negative": 1}, n, SHOWN)
    assert Counter(one.output for one in found) == {"positive": 20, "negative": 20}
    assert all(one.input == f"{one.output} day" for one in found)
    assert {(one.instruction, one.task) for one in found} == {(TASK, "output-first")}
    # in a random order: not all of one label first
    assert len({one.output for one in found[:10]}) == 2


def test_an_empty_input_is_left_out_and_the_reply_ends_at_the_next_field():
    lm = ScriptedLM([(None, " good day\nOutput: x"), (None, " \n"), (None, "Input: bad\nday")])
    found = output_first(lm, TASK, {"a": 1}, 3, SHOWN)
    assert [one.input for one in found] == ["good day", "bad\nday"]


def test_the_seed_decides_the_order():
    prior = {"positive": 1, "negative": 1}
    runs = [output_first(Sunny(), TASK, prior, 12, seed=s) for s in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert output_first(Sunny(), TASK, prior, 12) == runs[0]


def test_the_temperature_is_that_of_self_instruct():
    lm = Sunny()
    output_first(lm, TASK, {"a": 1}, 1)
    assert lm.sampling == {"temperature": 0.7}
    output_first(lm, TASK, {"a": 1}, 1, temperature=1.0)
    assert lm.sampling == {"temperature": 1.0}


def test_counts_are_the_prior_rounded_by_largest_remainders():
    assert label_counts({"a": 0.5, "b": 0.5}, 4) == {"a": 2, "b": 2}
    assert label_counts({"a": 2, "b": 1}, 4) == {"a": 3, "b": 1}  # 2.67, 1.33
    assert label_counts({"a": 3, "b": 1}, 7) == {"a": 5, "b": 2}  # 5.25, 1.75
    assert label_counts({"a": 1, "b": 1, "c": 1}, 4) == {"a": 2, "b": 1, "c": 1}  # a tie
    assert label_counts({"a": 0, "b": 3}, 5) == {"a": 0, "b": 5}
    assert label_counts({"a": 1}, 0) == {"a": 0}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 30))
def test_counts_add_up_and_are_within_one_of_the_share(weights, count):
    weights[0] += 1
    counts = label_counts(dict(enumerate(weights)), count)
    assert sum(counts.values()) == count
    for label, weight in enumerate(weights):
        assert abs(counts[label] - count * weight / sum(weights)) < 1
    # no label that was rounded up has a smaller remainder than one that was rounded down
    up, down = [], []
    for label, weight in enumerate(weights):
        whole, remainder = divmod(count * weight, sum(weights))
        (up if counts[label] > whole else down).append(remainder)
    assert min(up, default=sum(weights)) >= max(down, default=0)


@pytest.mark.parametrize("prior", [{}, {"a": 0}, {"a": 2, "b": -1}, {"a": float("nan")}])
def test_weights_that_are_no_prior_are_refused(prior):
    with pytest.raises(ConfigError, match="weights of 0 or more"):
        label_counts(prior, 1)
    with pytest.raises(ConfigError, match="weights of 0 or more"):
        label_counts({"a": float("inf")}, 1)
