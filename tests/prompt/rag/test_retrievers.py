"""Rankings by meaning, fused rankings, and rankings by the likelihood of the question."""

import functools

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import ScriptedLM
from tinylm.prompt.rag import retrievers
from tinylm.prompt.rag.chunks import Passage
from tinylm.prompt.rag.retrievers import (
    Dense,
    Hybrid,
    Reranked,
    find_texts,
    question_likelihood,
    reciprocal_rank_fusion,
    weighted_fusion,
)

DIRECTIONS = {"north": (0, 2), "east": (3, 0), "northeast": (1, 1), "south": (0, -1)}


def embed(texts):
    return np.array([DIRECTIONS[text] for text in texts])


def test_a_dense_search_ranks_by_the_angle_whatever_the_length():
    index = Dense(["east", "northeast", "south"], embed)
    found = index.search("north", 2)
    assert [i for i, _ in found] == [1, 0]
    np.testing.assert_allclose([score for _, score in found], [np.sqrt(0.5), 0], atol=1e-12)
    assert [i for i, _ in index.search("north", 9)] == [1, 0, 2]  # no more than there are
    assert index.search("north", 0) == [] and Dense([], embed).search("north", 1) == []


def test_a_dense_search_is_the_brute_force_over_cosines():
    rng = np.random.default_rng(0)
    vectors = {str(i): rng.normal(size=5) for i in range(40)}
    index = Dense(list(vectors), lambda texts: np.array([vectors[text] for text in texts]))
    for query in "3", "17":
        cosines = {
            i: v @ vectors[query] / np.linalg.norm(v) / np.linalg.norm(vectors[query])
            for i, v in enumerate(vectors.values())
        }
        expected = sorted(cosines, key=cosines.get, reverse=True)[:7]
        assert [i for i, _ in index.search(query, 7)] == expected
        assert expected[0] == int(query)  # a text is nearest to itself


def test_texts_are_embedded_in_batches_and_come_back_in_order():
    sizes = []

    def lengths(texts):
        sizes.append(len(texts))
        assert [len(t) for t in texts] == sorted(len(t) for t in texts)
        return [[len(text), 1] for text in texts]

    texts = ["a" * (i * 7 % 70 + 1) for i in range(70)]
    index = Dense(texts, lengths)
    assert sizes == [32, 32, 6]
    ratios = index.vectors[:, 0] / index.vectors[:, 1]
    np.testing.assert_allclose(ratios, [len(text) for text in texts])


def test_stored_vectors_are_not_made_again():
    index = Dense(["x", "y"], embed, vectors=[[0, 1], [1, 0]])
    assert index.search("east", 1)[0][0] == 1
    with pytest.raises(ShapeError, match=r"vectors \(1, 2\) for 2 documents"):
        Dense(["x", "y"], embed, vectors=[[0, 1]])
    with pytest.raises(ShapeError, match=r"vectors \(2,\) for 2 documents"):
        Dense(["x", "y"], embed, vectors=[0, 1])


def test_the_published_encoder_is_the_usual_embedder(monkeypatch):
    monkeypatch.setattr(retrievers, "load_sentence_encoder", {"minilm": embed}.get)
    assert Dense(["east", "south"]).search("northeast", 1)[0][0] == 0


def test_reciprocal_ranks_are_added():
    fused = reciprocal_rank_fusion([[(7, 0.9), (3, 0.1)], [(3, 12.0), (5, 11.0), (7, 10.0)]])
    expected = {3: 1 / 62 + 1 / 61, 7: 1 / 61 + 1 / 63, 5: 1 / 62}
    assert fused == sorted(expected.items(), key=lambda pair: -pair[1])
    assert reciprocal_rank_fusion([[(1, 5.0)]], constant=1) == [(1, 0.5)]
    assert reciprocal_rank_fusion([[(2, 5.0)], [(1, 4.0)]]) == [(1, 1 / 61), (2, 1 / 61)]
    assert reciprocal_rank_fusion([[], []]) == []


def test_weighted_scores_are_scaled_to_each_list():
    words, meanings = [(7, 30.0), (3, 20.0), (5, 10.0)], [(3, 0.9), (7, 0.5)]
    # words: 7 -> 1, 3 -> 1/2, 5 -> 0;  meanings: 3 -> 1, 7 -> 0
    found = weighted_fusion([words, meanings], weights=(0.75, 0.25))
    assert found == [(7, 0.75), (3, 0.625), (5, 0.0)]
    assert weighted_fusion([words, meanings], weights=(0.25, 0.75))[0] == (3, 0.875)
    assert weighted_fusion([[], [(2, 4.0)]], weights=(1, 0.5)) == [(2, 0.5)]  # alone: all of it
    with pytest.raises(ConfigError, match="1 weights for 2 rankings"):
        weighted_fusion([words, meanings], weights=(1,))


TEXTS = ["the cat sat", "a cat ran", "a dog sat", "birds fly"]


class Fixed:
    """A retriever that always finds the same, and keeps the depths that were asked for."""

    def __init__(self, found):
        self.documents, self.found, self.depths = TEXTS, found, []

    def search(self, query, k):
        self.depths.append(k)
        return self.found[:k]


def test_a_hybrid_search_fuses_what_its_retrievers_find():
    first, second = Fixed([(2, 1.0), (3, 0.5)]), Fixed([(3, 9.0), (1, 8.0)])
    hybrid = Hybrid([first, second], depth=10)
    assert [i for i, _ in hybrid.search("q", 2)] == [3, 2]
    assert hybrid.search("q", 3) == reciprocal_rank_fusion([first.found, second.found])
    hybrid.search("q", 20)
    assert first.depths == second.depths == [10, 10, 20]
    Hybrid([first]).search("q", 1)
    assert first.depths[-1] == 50  # by default
    shallow = Hybrid([first, second], depth=1)
    assert [i for i, _ in shallow.search("q", 1)] == [2]  # 3 is best of one list alone: lower wins
    weighted = Hybrid([first, second], functools.partial(weighted_fusion, weights=(1.0, 0.1)))
    assert weighted.search("q", 1) == [(2, 1.0)]


def test_retrievers_of_a_hybrid_search_have_the_same_documents():
    with pytest.raises(ConfigError, match="the same documents"):
        Hybrid([InvertedIndex(TEXTS), InvertedIndex(TEXTS[::-1])])
    with pytest.raises(ConfigError, match="at least one"):
        Hybrid([])


def test_candidates_are_put_in_the_order_of_a_second_score():
    first = Fixed([(2, 1.0), (3, 0.5), (0, 0.4), (1, 0.3)])
    asked = []

    def score(query, texts):
        asked.append((query, texts))
        return [-len(text) for text in texts]

    reranked = Reranked(first, score, depth=3)
    assert reranked.search("q", 2) == [(2, -9.0), (3, -9.0)]  # of equals the first stays first
    assert asked == [("q", ["a dog sat", "birds fly", "the cat sat"])]  # not the fourth
    assert first.depths == [3]
    assert len(reranked.search("q", 4)) == 4 and first.depths == [3, 4]
    empty = Fixed([])
    assert Reranked(empty, score).search("q", 1) == [] and len(asked) == 2
    assert empty.depths == [20]  # by default


def test_the_score_of_a_passage_is_the_likelihood_of_the_question():
    lm = text_model(context=160)
    found = question_likelihood(lm)("Which?", [" a cat ", "dogs"])
    prompts = [
        f"Passage: {text}\nPlease write a question based on this passage.\nQuestion:"
        for text in ("a cat", "dogs")
    ]
    expected = [lm.score(prompt, [" Which?"]).sums[0] / 7 for prompt in prompts]  # 7 bytes
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_a_passage_too_long_for_the_context_is_scored_by_its_beginning():
    # "x ", " >" and " q" take 6 bytes of the context, and the begin token one: 15 are left.
    lm, form = text_model(context=22), "x {text} >"
    words = "a b c d e f g h"  # 15 bytes
    whole = lm.score(f"x {words} >", [" q"]).by("token")[0]
    for text in (f"{words} i", f"{words} i j k l m n"):
        found = question_likelihood(lm, form)("q", [text, words])
        assert found[0] == pytest.approx(found[1], abs=1e-12)
        assert found[1] == pytest.approx(whole, abs=1e-12)
    shorter = question_likelihood(lm, form)("q", ["a b c d e f g"])
    assert abs(shorter[0] - found[1]) > 1e-6  # no more is cut off than has to be
    # 17 bytes fit into two tokens more.
    longer = question_likelihood(text_model(context=24), form)("q", [f"{words} i"])
    assert abs(longer[0] - found[1]) > 1e-6


def test_reranked_passages_of_files_keep_their_places():
    first = Fixed([(0, 1.0), (1, 0.5)])
    assert not hasattr(Reranked(first, None), "passages")
    first.passages = [Passage("a.txt", 0, 11, "the cat sat"), Passage("b.txt", 4, 13, "a dog ran")]
    reranked = Reranked(first, lambda query, texts: [-len(text) for text in texts])
    assert find_texts(reranked, "q", 1).passages == first.passages[1:]


def test_other_prompts_for_the_likelihood_of_the_question():
    lm = ScriptedLM({"x {y} >": {" q r": -3.0}})
    found = question_likelihood(lm, "x {text} >")("q r", ["{y}"])  # braces of a text stay
    assert found.tolist() == [-1.5]
