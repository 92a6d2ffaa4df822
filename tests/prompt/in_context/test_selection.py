"""Demonstrations are chosen as brute force would choose them, and never give the answer away."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, ShapeError
from tinylm.prompt.in_context.selection import (
    BagOfWords,
    Diverse,
    NearestByEmbedding,
    NearestByWords,
    arranged,
    directions,
    marginal_relevance,
    random_demonstrations,
    text_of,
)

POOL = [
    Item("the cat sleeps on the mat", "a"),
    Item("the dog sleeps", "b"),
    Item("interest rates rise", "c"),
    Item("the cat and the dog", "d"),
]


def numbers(texts):
    """An embedding for tests: "3 4" is the vector (3, 4)."""
    return np.array([[float(x) for x in text.split()] for text in texts])


def places(*points):
    return [Item(f"{x} {y}", "label") for x, y in points]


def test_random_demonstrations_are_different_ones_by_the_seed():
    drawn = [tuple(random_demonstrations(POOL, Item("x"), 2, seed)) for seed in range(60)]
    assert all(len(set(two)) == 2 for two in drawn)
    # 12 ordered pairs, each missed by 60 draws with probability (11/12)^60 = 0.5 %
    assert len(set(drawn)) > 9
    pool = [Item(str(i), "y") for i in range(30)]
    first = random_demonstrations(pool, Item("x"), 30)
    assert first == random_demonstrations(pool, Item("x"), 30, seed=0)
    assert first != random_demonstrations(pool, Item("x"), 30, seed=1)
    assert len(random_demonstrations(POOL, Item("x"), 9)) == 4  # no more than there are


def test_the_nearest_by_words_share_rare_words():
    select = NearestByWords(POOL)
    # "interest" is in one of four questions; "the" is in three and counts little.
    assert select(Item("the interest of a bank"), 1) == [POOL[2]]
    assert select(Item("a cat and a dog"), 2)[-1] == POOL[3]  # the best one last
    assert select.ranked(Item("nothing shared")).tolist() == [0, 1, 2, 3]
    scores = select.index.scores("the cat")
    assert select.ranked(Item("the cat")).tolist() == sorted(range(4), key=lambda i: -scores[i])
    assert NearestByWords(POOL, k1=0.5, b=0.1).index.k1 == 0.5
    assert NearestByWords(POOL, k1=0.5, b=0.1).index.b == 0.1
    assert (select.index.k1, select.index.b) == (1.2, 0.75)  # BM25's usual settings


@given(st.lists(st.tuples(*[st.integers(-4, 4)] * 2), min_size=1, max_size=9), st.integers(1, 9))
def test_the_nearest_by_embedding_are_those_of_brute_force(points, k):
    query = np.array([1.0, 2.5])
    for metric in ("cosine", "l2"):
        select = NearestByEmbedding(places(*points), numbers, metric)
        found = select(Item("1 2.5"), k)

        def far(item, metric=metric):
            x = numbers([item.question])[0]
            if metric == "l2":
                return ((x - query) ** 2).sum()
            lengths = np.linalg.norm(x) * np.linalg.norm(query)
            if not lengths:
                return 1.0 / 2  # the zero vector is at distance 1 of a vector of length 1
            return 1 - x @ query / lengths

        best = sorted(far(item) for item in places(*points))[: min(k, len(points))]
        assert np.allclose([far(item) for item in found], best[::-1], atol=1e-12)


def test_length_matters_to_distances_and_not_to_angles():
    pool = places((10, 10), (1, 0.5))
    assert NearestByEmbedding(pool, numbers)(Item("1 1"), 1) == [pool[0]]
    assert NearestByEmbedding(pool, numbers, "l2")(Item("1 1"), 1) == [pool[1]]


def test_the_question_itself_is_no_demonstration():
    copies = [Item("the cat", "x"), Item("the cat", "x", context="Of two."), Item("a cow", "y")]
    item = Item("the cat")
    selectors = [NearestByWords(copies)]
    embed = BagOfWords([text_of(demo) for demo in copies])
    selectors += [NearestByEmbedding(copies, embed), Diverse(copies, embed)]
    for select in selectors:
        # The same question about another text is another question.
        assert set(select(item, 3)) == set(copies[1:])
    assert set(random_demonstrations(copies, item, 3)) == set(copies[1:])


def test_none_may_be_chosen_and_less_than_none_not():
    assert NearestByWords(POOL)(Item("cat"), 0) == []
    with pytest.raises(ConfigError, match="0 or more, not -1"):
        NearestByWords(POOL)(Item("cat"), -1)


def test_diverse_demonstrations_are_no_copies():
    # Two of one direction near to the question, and one farther away on the other side of it.
    pool = places((1, 0), (2, 0.01), (0.6, 1))
    item = Item("1 0.2")
    near = NearestByEmbedding(pool, numbers)(item, 2)
    assert set(near) == {pool[0], pool[1]}
    assert Diverse(pool, numbers)(item, 2) == [pool[2], pool[1]]
    assert Diverse(pool, numbers, trade_off=1)(item, 2) == near
    assert len(Diverse(pool, numbers)(item, 9)) == 3
    with pytest.raises(ConfigError, match="trade_off 1.5 must be from 0 to 1"):
        Diverse(pool, numbers, trade_off=1.5)
    with pytest.raises(ConfigError, match="trade_off -0.1 must"):
        Diverse(pool, numbers, trade_off=-0.1)
    assert Diverse(pool, numbers, trade_off=0).trade_off == 0


def test_marginal_relevance_is_the_best_next_choice_of_the_formula():
    rng = np.random.default_rng(0)
    vectors = directions(rng.normal(size=(6, 3)))
    query = vectors[0] + vectors[1]
    relevance, similarity = vectors @ query, vectors @ vectors.T
    for trade_off in (0.0, 0.3, 0.5, 1.0):
        chosen = marginal_relevance(relevance, similarity, 4, trade_off)
        assert chosen[0] == relevance.argmax() and len(set(chosen)) == 4
        for step in range(1, 4):
            before = chosen[:step]
            values = {}
            for i in set(range(6)) - set(before):
                nearest = max(similarity[i, c] for c in before)
                values[i] = trade_off * relevance[i] - (1 - trade_off) * nearest
            assert chosen[step] == max(values, key=values.get)
    assert marginal_relevance(np.array([-1.0, -2.0]), np.eye(2), 2) == [0, 1]
    assert marginal_relevance(relevance, similarity, 2) == marginal_relevance(
        relevance, similarity, 2, 0.5
    )


def test_orders():
    assert arranged("abc") == ["a", "b", "c"] and arranged("abc", "nearest first") == [*"cba"]
    drawn = {"".join(arranged("abc", "random", seed)) for seed in range(60)}
    assert drawn == {"".join(order) for order in permutations("abc")}  # each missed by (5/6)^60
    assert arranged("abcdef", "random") == arranged("abcdef", "random", 0)
    with pytest.raises(ConfigError, match="no order 'best'"):
        arranged("abc", "best")


def test_words_are_counted_and_weighted():
    embed = BagOfWords(["cat cat dog", "dog"])
    # idf = log(1 + (N - n + 1/2) / (n + 1/2)) with N = 2 texts
    cat, dog = math.log(1 + 1.5 / 1.5), math.log(1 + 0.5 / 2.5)
    assert np.allclose(embed(["Cat, cat dog", "cow"]), [[2 * cat, dog], [0, 0]])


def test_an_embedding_that_is_not_a_row_for_each_text_is_refused():
    with pytest.raises(ShapeError, match=r"returned \(4,\) for 4 texts"):
        NearestByEmbedding(POOL, lambda texts: np.zeros(len(texts)))
    with pytest.raises(ShapeError, match=r"returned \(1, 2\) for 4 texts"):
        NearestByEmbedding(POOL, lambda texts: np.zeros((1, 2)))
    with pytest.raises(ConfigError, match="metric 'ip' is not"):
        NearestByEmbedding(POOL, numbers, "ip")
