"""Scores of continuations, compared in every usual way."""

import dataclasses

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.prompt import Completion, Scores

# " né" has 2 characters and 3 bytes without the space that it begins with, here in two tokens.
SCORES = Scores((" né", " ab cd"), (np.array([-1.0, -2.0]), np.array([-5.0])), np.array([-2, -8]))


@pytest.mark.parametrize(
    "normalization, expected",
    [
        ("sum", [-3, -5]),
        ("token", [-1.5, -5]),
        ("character", [-3 / 2, -5 / 5]),
        ("byte", [-3 / 3, -5 / 5]),
        ("unconditional", [-3 + 2, -5 + 8]),
    ],
)
def test_each_normalization_divides_by_what_it_is_named_after(normalization, expected):
    np.testing.assert_allclose(SCORES.by(normalization), expected)


def test_the_best_depends_on_the_normalization():
    assert SCORES.best() == SCORES.best("token") == 0
    assert SCORES.best("character") == SCORES.best("unconditional") == 1
    assert SCORES.best("byte") == 0  # -1 and -1: of equal scores the first


def test_probabilities_are_those_of_the_continuations_alone():
    p = SCORES.probabilities()
    assert p.sum() == pytest.approx(1) and p[0] / p[1] == pytest.approx(np.exp(2))
    assert SCORES.probabilities("unconditional")[1] == pytest.approx(
        np.exp(3) / (np.exp(-1) + np.exp(3))
    )


def test_a_continuation_of_one_space_has_one_character():
    assert Scores((" ",), (np.array([-2.0]),)).by("character") == [-2]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="no normalization 'words'; there are sum, token"):
        SCORES.by("words")
    with pytest.raises(ConfigError, match="pass unconditional="):
        Scores(("a",), (np.zeros(1),)).by("unconditional")


def test_the_log_probability_of_a_reply_is_the_sum_of_its_tokens():
    assert Completion("ab", [1, 2], np.array([-0.5, -1.5]), "end").logprob == -2
    assert Completion("", [], np.zeros(0), "length").logprob == 0


@pytest.mark.parametrize("kind", [Completion, Scores])
def test_results_do_not_change(kind):
    assert kind.__dataclass_params__.frozen and dataclasses.is_dataclass(kind)
