import pytest

from tinylm import book
from tinylm.book import terms


@pytest.mark.parametrize(
    "one, other",
    [
        ("Pre-training", "pretraining"),
        ("fine-tuned", "Finetuned"),
        ("language modelling", "language modeling"),
        ("Quantisation", "quantization"),
        ("key-value", "key value"),
    ],
)
def test_spellings_of_a_word_are_one(one, other):
    assert terms.words_of(one).words == terms.words_of(other).words


@pytest.mark.parametrize(
    "text, phrase, how_well",
    [
        ("the causal mask", ("causal", "mask"), 1.0),
        ("causal masks", ("causal", "mask"), 0.95),
        ("masked", ("masking",), 0.6),
        ("mask of a causal model", ("causal", "mask"), 0.0),
        ("learned positions", ("dpo",), 0.0),
        ("a loss", ("los",), 0.0),
    ],
)
def test_a_phrase_matches_whole_words(text, phrase, how_well):
    assert terms.words_of(text).match(phrase) == how_well


def test_other_forms_count_only_if_they_are_wanted():
    assert terms.words_of("slice").match(("slices",), forms=False) == 0.95
    assert terms.words_of("masked").match(("masking",), forms=False) == 0.0


def test_a_query_is_cut_into_the_longest_terms_that_are_known():
    assert [term.literal for term in terms.split("KV cache of a model")] == ["kv cache", "model"]
    (term,) = terms.split("GQA")
    assert term.rows[0] == "C2b-55" and ("grouped", "query", "attention") in term.others


def test_words_that_say_nothing_count_only_alone():
    assert [term.literal for term in terms.split("how does the softmax work")] == ["softmax"]
    assert [term.literal for term in terms.split("the")] == ["the"]
    assert terms.split(" ?! ") == []


def test_names_of_code_are_words():
    row = book.Row("X", "2.1.1", "c: d", "tinylm.a:MaskedLM tinylm.b:causal_mask", "-", "-")
    text = terms.texts_of(row)
    for phrase in [("masked", "lm"), ("maskedlm",), ("causal", "mask")]:
        assert text.names.match(phrase) == 1
    assert text.head.words == ("c",)


def test_every_row_of_the_table_of_synonyms_is_there():
    ids = {row.id for row in book.rows()}
    assert {id for term in terms.synonyms().values() for id in term.rows} <= ids
