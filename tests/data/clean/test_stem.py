"""Porter's stemmer gives what his paper of 1980 prints for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean.stem import measure, porter_stem, porter_steps


@pytest.mark.parametrize(
    "m, words",
    [
        (0, "tr ee tree y by"),
        (1, "trouble oats trees ivy"),
        (2, "troubles private oaten orrery"),
    ],
)
def test_the_measures_of_the_paper(m, words):
    assert [measure(word) for word in words.split()] == [m] * len(words.split())


# The examples beside the rules, as the paper prints them: each is of one step alone.
EXAMPLES = {
    1: """caresses caress ponies poni ties ti caress caress cats cat""",
    2: """feed feed agreed agree plastered plaster bled bled motoring motor sing sing
    conflated conflate troubled trouble sized size hopping hop tanned tan falling fall hissing hiss
    fizzed fizz failing fail filing file""",
    3: "happy happi sky sky",
    4: """relational relate conditional condition rational rational valenci valence
    hesitanci hesitance digitizer digitize conformabli conformable radicalli radical
    differentli different vileli vile analogousli analogous vietnamization vietnamize
    predication predicate operator operate feudalism feudal decisiveness decisive
    hopefulness hopeful callousness callous formaliti formal sensitiviti sensitive
    sensibiliti sensible""",
    5: """triplicate triplic formative form formalize formal electriciti electric
    electrical electric hopeful hope goodness good""",
    6: """revival reviv allowance allow inference infer airliner airlin gyroscopic gyroscop
    adjustable adjust defensible defens irritant irrit replacement replac adjustment adjust
    dependent depend adoption adopt homologou homolog communism commun activate activ
    angulariti angular homologous homolog effective effect bowdlerize bowdler""",
    7: "probate probat rate rate cease ceas",
    8: "controll control roll roll",
}


@pytest.mark.parametrize("step", EXAMPLES)
def test_the_examples_of_every_step(step):
    words = EXAMPLES[step].split()
    for word, form in zip(words[::2], words[1::2]):
        forms = porter_steps(word)
        assert forms[step] == form, (word, forms)
        # The steps before have left it alone, but for the s of homologous.
        assert set(forms[1:step]) <= {word, "homologou"}


def test_long_words_go_step_by_step():
    assert list(dict.fromkeys(porter_steps("generalizations"))) == [
        "generalizations", "generalization", "generalize", "general", "gener",
    ]  # fmt: skip
    assert list(dict.fromkeys(porter_steps("oscillators"))) == [
        "oscillators", "oscillator", "oscillate", "oscill", "oscil",
    ]  # fmt: skip


def test_forms_of_a_word_have_one_stem():
    words = "connect connected connecting connection connections".split()
    assert {porter_stem(word) for word in words} == {"connect"}
    assert porter_stem("controlling") == "control"  # by the last step of all
    # Rules take off what looks like an ending; a form that no ending makes stays apart.
    assert porter_stem("relate") == "relat" and porter_stem("relativity") == "rel"
    assert porter_stem("towns") == "town" and porter_stem("wrote") == "wrote"


def test_y_is_a_vowel_after_a_consonant():
    # syzygy: c v c v c v; toy: a consonant after the o
    assert measure("syzygy") == 2 and porter_stem("toy") == "toi" and measure("toy") == 1
    assert porter_stem("sayings") == porter_stem("saying") == "sai"


@pytest.mark.parametrize(
    "word", ["as", "is", "s", "", "Städte", "naïves", "x86s", "Cats", "города"]
)
def test_other_words_stay_as_they_are(word):
    assert porter_stem(word) == word


@given(st.text("abeilnosty", min_size=1, max_size=12))
def test_a_stem_keeps_the_beginning_and_is_no_longer(word):
    stem = porter_stem(word)
    assert 0 < len(stem) <= len(word) and word[:1] == stem[:1]
