"""A label is read from free text, and the rule that decided is named."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.tasks.labels import LabelMapper, Mapped, compliance_rate

LABELS = ("positive", "negative", "neutral")
MAPPER = LabelMapper(LABELS, {"positive": ["good", "favorable"], "negative": ["bad", "not great"]})


@pytest.mark.parametrize(
    "reply, label, rule",
    [
        ("negative", "negative", "exact"),
        (" Negative.\n", "negative", "exact"),
        ('**"Neutral"**', "neutral", "exact"),
        ("The polarity of the text can be classified as negative.", "negative", "single"),
        ("Negative, because negative words prevail", "negative", "single"),
        ("It sounds good; all in all NEGATIVE", "negative", "single"),  # labels before synonyms
        # Negation
        ("It is not positive, it is negative.", "negative", "single"),
        ("It isn't really positive but negative.", "negative", "single"),
        ("It isn\N{RIGHT SINGLE QUOTATION MARK}t positive; neutral", "neutral", "single"),
        ("not positive but negative", "negative", "single"),
        ("negative rather than positive", "negative", "single"),
        ("Negative instead of Neutral", "negative", "single"),
        ("not only negative", "negative", "single"),
        ("This cannot be called positive.", None, "none"),
        ("not positive", None, "none"),
        ("neither positive nor negative", "neutral", "excluded"),
        ("It is never negative and not neutral.", "positive", "excluded"),
        # Three words between the negation and the label, and four
        ("not in any way positive", None, "none"),
        ("not in any such way positive", "positive", "single"),
        ("No. Positive", "positive", "single"),  # another clause
        # What affirms, and what leaves it open
        ("There is no doubt this is positive.", "positive", "single"),
        ("It is without any doubt positive.", "positive", "single"),
        ("no question, positive", "positive", "single"),
        ("There is no doubt that it is not positive.", None, "none"),
        ("It is not clear whether it's positive.", None, "none"),
        ("not sure that this is positive; neutral", "neutral", "single"),
        ("It's unclear if this is *positive*, but it is neutral", "neutral", "single"),
        # Several
        ("positive or negative", None, "several"),
        ("It can be classified as positive or negative.", None, "several"),
        ("Positive and neutral seem possible, but it is negative.", "negative", "statement"),
        ("Options: positive, negative. Answer: neutral", "neutral", "statement"),
        ("The first is positive. The second is negative.", None, "several"),
        ("It was a positive day. I mean negative things.", "positive", "statement"),
        (
            "neutral things. I would say that it is clearly a *negative* one",
            "negative",
            "statement",
        ),
        # Synonyms
        ("A favorable review", "positive", "synonym"),
        ("bad, not great", "negative", "synonym"),
        ("That is not bad.", None, "none"),
        ("good and bad", None, "several"),
        ("Not  great", "negative", "synonym"),
        # No mention
        ("I cannot tell.", None, "none"),
        ("", None, "none"),
        ("positively non-negative neutrals", None, "none"),
    ],
)
def test_a_reply_has_the_label_that_it_states(reply, label, rule):
    mapped = MAPPER.read(reply)
    assert (mapped.label, mapped.rule) == (label, rule)


@pytest.mark.parametrize(
    "reply, label, rule",
    [
        ("not positive", "negative", "excluded"),
        ("It isn't a *positive* text", "negative", "excluded"),
        ("neither really positive", "negative", "excluded"),
        ("nor was it positive", "negative", "excluded"),
        ("It cannot be called positive.", None, "none"),  # nor need it be negative
        ("There is no doubt this is positive.", "positive", "single"),
        ("It is not clear whether it's positive.", None, "none"),
        ("It is not positive, and not clear whether it is negative.", None, "none"),
        ("neither positive nor negative", None, "none"),
    ],
)
def test_of_two_labels_one_is_left_where_the_other_is_denied_itself(reply, label, rule):
    mapped = LabelMapper(["positive", "negative"]).read(reply)
    assert (mapped.label, mapped.rule) == (label, rule)


def test_all_labels_that_are_asserted_are_reported():
    assert MAPPER.read("negative, positive or negative; not neutral") == Mapped(
        None, "several", ("negative", "positive")
    )
    assert MAPPER.read("Neutral!").mentioned == ("neutral",)
    assert MAPPER.read("not neutral").mentioned == ()
    assert MAPPER.read("a favorable view").mentioned == ("positive",)


def test_the_longer_of_two_labels_is_meant():
    mapper = LabelMapper(["good", "very good", "C++"])
    assert mapper.read("It is a very  good book").label == "very good"
    assert mapper.read("It is a good book").label == "good"
    assert mapper.read("I use c++ now").label == "C++"
    # Marks at a word's end make another word.
    languages = LabelMapper(["C", "C#", "Java"])
    assert languages.read("C#").label == languages.read("It is C#, I think").label == "C#"
    assert languages.read("C++").label is None and languages.read("In C++ it is").label is None
    assert languages.read("# C").label == "C"
    assert LabelMapper(["yes", "no"]).read("No").label == "no"


def vectors(texts):
    """Two directions: how much a text is about sun, and about rain."""
    return np.array([[text.count("s"), text.count("r")] for text in texts])


def test_without_any_mention_the_nearest_label_is_taken_if_texts_have_embeddings():
    mapper = LabelMapper(["ss", "r", "qq"], embed=vectors)
    mapped = mapper.read("xx rrr s")
    assert (mapped.label, mapped.rule) == ("r", "nearest")
    assert mapped.similarity == pytest.approx(3 / np.sqrt(10))
    assert mapper.read("not ss").rule == "none"  # a mention, though a negated one
    assert mapper.read("xx").similarity == 0  # a zero vector is similar to nothing
    strict = LabelMapper(["ss", "r"], embed=vectors, least=0.95)
    mapped = strict.read("xx rrr s")
    assert (mapped.label, mapped.rule) == (None, "none")
    assert mapped.similarity == pytest.approx(3 / np.sqrt(10))  # what was too little
    assert LabelMapper(["ss", "r"], embed=vectors, least=1.0).read("x rr").label == "r"


def test_labels_are_told_apart():
    with pytest.raises(ConfigError, match="at least one label"):
        LabelMapper([])
    with pytest.raises(ConfigError, match="'a' has synonyms and is no label"):
        LabelMapper(["b"], {"a": ["c"]})
    for labels, synonyms in (
        (["a", "A"], {}),
        (["a", ""], {}),
        (["a", "b"], {"a": ["B."]}),
        (["a", "b"], {"a": ["c"], "b": ["c"]}),
        (["a", "..."], {}),
    ):
        with pytest.raises(ConfigError, match="is empty or given twice"):
            LabelMapper(labels, synonyms)


def test_compliance_is_to_the_letter():
    replies = ["negative", "Negative", "negative.", " neutral", "It is negative", "positive"]
    assert compliance_rate(replies, LABELS) == 2 / 6
    assert compliance_rate(["neutral"], LABELS) == 1.0
    with pytest.raises(DataError, match="at least one reply"):
        compliance_rate([], LABELS)
