import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.align.rewards.placement import place_segment_rewards
from tinylm.align.rewards.segments import (
    change_ends,
    fixed_ends,
    independent_rewards,
    judged_segments,
    prefix_differences,
    segments_of,
    sentence_token_ends,
    tokens_of_ends,
)
from tinylm.align.rewards.shaping import shape_rewards
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.rag.chunks import sentence_ends

CAMERA = "The camera is excellent. But the battery is bad!  So is Dr. Lee's."
PIECES = ["The camera", " is", " excellent", ".", " But", " the battery is bad", "!  S", "o is."]


@given(st.integers(0, 30), st.integers(1, 8))
def test_segments_of_a_fixed_size(length, size):
    ends = fixed_ends(length, size)
    assert len(ends) == math.ceil(length / size)
    parts = segments_of(list(range(length)), ends)
    assert sum(parts, []) == list(range(length))
    assert all(len(part) == size for part in parts[:-1])
    assert all(0 < len(part) <= size for part in parts)


def test_a_segment_has_a_token():
    with pytest.raises(ConfigError, match="at least one token, not 0"):
        fixed_ends(3, 0)


def test_sentences_are_segments_with_the_space_after_them():
    parts = segments_of(CAMERA, sentence_ends(CAMERA))
    expected = ["The camera is excellent. ", "But the battery is bad!  ", "So is Dr. Lee's."]
    assert parts == expected
    assert sentence_ends("") == [] and sentence_ends("no end") == [6]


@given(st.text(alphabet="aB.!? \n", max_size=40))
def test_sentences_of_any_text_are_that_text(text):
    ends = sentence_ends(text)
    assert "".join(segments_of(text, ends)) == text


def test_a_token_with_an_end_inside_belongs_to_the_sentence_that_ends():
    # "!  S" holds the end of the second sentence and the beginning of the third
    assert sentence_token_ends(PIECES) == [5, 7, 8]


def test_ends_in_characters_become_ends_in_tokens():
    assert tokens_of_ends([2, 5], ["ab", "cde"]) == [1, 2]
    # both within the second token: one segment
    assert tokens_of_ends([3, 4], ["ab", "cde"]) == [2]
    assert tokens_of_ends([], ["ab"]) == []
    for ends in ([0], [6]):
        with pytest.raises(DataError, match="not all in a text"):
            tokens_of_ends(ends, ["ab", "cde"])


def test_a_planted_change_of_reward_ends_a_segment():
    scores = [0.1, 0.2, 0.15, 0.9, 0.95, -0.3]
    assert change_ends(scores, 0.5) == [3, 5, 6]
    assert change_ends(scores, 2) == [6]
    # only a change above the threshold counts
    assert change_ends([0, 1, 3], 1) == [2, 3]
    assert change_ends([], 0.5) == []


def test_ends_must_make_the_response():
    for ends in ([], [2], [2, 2, 3], [3, 2], [0, 3], [4]):
        with pytest.raises(DataError, match="must rise"):
            segments_of("abc", ends)
    assert segments_of("", []) == []


def test_the_vector_of_prefix_scores():
    # (0, .2, .5, .4) -> (.2, .3, -.1), sum .4
    found = prefix_differences([0, 0.2, 0.5, 0.4])
    np.testing.assert_allclose(found, [0.2, 0.3, -0.1], rtol=1e-14)
    assert found.sum() == pytest.approx(0.4, rel=1e-14)


def test_prefix_differences_are_shaping_with_gamma_1():
    potentials = np.array([[0, 0.2, 0.5, 0.4], [1, -1, 0, 2]])
    np.testing.assert_array_equal(
        prefix_differences(potentials), shape_rewards(np.zeros((2, 3)), potentials)
    )


def test_a_judge_reads_every_beginning_once():
    read = []

    def judge(prompt, beginning):
        read.append((prompt, beginning))
        return len(beginning) ** 2

    found = judged_segments(judge, "x", "abcde", [2, 5])
    assert read == [("x", ""), ("x", "ab"), ("x", "abcde")]
    np.testing.assert_array_equal(found, [4, 21])
    with pytest.raises(DataError, match="must rise"):
        judged_segments(judge, "x", "abcde", [2])


def test_the_rewards_of_segments_sum_to_that_of_the_response():
    def reward(prompt, segment):
        return segment.count("good") - segment.count("bad")

    text = "All good. All bad. So good, good."
    ends = sentence_ends(text)
    found = independent_rewards(reward, "x", text, ends)
    np.testing.assert_array_equal(found, [1, -1, 2])
    placed = place_segment_rewards(found, ends, len(text))
    assert placed.sum() == reward("x", text) == 2
    # one segment: the reward of the response
    np.testing.assert_array_equal(independent_rewards(reward, "x", text, [len(text)]), [2])


def test_a_segment_is_judged_without_the_others():
    def reward(prompt, segment):
        return len(segment)

    first = independent_rewards(reward, "x", "abcdef", [2, 4, 6])
    second = independent_rewards(reward, "x", "..cd..", [2, 4, 6])
    assert first[1] == second[1]
