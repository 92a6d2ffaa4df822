"""Stop strings and the end token: nothing handed out that must be taken back, nothing lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.generate.stop import Output, StopStrings
from tinylm.tokenizers import ByteTokenizer

texts = st.text("ab", max_size=12)


stop_lists = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3)


@given(text=texts, stops=stop_lists, cuts=st.sets(st.integers(1, 11)))
def test_any_cutting_of_the_text_gives_the_text_before_the_first_stop_string(text, stops, cuts):
    borders = [0, *sorted(c for c in cuts if c < len(text)), len(text)]
    finder, given_out, found = StopStrings(stops), b"", False
    for start, stop in zip(borders, borders[1:]):
        piece, found = finder.feed(text[start:stop].encode())
        given_out += piece
        if found:
            break
    # A piece is searched as it comes: the first stop string to be complete decides, and of those
    # the earliest.
    ends = [text.find(s) + len(s) for s in stops if s in text]
    assert found == bool(ends)
    if not found:
        assert given_out + finder.held == text.encode()
    else:
        arrived = next(border for border in borders[1:] if border >= min(ends))
        places = [text[:arrived].find(s) for s in stops if s in text[:arrived]]
        assert given_out == text[: min(places)].encode()


def test_only_what_may_begin_a_stop_string_is_held_back():
    finder = StopStrings(["abc"])
    assert finder.feed(b"xa") == (b"x", False)
    assert finder.feed(b"b") == (b"", False)
    assert finder.feed(b"d") == (b"abd", False)  # it was none
    assert finder.feed(b"abc") == (b"", True)


def test_tokens_that_hold_a_part_of_the_stop_string_are_not_released():
    output = Output("\n\n", ByteTokenizer())
    released = [output.add(token)[0] for token in b"a\nb\n"]
    assert released == [[97], [], [10, 98], []] and not output.done
    assert output.add(10) == ([], b"") and output.done


def test_what_was_held_back_is_released_at_the_end():
    output = Output("abc", ByteTokenizer())
    assert output.add(ord("a")) == ([], b"")
    assert output.close() == ([97], b"a") and output.done


def test_the_end_token_is_released_last_and_has_no_text():
    output = Output("abc", ByteTokenizer(), eos=0)
    output.add(ord("a"))
    assert output.add(0) == ([97, 0], b"a") and output.done


def test_stop_strings_need_a_tokenizer_and_a_character():
    with pytest.raises(ConfigError, match="tokenizer"):
        Output("x")
    with pytest.raises(ConfigError, match="at least one character"):
        StopStrings([""])


def test_several_tokens_may_end_a_row():
    output = Output(tokenizer=ByteTokenizer(), eos=(3, np.int32(5)))
    assert output.add(ord("a")) == ([ord("a")], b"a") and not output.done
    assert output.add(5) == ([5], b"") and output.done


@given(
    lead=st.text("ab", max_size=4),
    text=texts,
    stops=stop_lists,
    cuts=st.sets(st.integers(1, 11)),
)
def test_a_lead_is_passed_and_the_rest_searched_as_a_text_of_its_own(lead, text, stops, cuts):
    borders = [0, *sorted(c for c in cuts if c < len(text)), len(text)]
    finder, given_out, found = StopStrings(stops, lead), b"", False
    for start, stop in zip(borders, borders[1:]):
        piece, found = finder.feed(text[start:stop].encode())
        given_out += piece
        if found:
            break
    rest = text.removeprefix(lead)
    # Nothing can be found in a text that may still become the lead.
    assert found == any(s in rest for s in stops) or lead.startswith(text)
    if not found:
        assert given_out + finder.held == text.encode()
    else:
        before = text[: len(text) - len(rest)]
        assert given_out.decode().startswith(before) and text.startswith(given_out.decode())
        assert not any(s in given_out.decode()[len(before) :] for s in stops)
        assert text[len(given_out) :].startswith(finder.found)


def test_a_stop_string_in_the_lead_ends_no_text():
    for pieces in ["\nParis\nx"], ["\n", "Par", "is\n"], list("\nParis\n"):
        finder = StopStrings(["\n"], "\n")
        found = [finder.feed(piece.encode()) for piece in pieces]
        assert b"".join(text for text, _ in found) == b"\nParis" and found[-1][1]
    finder = StopStrings(["\n"], "\n\n")  # a text that begins otherwise is searched whole
    assert finder.feed(b"\n") == (b"", False) and finder.held == b"\n"
    assert finder.feed(b"P") == (b"", True)
    # It is passed once: the same string after it is text.
    finder = StopStrings(["\n\n"], "\n")
    assert finder.feed(b"\n") == (b"\n", False)
    assert finder.feed(b"\n\n") == (b"", True)


def test_a_lead_that_never_ends_is_given_out_at_the_end():
    output = Output("b", ByteTokenizer(), lead="aab")
    assert output.add(97) == ([], b"") and output.add(97) == ([], b"")
    assert output.close() == ([97, 97], b"aa")
