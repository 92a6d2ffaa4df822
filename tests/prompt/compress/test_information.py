"""The self-information of tokens adds up to that of the text, however it is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tests.prompt.small import END, text_model
from tinylm.errors import ConfigError, DataError
from tinylm.generate.protocol.score import sequence_logprob
from tinylm.models.published.chat.builtin import TEMPLATES
from tinylm.prompt import ScriptedLM, TextModel
from tinylm.prompt.compress.information import (
    UNITS,
    _windows,
    split_units,
    token_information,
    unit_information,
)
from tinylm.tokenizers import ByteTokenizer

TEXT = "Sort it. Then, e.g., count the\nletters of it!"


def test_information_is_minus_the_log_probability_of_the_text():
    lm = text_model()
    pieces, information = token_information(lm, TEXT)
    ids = [END, *TEXT.encode()]
    whole = sequence_logprob(lm.opened.lm, np.array([ids]))[0]
    np.testing.assert_allclose(information.sum(), -whole, rtol=0, atol=1e-9)
    assert "".join(pieces) == TEXT and len(pieces) == len(information) and (information > 0).all()


def test_text_before_changes_what_a_token_says():
    lm = text_model()
    _, alone = token_information(lm, " b c")
    _, after = token_information(lm, " b c", "a")
    np.testing.assert_allclose(after, -lm.score("a", [" b c"]).terms[0])
    np.testing.assert_allclose(token_information(lm, " b c", "a \n")[1], after)
    assert np.abs(alone - after).max() > 1e-3


def test_a_chat_model_reads_the_text_without_its_template():
    tokenizer = ByteTokenizer(["<|im_start|>", "<|im_end|>"])
    gpt = make_gpt(tokenizer.vocab_size, 96)
    chat = TextModel.of(gpt, tokenizer, start=256, template=TEMPLATES["chatml"])
    assert chat.chat
    plain = TextModel.of(gpt, tokenizer, start=256)
    found, expected = token_information(chat, TEXT), token_information(plain, TEXT)
    np.testing.assert_allclose(found[1], expected[1])


def test_a_long_text_is_read_in_windows():
    lm = text_model(context=24)
    text = "aa bbb cc dddd ee fff ggg hh iiii jj kkk"
    pieces, information = token_information(lm, text)
    assert "".join(pieces) == text and len(information) == len(text)
    # half = 11: the first window is "aa bbb cc", the second " dddd ee" after all of the first
    np.testing.assert_allclose(information[:9], -lm.score("", ["aa bbb cc"]).terms[0])
    np.testing.assert_allclose(information[9:17], -lm.score("aa bbb cc", [" dddd ee"]).terms[0])
    # the last one follows as many whole words as a half holds
    last = -lm.score(" hh iiii jj", [" kkk"]).terms[0]
    np.testing.assert_allclose(information[36:], last)
    _, after = token_information(lm, text, "x" * 30)  # of the text before, the last half
    np.testing.assert_allclose(after[:9], -lm.score("x" * 11, ["aa bbb cc"]).terms[0])
    np.testing.assert_allclose(after[9:], information[9:])


@pytest.mark.parametrize("context", [3, 4, 5])
def test_the_shortest_contexts_hold_a_token_and_the_one_before(context):
    lm = text_model(context=context)
    _, information = token_information(lm, "abcdef")
    expected = [-lm.score(a, [b]).sums[0] for a, b in zip(["", *"abcde"], "abcdef")]
    np.testing.assert_allclose(information, expected)


def test_a_text_that_fits_is_read_at_once():
    lm = text_model(context=24)
    for before, text in (("", "a" * 23), ("bb", "a b" * 7)):
        _, information = token_information(lm, text, before)
        np.testing.assert_allclose(information, -lm.score(before, [text]).terms[0])


@pytest.mark.parametrize("before", ["", "bb "])
def test_a_text_that_fills_the_context_is_read_in_windows(before):
    # with the token that begins a text it is one too long
    lm, text = text_model(context=24), "aa bbb cc dddd ee fff gg"[: 24 - len(before)]
    assert len(before) + len(text) == 24
    _, information = token_information(lm, text, before)
    first = -lm.score(before.rstrip(), ["aa bbb cc"]).terms[0]
    np.testing.assert_allclose(information[:9], first)
    np.testing.assert_allclose(information[9:17], -lm.score("aa bbb cc", [" dddd ee"]).terms[0])


@given(text=st.text("ab ", min_size=1, max_size=40), half=st.integers(1, 9))
def test_windows_cover_every_token_once_within_their_size(text, half):
    pieces = list(text)
    windows = _windows(pieces, half)
    assert [start for start, _, _ in windows] == [0] + [stop for _, stop, _ in windows[:-1]]
    assert windows[-1][1] == len(text)
    for start, stop, past in windows:
        assert 0 < stop - start <= half and 0 <= start - past <= half
        assert (past < start) == (start > 0)


def test_windows_begin_at_words_where_there_are_any():
    # cuts before the spaces at 2, 6 and 9
    assert _windows(list("aa bbb cc d"), 4) == [(0, 2, 0), (2, 6, 0), (6, 9, 2), (9, 11, 6)]
    assert _windows(list("aaaaa"), 2) == [(0, 2, 0), (2, 4, 0), (4, 5, 2)]
    assert _windows(list("a  b"), 2) == [(0, 1, 0), (1, 3, 0), (3, 4, 1)]  # not between spaces


def test_an_empty_text_says_nothing():
    with pytest.raises(DataError, match="the text is empty"):
        token_information(text_model(), "")


def test_tokens_that_change_behind_a_text_are_refused():
    class Joins(ScriptedLM):
        """Scores one token fewer than the text has."""

        def _score(self, prompts, lists, begins):
            (found,) = super()._score(prompts, lists, begins)
            return [type(found)(found.continuations, (found.terms[0][1:],))]

    with pytest.raises(DataError, match="'b c' has 2 tokens, and 1 after 'a': let it begin"):
        token_information(Joins([(None, {"b c": -1.0})]), "b c", "a")


@pytest.mark.parametrize(
    "unit, parts",
    [
        ("word", "Sort| it.| Then,| e.g.,| count| the|\nletters| of| it!"),
        ("phrase", "Sort it.| Then,| e.g.,| count| the\nletters| of it!"),
        ("sentence", "Sort it.| Then, e.g., count the|\nletters of it!"),
    ],
)
def test_units_by_hand(unit, parts):
    assert split_units(list(TEXT), unit) == parts.split("|")


@given(text=st.text("ab .!\n", min_size=1, max_size=20), unit=st.sampled_from(UNITS))
def test_units_join_to_the_text_and_keep_all_information(text, unit):
    pieces = list(text)
    units = split_units(pieces, unit)
    assert "".join(units) == text and all(units)
    information = np.arange(1.0, len(text) + 1)
    found = unit_information(pieces, information, units)
    assert len(found) == len(units)
    np.testing.assert_allclose(found.sum(), information.sum())


def test_a_token_belongs_to_the_unit_of_its_first_character():
    # tokens: "a", " b", "c d", and a character of two tokens, the first without text
    pieces = ["a", " b", "c d", " ", "", "é", ""]
    found = unit_information(pieces, [1, 2, 4, 8, 16, 32, 64], ["a", " bc", " d", " é"])
    np.testing.assert_array_equal(found, [1, 2 + 4, 0, 8 + 16 + 32 + 64])
    assert split_units(pieces, "token") == ["a", " b", "c d", " ", "é"]


def test_another_unit_is_refused():
    with pytest.raises(
        ConfigError, match="no unit 'line'; there are token, word, phrase, sentence"
    ):
        split_units(["a"], "line")
