"""A lexicon's paraphrases mean the same by construction; translations and models are hooks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.small import Chat, text_model
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.optimize.paraphrase import (
    Lexicon,
    lm_paraphrases,
    lm_translator,
    round_trip,
)

LEXICON = Lexicon([("big", "large"), ("begin with", "start at", "open"), ("car",)])

texts = st.lists(
    st.sampled_from("a big large car begin with start at open Big Open bigger".split()), max_size=6
).map(" ".join)


def test_a_paraphrase_replaces_phrases_and_keeps_the_rest():
    space = LEXICON.space("Begin with a Big, bigger cAr.")
    assert list(space) == [
        f"{verb} a {size}, bigger cAr."
        for verb in ("Begin with", "Start at", "Open")
        for size in ("Big", "Large")
    ]
    assert LEXICON.paraphrases("a big one") == ["a large one"]


@given(text=texts, seed=st.integers(0, 9))
def test_paraphrases_of_a_text_have_one_meaning(text, seed):
    rng = np.random.default_rng(seed)
    meaning = LEXICON.canonical(text)
    new = LEXICON.paraphrase(text, rng)
    assert LEXICON.canonical(new) == meaning == LEXICON.canonical(meaning)
    # A paraphrase of a paraphrase is one of the text: the same texts, but for capital letters.
    same = {prompt.casefold() for prompt in LEXICON.space(text)}
    assert {prompt.casefold() for prompt in LEXICON.space(new)} == same
    assert text in LEXICON.space(text)


def test_a_text_without_any_phrase_stays():
    rng = np.random.default_rng(0)
    assert LEXICON.paraphrases("nothing here") == [] and LEXICON.paraphrases("a car") == []
    assert LEXICON.paraphrase("nothing here", rng) == "nothing here"
    assert list(Lexicon([]).space("any")) == ["any"]


def test_a_paraphrase_is_drawn_uniformly_from_the_others():
    rng = np.random.default_rng(0)
    drawn = [LEXICON.paraphrase("open big", rng) for _ in range(500)]
    others = LEXICON.paraphrases("open big")
    assert len(others) == 5 and set(drawn) == set(others)
    counts = np.array([drawn.count(other) for other in others])
    assert ((counts - 100) ** 2 / 100).sum() < 18.5  # chi-square of 4 degrees, once in a thousand


def test_the_lexicon_of_instructions():
    lexicon = Lexicon()
    assert "Choose the right answer to the query." in lexicon.paraphrases(
        "Select the correct answer to the question."
    )


@pytest.mark.parametrize(
    "groups", [[("big", "large"), ("large",)], [("again and again",)], [("A", "a")]]
)
def test_a_word_belongs_to_one_phrase(groups):
    with pytest.raises(ConfigError, match="must belong to one phrase"):
        Lexicon(groups)


def test_a_round_trip_is_ranked_by_the_probability_of_both_ways():
    there = {"cat": [("chat", -1.0), ("matou", -2.0)]}
    back = {"chat": [("cat", -0.5), ("kitty", -3.0)], "matou": [("tomcat", -0.5), ("kitty", -1.5)]}
    # kitty: max(-1 - 3, -2 - 1.5); tomcat: -2 - 0.5; cat is the text itself
    found = round_trip("cat", there.get, back.get)
    assert found == ["tomcat", "kitty"]
    assert round_trip("cat", there.get, back.get, count=1) == ["tomcat"]
    back["chat"].append(("kitty", -1.0))  # now -2 over chat
    assert round_trip("cat", there.get, back.get) == ["kitty", "tomcat"]


def test_a_model_translates_with_its_own_probabilities():
    request = "Translate the following text from English to French.\nAdd.\nFrench:"
    lm = ScriptedLM([(request, " Ajoutez."), (request, " Somme.\n\nmore")])
    there = lm_translator(lm, "English", "French", count=2)
    assert [text for text, _ in there("Add.")] == ["Ajoutez.", "Somme."]
    model = text_model(n_layer=1, context=160)
    (first, second) = lm_translator(model, "English", "French", count=2, max_tokens=3)("Add.")
    assert first != second and all(-math.inf < logprob < 0 for _, logprob in (first, second))
    again = lm_translator(model, "English", "French", count=2, max_tokens=3)("Add.")
    assert again == [first, second]


def test_a_chat_translates_every_paragraph():
    lm = Chat([(None, " Un.\n\nDeux.")])
    assert lm_translator(lm, "English", "French", 1)("One.\n\nTwo.")[0][0] == "Un.\n\nDeux."


def test_a_model_writes_new_prompts_for_the_same_task():
    request = (
        "Below is a prompt for an LLM. Please provide some new prompts to perform the same task.\n"
        "Input: Add.\n1."
    )
    lm = ScriptedLM([(request, " Sum.\n2. Add.\n3. Total."), (request, " Plus.\n2. Total.\n3. x")])
    assert lm_paraphrases(lm, "Add.", 3) == ["Sum.", "Total.", "Plus."] and lm.finished
    lm = ScriptedLM([(request, " a\n2. b\n3. c\n4. d\n5. e")])
    assert lm_paraphrases(lm, "Add.") == ["a", "b", "c", "d"]
