"""Texts about topics have an exact posterior, and frequencies that are known."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.topics import Topics, make_topics
from tinylm.errors import ConfigError, DataError

# Two topics over two words, so that posteriors can be written down.
SMALL = Topics(("hot", "cold"), ("sun", "ice"), np.array([[0.75, 0.25], [0.5, 0.5]]))


def test_the_posterior_is_that_of_bayes_by_hand():
    # 3/4 * 1/4 : 1/2 * 1/2 = 3 : 4
    np.testing.assert_allclose(SMALL.posterior("sun ice"), [3 / 7, 4 / 7])
    np.testing.assert_allclose(SMALL.posterior("sun"), [3 / 5, 2 / 5])
    np.testing.assert_allclose(SMALL.posterior("sun", ("cold", "hot")), [2 / 5, 3 / 5])
    assert SMALL.best("sun") == "hot" and SMALL.best("sun ice") == "cold"
    assert SMALL.best("sun", ("cold", "hot")) == "hot"
    # a long text has one too: no product of 2,000 probabilities falls to 0
    assert SMALL.posterior("sun " * 2000) == pytest.approx([1, 0])


def test_own_words_have_the_share_and_all_words_the_rest():
    world = make_topics(5, words=20, own=4, share=0.6)
    assert len(world.names) == 5 and len(world.words) == 20
    assert len({*world.names, *world.words}) == 25
    np.testing.assert_allclose(world.p.sum(axis=1), 1)
    # 0.6 / 4 + 0.4 / 20 for the four, and 0.4 / 20 for the others
    for row in world.p:
        np.testing.assert_allclose(np.sort(row), [0.02] * 16 + [0.17] * 4)
    assert len({tuple(row) for row in world.p}) == 5


def test_the_usual_world_has_64_topics_of_six_words():
    world = make_topics()
    assert world.p.shape == (64, 192)
    np.testing.assert_allclose(world.p.min(), 0.3 / 192)
    assert ((world.p > 0.1).sum(axis=1) == 6).all()
    assert make_topics(seed=0).names == world.names != make_topics(seed=1).names


def test_texts_have_the_words_of_their_topic():
    rng = generator(0, "test")
    counts = Counter(SMALL.text(0, 4000, rng).split())
    # the standard deviation of the share is sqrt(.75 * .25 / 4000) = 0.007
    assert counts["sun"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert len(SMALL.text(1, 3, rng).split()) == 3


def test_items_have_each_label_equally_often_in_a_random_order():
    world = make_topics(8, words=30)
    labels = world.names[2:5]
    items = world.items(30, labels, length=4, seed=1)
    assert Counter(item.answer for item in items) == dict.fromkeys(labels, 10)
    assert [item.answer for item in items[:3]] != list(labels)
    assert {item.options for item in items} == {labels}
    assert {len(item.question.split()) for item in items} == {4}
    assert world.items(5)[0].options == world.names
    assert len(world.items(1)[0].question.split()) == 6
    assert world.items(9, seed=1) == world.items(9, seed=1) != world.items(9)
    assert world.items(9, seed=0) == world.items(9)


def test_the_best_reader_is_right_as_often_as_its_posterior():
    world = make_topics(16, words=40, share=0.5)
    items = world.items(1600, length=4)
    posteriors = [world.posterior(item.question) for item in items]
    right = np.mean([world.best(item.question) == item.answer for item in items])
    # it is calibrated: mean of max p is its accuracy; sd of the difference is below 0.0125
    assert right == pytest.approx(np.mean([p.max() for p in posteriors]), abs=0.04)
    assert 2 / 16 < right < 0.95


def test_documents_name_the_topic_behind_each_text():
    world = make_topics(6, words=20)
    texts = world.documents(50, texts=5, length=3, most=2)
    assert len(texts) == 50
    for text in texts:
        words = text.split()
        # three words, "about", a name and "."
        parts = [words[i : i + 6] for i in range(0, len(words), 6)]
        assert len(parts) == 5
        assert all(part[3] == "about" and part[5] == "." for part in parts)
        assert all(set(part[:3]) <= set(world.words) for part in parts)
        assert 1 <= len({part[4] for part in parts} & set(world.names)) <= 2
    usual = world.documents(3)
    assert {len(text.split()) for text in usual} == {8 * (6 + 3)}
    assert max(len(set(t.split()) & set(world.names)) for t in world.documents(100)) == 4
    assert usual == world.documents(3, seed=0) != world.documents(3, seed=1)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_names_follow_zipfs_law(exponent):
    world = make_topics(3, words=10, own=2)
    texts = world.documents(3000, texts=1, length=1, exponent=exponent)
    counts = Counter(text.split()[2] for text in texts)
    law = np.arange(1, 4.0) ** -exponent
    found = np.array([counts[name] for name in world.names]) / 3000
    # the standard deviation is at most sqrt(.25 / 3000) = 0.009
    np.testing.assert_allclose(found, law / law.sum(), atol=0.04)


def test_the_usual_exponent_is_1():
    world = make_topics(3, words=10, own=2)
    assert world.documents(20) == world.documents(20, exponent=1.0)


def test_words_of_a_text_are_those_of_its_topic_in_documents_too():
    sure = Topics(("a", "b"), ("x", "y"), np.array([[1.0, 0.0], [0.0, 1.0]]))
    for text in sure.documents(20, texts=4, length=2):
        for part in text.split(" . "):
            words = part.split()
            assert set(words[:2]) == {{"a": "x", "b": "y"}[words[3]]}


def test_what_is_no_word_or_topic_is_refused():
    with pytest.raises(DataError, match="'snow' is no word"):
        SMALL.posterior("sun snow")
    with pytest.raises(DataError, match="'warm' is no topic"):
        SMALL.items(2, ("hot", "warm"))
    for wrong in ({"topics": 1}, {"own": 0}, {"own": 193}, {"share": 0.0}, {"share": 1.0}):
        with pytest.raises(ConfigError, match="make_topics"):
            make_topics(**wrong)
    make_topics(2, words=3, own=3)
    with pytest.raises(ConfigError, match="made-up words"):
        make_topics(4000, words=901)
    make_topics(2, words=4898)  # 4900 words of two syllables, of 14 consonants and 5 vowels
    with pytest.raises(ConfigError, match="most"):
        SMALL.documents(1, most=0)


def test_a_world_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.names = ("warm", "cold")
