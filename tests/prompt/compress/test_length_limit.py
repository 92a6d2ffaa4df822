"""The limit holds in every case, whatever the model writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tests.prompt.small import Chat, text_model
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM, TextModel
from tinylm.prompt.compress.length_limit import simplify_with_limit, truncate
from tinylm.tokenizers import BPETokenizer

TEXT = "one two three four five six seven eight"
REQUEST = (
    "Simplify the following text so that it has at most {} words and keeps its meaning.\n"
    "Text: {}\nShort:"
)
BYTES = text_model(n_layer=1, context=512)


def test_a_text_within_the_limit_needs_no_model():
    found = simplify_with_limit(ScriptedLM([]), TEXT, 8)
    assert found.text == TEXT and found.details == {"attempts": 0, "truncated": False}


def test_a_reply_within_the_limit_is_the_result():
    lm = ScriptedLM([(REQUEST.format(3, TEXT), " one to eight ")])
    with lm.tracing() as trace:
        found = simplify_with_limit(lm, TEXT, 3)
    assert found.text == "one to eight" and (found.tokens, found.before) == (3, 8)
    assert found.details == {"attempts": 1, "truncated": False}
    assert trace.calls[0].parsed == [("simplification", "one to eight")]


def test_a_reply_that_is_too_long_is_shortened_again():
    lm = ScriptedLM(
        [
            (REQUEST.format(2, TEXT), "one up to about eight"),
            (REQUEST.format(2, "one up to about eight"), "six more words than were wanted"),
            (REQUEST.format(2, "one up to about eight"), ""),
            (REQUEST.format(2, "one up to about eight"), "numbers"),
        ]
    )
    found = simplify_with_limit(lm, TEXT, 2)
    assert found.text == "numbers" and found.details == {"attempts": 4, "truncated": False}


def test_a_reply_that_is_no_shorter_is_not_taken():
    same = "eight words that are no shorter than before"
    lm = ScriptedLM([(REQUEST.format(2, TEXT), same), (REQUEST.format(2, TEXT), "numbers")])
    assert simplify_with_limit(lm, TEXT, 2).text == "numbers" and lm.finished


def test_a_short_text_of_a_chat_may_have_paragraphs():
    found = [
        simplify_with_limit(kind([(None, " one\n\nto eight")]), TEXT, 3).text
        for kind in (Chat, ScriptedLM)
    ]
    assert found == ["one\n\nto eight", "one"]


def test_after_the_last_retry_the_shortest_text_is_cut():
    lm = ScriptedLM([(None, "one up to eight"), (None, TEXT)])
    found = simplify_with_limit(lm, TEXT, 2, retries=1)
    assert found.text == "one up" and found.details == {"attempts": 2, "truncated": True}
    assert lm.finished
    lm = ScriptedLM([(None, TEXT)] * 4)
    assert simplify_with_limit(lm, TEXT, 2).text == "one two" and lm.finished


def test_the_limit_may_be_in_tokens_of_another_model():
    lm = ScriptedLM([(REQUEST.format(2, TEXT), "1 to 8")])
    # 39 bytes in 8 words: 10 bytes are 2 words
    found = simplify_with_limit(lm, TEXT, 10, counter=BYTES)
    assert (found.text, found.tokens, found.before) == ("1 to 8", 6, 39)


class Recorder(ScriptedLM):
    def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
        self.seen.append((seed, begin, max_tokens, stop, sampling))
        return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)


def test_every_attempt_has_a_seed_of_its_own():
    lm = Recorder([(None, TEXT), (None, "one")])
    lm.seen = []
    simplify_with_limit(lm, TEXT, 1, seed=5, temperature=1.0)
    options = (["Short:"], 256, ("\n\n",), {"temperature": 1.0})
    assert lm.seen == [(5, *options), (6, *options)]
    assert "at most 1 words" in lm.prompts[0]


@given(text=st.text("aé \n", max_size=24), limit=st.integers(1, 12))
def test_the_limit_always_holds(text, limit):
    found = simplify_with_limit(BYTES, text, limit, retries=1, reply_tokens=4)
    assert BYTES.count(found.text) <= limit and found.tokens == BYTES.count(found.text)
    cut = truncate(BYTES, text, limit)
    assert BYTES.count(cut) <= limit and text.startswith(cut)


@pytest.mark.parametrize(
    "text, limit, cut",
    [
        ("ab cd ef", 8, "ab cd ef"),
        ("ab cd ef", 7, "ab cd"),
        ("ab cd ef", 5, "ab cd"),
        ("ab cd ef", 4, "ab"),
        ("ab cd ef", 1, "a"),
        ("ab\n\ncd", 4, "ab"),
        ("abcdef", 3, "abc"),
        ("aé", 2, "a"),  # half of a character is nothing
        ("é", 1, ""),
        (" abc", 2, " a"),
    ],
)
def test_a_text_is_cut_after_a_word_or_else_within_the_first(text, limit, cut):
    assert truncate(BYTES, text, limit) == cut


def test_a_word_of_several_tokens_is_not_cut():
    single = [bytes([byte]) for byte in range(256)]
    tokenizer = BPETokenizer([*single, b"ab", b" c"], [(97, 98), (32, 99)])
    lm = TextModel.of(make_gpt(258, 32), tokenizer, start=0)
    assert lm.token_texts("ab cd") == ["ab", " c", "d"]
    assert [truncate(lm, "ab cd", limit) for limit in (1, 2, 3)] == ["ab", "ab", "ab cd"]


def test_a_limit_is_a_token_at_least():
    with pytest.raises(ConfigError, match="the limit 0 must be 1 token or more"):
        simplify_with_limit(ScriptedLM([]), TEXT, 0)
