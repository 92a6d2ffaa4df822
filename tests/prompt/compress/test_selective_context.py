"""Selective Context drops the units that say least, and only those."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.small import text_model
from tinylm.errors import ConfigError
from tinylm.prompt.compress.information import UNITS, token_information, unit_information
from tinylm.prompt.compress.selective_context import selective_context, within_tokens

TEXT = "Sort the words of the list. Then count all letters, one by one. Do not stop early."
LM = text_model(n_layer=1)


def is_subsequence(short, long):
    rest = iter(long)
    return all(letter in rest for letter in short)


@pytest.mark.parametrize("unit", UNITS)
@given(text=st.text("ab é.\n", min_size=1, max_size=20), ratio=st.floats(0.05, 1))
def test_the_result_is_a_subsequence_of_the_most_informative_units(unit, text, ratio):
    found = selective_context(LM, text, ratio, unit)
    assert is_subsequence(found.text, text)
    units, kept = found.details["units"], found.details["kept"]
    information = found.details["information"]
    assert "".join(units) == text
    assert found.text == "".join(u for u, stays in zip(units, kept) if stays)
    assert kept.any()
    if not kept.all():
        assert information[kept].min() >= found.details["threshold"] > information[~kept].max()


@pytest.mark.parametrize("unit", UNITS)
def test_keeping_all_is_the_identity(unit):
    found = selective_context(LM, TEXT, 1.0, unit)
    assert found.text == TEXT and found.ratio == 1


@pytest.mark.parametrize("unit", UNITS)
def test_with_equal_information_nothing_can_be_told_apart(unit):
    lm = text_model(n_layer=1)
    for parameter in lm.opened.lm.model.parameters():
        parameter.data[...] = 0.0
    found = selective_context(lm, "ab cd ef", 0.3, unit)
    np.testing.assert_allclose(found.details["information"].sum(), 8 * np.log(257))
    if unit == "token":
        assert found.text == "ab cd ef"
    if unit == "word":  # "ab" has two tokens, the others three
        assert found.text == " cd ef"


def test_the_share_of_units_is_that_of_the_percentile():
    pieces, information = token_information(LM, TEXT)
    for ratio, stay in ((0.5, 41), (0.25, 21), (0.1, 9)):
        # n = 82 tokens: position 81 (1 - r) of the sorted ones, and all above
        found = selective_context(LM, TEXT, ratio, "token")
        assert found.details["kept"].sum() == stay == 82 - int(np.ceil(81 * (1 - ratio)))
        best = np.sort(np.argsort(-information)[:stay])
        assert found.text == "".join(pieces[i] for i in best)
        assert (found.tokens, found.before) == (stay, 82)


def test_phrases_are_the_unit_and_half_stays_unless_said_otherwise():
    found = selective_context(LM, TEXT)
    units = ["Sort", " the words", " of the list.", " Then count all letters,", " one"]
    units += [" by one.", " Do not stop early."]
    assert found.details["units"] == units
    assert found.details["kept"].sum() == 4  # the median of seven, and three above
    pieces, information = token_information(LM, TEXT)
    expected = unit_information(pieces, information, units)
    np.testing.assert_allclose(found.details["information"], expected)


def test_text_before_is_read_but_not_compressed():
    found = selective_context(LM, " words", 1.0, "token", before="Sort")
    np.testing.assert_allclose(
        found.details["information"], -LM.score("Sort", [" words"]).terms[0], atol=1e-10
    )
    assert found.text == " words"


@pytest.mark.parametrize("ratio", [0, 1.1, -0.5])
def test_a_share_is_above_0_and_at_most_1(ratio):
    with pytest.raises(ConfigError, match=f"the share {ratio}"):
        selective_context(LM, TEXT, ratio)


@pytest.mark.parametrize("unit", UNITS)
def test_the_most_informative_units_fill_a_number_of_tokens(unit):
    for limit in (0, 7, 30, 82):  # the text has 82 bytes, each a token
        found = within_tokens(LM, TEXT, limit, unit)
        units, kept = found.details["units"], found.details["kept"]
        information = found.details["information"]
        assert found.text == "".join(u for u, stays in zip(units, kept) if stays)
        assert found.tokens == len(found.text) <= limit
        best = np.argsort(-information, kind="stable")
        # The first so many, and the next one does not fit.
        assert kept[best[: kept.sum()]].all()
        if not kept.all():
            assert found.tokens + len(units[best[kept.sum()]]) > limit
    assert found.text == TEXT and found.before == 82


def test_phrases_within_tokens_are_the_unit_unless_said_otherwise():
    found = within_tokens(LM, TEXT, 40)
    assert found.details["units"] == selective_context(LM, TEXT).details["units"]
    after = within_tokens(LM, " words", 6, "token", before="Sort")
    expected = selective_context(LM, " words", 1.0, "token", before="Sort")
    np.testing.assert_array_equal(after.details["information"], expected.details["information"])


def test_of_equal_units_the_first_fit():
    lm = text_model(n_layer=1)
    for parameter in lm.opened.lm.model.parameters():
        parameter.data[...] = 0.0
    assert within_tokens(lm, "ab cd ef", 4, "token").text == "ab c"
    with pytest.raises(ConfigError, match="the limit -1 must be 0 tokens or more"):
        within_tokens(lm, "ab", -1)


def test_a_share_of_units_is_not_that_of_tokens():
    # With equal tokens a word's information is its length, so the long half of the words stays:
    # " abcdef" and " ghijkl" are 14 of 19 bytes, and 2 of 4 words.
    lm = text_model(n_layer=1)
    for parameter in lm.opened.lm.model.parameters():
        parameter.data[...] = 0.0
    found = selective_context(lm, "ab abcdef cd ghijkl", 0.5, "word")
    assert found.text == " abcdef ghijkl" and found.ratio == 14 / 19
    within = within_tokens(lm, "ab abcdef cd ghijkl", 10, "word")
    assert within.text == " abcdef" and within.ratio == 7 / 19
