"""Replies written by hand check every prompt, and never show more than the order of the calls."""

import re

import pytest

from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM


def test_replies_come_in_the_order_of_the_script():
    lm = ScriptedLM([("first", "one"), (re.compile("second.*"), "two"), (None, "three")])
    replies = [lm.complete(prompt).text for prompt in ("first", "second, longer", "anything")]
    assert replies == ["one", "two", "three"] and lm.finished
    assert lm.prompts == ["first", "second, longer", "anything"]


def test_a_prompt_that_is_not_the_expected_one_is_refused_with_both():
    lm = ScriptedLM([("first", "one"), ("second", "two")])
    lm.complete("first")
    assert not lm.finished
    with pytest.raises(ConfigError, match="prompt 2 is\n'other'\nand should be\n'second'"):
        lm.complete("other")
    with pytest.raises(ConfigError, match="prompt 1 is"):  # a pattern must match the whole
        ScriptedLM([(re.compile("fir"), "one")]).complete("first")


def test_a_call_after_the_last_reply_is_refused():
    with pytest.raises(ConfigError, match="the script is over, but a prompt came: 'more'"):
        ScriptedLM([]).complete("more")


def test_a_table_replies_in_any_order_and_again():
    lm = ScriptedLM({"a": "1", "b": "2"})
    assert [reply.text for reply in lm.complete_batch(["b", "a", "b"])] == ["2", "1", "2"]
    with pytest.raises(ConfigError, match=r"no reply for the prompt 'c'; .* \['a', 'b'\]"):
        lm.complete("c")


def test_a_text_to_begin_with_is_a_part_of_the_prompt():
    lm = ScriptedLM([("Q: x\nA: Let us think.", "Done.")])
    assert lm.complete("Q: x\nA:", begin=" Let us think.").text == "Done."
    messages = [{"role": "user", "content": "x"}]
    lm = ScriptedLM([([*messages, {"role": "assistant", "content": "Well,"}], "yes")])
    assert lm.complete(messages, begin="Well,").text == "yes"


def test_replies_are_cut_as_those_of_a_model():
    lm = ScriptedLM({"p": "one two three\nfour"})
    cut = lm.complete("p", stop="\n")
    assert (cut.text, cut.finish, cut.stopped_by) == ("one two three", "stop", "\n")
    cut = lm.complete("p", stop=("four", "two"))
    assert (cut.text, cut.stopped_by) == ("one ", "two")  # the first to occur
    short = lm.complete("p", max_tokens=2)
    assert (short.text, short.finish, len(short.tokens)) == ("one two", "length", 2)
    assert short.stopped_by == lm.complete("p", max_tokens=2, stop="four").stopped_by == ""
    assert lm.complete("p", max_tokens=4).finish == "end"


def test_scores_are_given_by_continuation():
    lm = ScriptedLM([("p", {" yes": -1.0, " oh no": -0.5, " other": -9})])
    scores = lm.score("p", [" oh no", " yes"])
    assert scores.sums.tolist() == [-0.5, -1.0] and scores.best() == 0
    assert [len(terms) for terms in scores.terms] == [2, 1]


def test_a_reply_of_the_wrong_kind_is_refused():
    with pytest.raises(ConfigError, match="was to be completed, but its reply is {'a': 0}"):
        ScriptedLM({"p": {"a": 0}}).complete("p")
    with pytest.raises(ConfigError, match="were to be scored after 'p'"):
        ScriptedLM({"p": "text"}).score("p", ["a"])
    with pytest.raises(ConfigError, match="were to be scored after 'p'"):
        ScriptedLM({"p": {"a": 0}}).score("p", ["a", "b"])


def test_words_are_counted():
    lm = ScriptedLM({"two words": "a reply of five words"})
    lm.complete("two words")
    assert (lm.account.calls, lm.account.prompt_tokens, lm.account.generated_tokens) == (1, 2, 5)
    assert lm.count("a b  c ") == 4  # white space at the end is a token of its own
    lm = ScriptedLM({"a b": {"x y": -1.0}})
    lm.score("a b", ["x y"])
    assert lm.account.scored_tokens == 2 and lm.account.tokens == 4


def test_the_tokens_of_a_scripted_model_are_words():
    assert ScriptedLM([]).token_texts("a bc\nd ") == ["a", " bc", "\nd", " "]


def test_words_of_a_stop_string_are_written_and_cut_off():
    lm = ScriptedLM([(None, "one two\n\nQ: three four")] * 3)
    # The stop string is a word of its own, which the model has written.
    found = lm.complete("P", stop="\n\nQ:")
    assert (found.text, len(found.tokens), found.cut, found.stopped_by) == (
        "one two",
        2,
        1,
        "\n\nQ:",
    )
    assert lm.account.generated_tokens == 3
    # The end of a word is no word more; and no more is written than is allowed.
    inside = ScriptedLM([(None, "{a} b")] * 2)
    assert inside.complete("P", stop="}").cut == 0
    assert lm.complete("P", stop="\n\nQ:", max_tokens=2).cut == 0
    assert lm.complete("P", stop="four", max_tokens=1).finish == "length"


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 0.0}, {"top_k": 1}])
def test_samples_that_would_all_be_the_same_are_refused(options):
    lm = ScriptedLM([("x", "a")])
    with pytest.raises(
        ConfigError, match="2 replies of the likeliest tokens would all be the same"
    ):
        lm.sample("x", 2, **options)
    assert lm.sample("x", 1, **options)[0].text == "a"
    assert len(ScriptedLM([("x", "a"), ("x", "b")]).sample("x", 2, top_k=2)) == 2
