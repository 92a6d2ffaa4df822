"""BM25 against a computation by hand on three documents."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean.stem import porter_stem
from tinylm.errors import ConfigError
from tinylm.generate.retrieval.bm25 import InvertedIndex, expand_query, words

DOCUMENTS = ["the cat sat on the mat", "The dog sat.", "a bird"]
INDEX = InvertedIndex(DOCUMENTS)  # lengths 6, 3, 2; mean 11 / 3


def test_words_are_runs_of_letters_and_digits_in_lower_case():
    assert words("The Cat's mat, 2nd; çá") == ["the", "cat", "s", "mat", "2nd", "çá"]


def test_scores_by_hand():
    # sat: in 2 of 3, idf = log(1 + 1.5 / 2.5); cat: in 1 of 3, log(1 + 2.5 / 1.5); k1 = 1.2, b =
    # 0.75
    sat, cat = math.log(1.6), math.log(8 / 3)

    def part(idf, f, length):
        return idf * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * length / (11 / 3)))

    np.testing.assert_allclose(
        INDEX.scores("cat SAT"), [part(cat, 1, 6) + part(sat, 1, 6), part(sat, 1, 3), 0], rtol=1e-12
    )
    # "the": twice in the first document, once in the second
    np.testing.assert_allclose(
        INDEX.scores("the"), [part(sat, 2, 6), part(sat, 1, 3), 0], rtol=1e-12
    )


def test_a_search_gives_only_documents_with_a_word_of_the_query_and_ties_to_the_first():
    assert [i for i, _ in INDEX.search("cat sat", 3)] == [0, 1]
    assert INDEX.search("", 3) == INDEX.search("zebra", 3) == []
    assert [i for i, _ in InvertedIndex(["b a", "a b", "a"]).search("b", 3)] == [0, 1]


def test_parameters_at_their_ends():
    flat = InvertedIndex(DOCUMENTS, k1=0)  # only whether a word is there: idf
    np.testing.assert_allclose(flat.scores("the"), [math.log(1.6), math.log(1.6), 0], rtol=1e-12)
    blind = InvertedIndex(DOCUMENTS, b=0)  # length does not matter
    assert blind.scores("sat")[0] == blind.scores("sat")[1]


@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=5).map(" ".join), min_size=1, max_size=6)
)
def test_rarer_words_tell_more_and_nothing_counts_against_a_document(documents):
    index = InvertedIndex(documents)
    held = {word: sum(word in document.split() for document in documents) for word in "abcd"}
    for a in held:
        assert index.idf(a) > 0 and (index.scores(a) >= 0).all()
        assert all(index.idf(a) > index.idf(b) for b in held if held[a] < held[b])
    np.testing.assert_allclose(
        index.scores("a b"), index.scores("a") + index.scores("b"), rtol=1e-12
    )


def test_expansion_finds_what_other_words_say():
    related = {"car": ["automobile", "cars"], "fast": ["quick"]}
    assert expand_query("A fast car, fast", related) == "a fast car quick automobile cars"
    index = InvertedIndex(["bananas are yellow", "an automobile is quick"])
    assert (
        index.search("fast car", 1) == []
        and index.search(expand_query("fast car", related), 1)[0][0] == 1
    )


def test_rank_bm25_agrees_up_to_its_own_idf():
    bm25 = pytest.importorskip("rank_bm25")
    documents = ["a b c", "a a d", "e f", "g h a", "i j", "k l"]
    theirs = bm25.BM25Okapi([words(d) for d in documents], k1=1.2, b=0.75)
    index = InvertedIndex(documents)
    for word in "abcde":
        np.testing.assert_allclose(
            theirs.get_scores([word]) / theirs.idf[word],
            index.scores(word) / index.idf(word),
            rtol=1e-12,
        )


def test_counted_words_give_the_same_index():
    for options in {}, {"k1": 0.5, "b": 0.25}:
        whole = InvertedIndex(DOCUMENTS, **options)
        again = InvertedIndex.of_postings(DOCUMENTS, whole.lengths, dict(whole.postings), **options)
        assert again.search("the cat sat", 3) == whole.search("the cat sat", 3)
        assert again.documents == DOCUMENTS


def test_with_a_stemmer_forms_of_a_word_are_one_word():
    documents = ["towns and a relation", "a town", "cities relate"]
    plain, stemmed = InvertedIndex(documents), InvertedIndex(documents, stem=porter_stem)
    assert [i for i, _ in plain.search("town", 3)] == [1]
    assert [i for i, _ in stemmed.search("towns", 3)] == [1, 0]  # the shorter one first
    # It is the plain index of the stems.
    stems = [" ".join(stemmed.terms(text)) for text in documents]
    assert stemmed.terms("Towns relating") == ["town", "relat"]
    assert stemmed.scores("relations")[0] == InvertedIndex(stems).scores("relat")[0] > 0
    assert stemmed.idf("relations") == plain.idf("a")  # in two of three
    # A stem is not stemmed again: that of "generalizes" is "gener", whose own is "gener"; but
    # that of "databases" is "databas", whose own is "databa".
    assert porter_stem("databas") == "databa"
    again = InvertedIndex(["databases", "x"], stem=porter_stem)
    assert again.search("database", 1) == [(0, pytest.approx(again.idf("database")))]
    copy = InvertedIndex.of_postings(
        ["databases", "x"], again.lengths, again.postings, stem=again.stem
    )
    assert copy.search("database", 1) == again.search("database", 1)


def test_what_cannot_be_is_refused():
    for bad in {"b": 1.1}, {"b": -0.1}, {"k1": -0.1}:
        with pytest.raises(ConfigError, match=f"{list(bad)[0]} {list(bad.values())[0]}"):
            InvertedIndex([], **bad)
    assert (
        InvertedIndex([]).search("a", 3) == []
        and InvertedIndex(["", "a"]).search("a", 3)[0][0] == 1
    )


@pytest.mark.parametrize(
    "documents, query",
    [
        (["我住在上海", "他去北京工作"], "北京"),
        (["猫が好きです", "東京へ行きました"], "東京"),
        (["ผมชอบแมว", "เขาไปกรุงเทพ"], "กรุงเทพ"),
        (["tea", "CAFE\u0301 noir"], "caf\u00e9"),
    ],
)
def test_words_are_found_without_spaces_and_in_any_spelling(documents, query):
    assert InvertedIndex(documents).search(query, 1)[0][0] == 1
