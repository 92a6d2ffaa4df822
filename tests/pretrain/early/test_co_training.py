"""Co-training: two views teach each other; two equal views are one."""

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.early.co_training import co_training, most_confident, together
from tinylm.pretrain.early.naive_bayes import naive_bayes

V = 12  # words of each view; six are of each class


def two_views(n, seed, words=3):
    """Examples (view 0, view 1), independent given the class: a text's words are of its class with
    probability 0.8.
    """
    rng = Random(seed)
    labels = np.arange(n) % 2
    own = rng.uniform((n, 2, words)) < 0.8
    ids = rng.integers(0, V // 2, (n, 2, words)) + V // 2 * np.where(
        own, labels[:, None, None], 1 - labels[:, None, None]
    )
    return [(tuple(map(tuple, x.tolist())), int(y)) for x, y in zip(ids, labels)]


def accuracy(probabilities, examples):
    return np.mean(probabilities([x for x, _ in examples]).argmax(1) == [y for _, y in examples])


def first(x):
    return x[0]


def second(x):
    return x[1]


def both(x):
    return x[0] + tuple(V + i for i in x[1])


def test_each_class_gets_its_most_probable_rows():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    assert most_confident(p, 1) == [(0.9, 0, 0), (0.8, 2, 1)]
    np.testing.assert_allclose(together([p[:1], np.array([[0.5, 0.5]])]).argmax(1), [0])
    np.testing.assert_allclose(together([p, p]), p)  # of two that agree to the letter, one


def test_two_equal_views_are_self_training():
    data = two_views(60, 0)
    labeled, unlabeled = data[:4], [x for x, _ in data[4:]]
    learn = naive_bayes(V, 2)
    twice = co_training(learn, [first, first], labeled, unlabeled, rounds=5, pool=None)
    once = co_training(learn, [first], labeled, unlabeled, rounds=5, pool=None)
    assert twice[2] == once[2]
    np.testing.assert_allclose(twice[0](unlabeled), once[0](unlabeled))


def test_no_round_is_the_supervised_model():
    data = two_views(20, 0)
    probabilities, models, history = co_training(
        naive_bayes(V, 2), [first], data[:4], [x for x, _ in data[4:]], rounds=0
    )
    assert history == []
    np.testing.assert_array_equal(
        models[0]([(0,)]), naive_bayes(V, 2)([(first(x), y) for x, y in data[:4]])([(0,)])
    )


def test_independent_views_improve_on_the_labels_alone():
    gains = []
    for seed in range(8):
        data, test = two_views(304, seed), two_views(400, 100 + seed)
        labeled, unlabeled = data[:4], [x for x, _ in data[4:]]
        learn = naive_bayes(V, 2)
        plain = co_training(learn, [first, second], labeled, [], rounds=0)[0]
        taught = co_training(learn, [first, second], labeled, unlabeled, per_class=2, rounds=40)[0]
        gains.append(accuracy(taught, test) - accuracy(plain, test))
    # Four labels against four and 160 that the views gave each other: fixed seeds, so the gain is a
    # fixed number
    assert np.mean(gains) > 0.1 and np.min(gains) > -0.02


def test_every_text_is_labeled_at_most_once_and_the_pool_limits_the_choice():
    data = two_views(40, 1)
    history = co_training(
        naive_bayes(V, 2), [first, second], data[:4], [x for x, _ in data[4:]], pool=10, rounds=50
    )[2]
    rows = [row for labels in history for row in labels]
    assert sorted(rows) == list(range(36))  # all of the unlabeled in the end, each once
    with pytest.raises(ConfigError, match="some of both"):
        co_training(naive_bayes(V, 2), [], data[:4], [])


def test_a_pool_of_one_labels_one_text_a_round_and_no_pool_all_that_are_surest():
    data = two_views(12, 2)
    labeled, unlabeled = data[:4], [x for x, _ in data[4:]]

    def rounds(pool, per_class):
        learn = naive_bayes(V, 2)
        return co_training(learn, [first, second], labeled, unlabeled, per_class, 50, pool)[2]

    assert [len(labels) for labels in rounds(1, 1)] == [1] * 8
    assert [len(labels) for labels in rounds(None, 8)] == [8]


def test_the_surer_of_two_models_names_the_label():
    """Both views see the one text; the first says A with 0.6, the second B with 0.9."""

    def learn(examples):
        says = [0.6, 0.4] if examples[0][0] == "one" else [0.1, 0.9]
        return lambda inputs: np.tile(says, (len(inputs), 1))

    views = [lambda x: "one", lambda x: "two"]
    p, models, history = co_training(learn, views, [("seed", 0)], ["text"])
    assert history == [{0: 1}] and len(models) == 2
    # sqrt(0.6 * 0.1) against sqrt(0.4 * 0.9)
    expected = np.sqrt([0.06, 0.36]) / np.sqrt([0.06, 0.36]).sum()
    np.testing.assert_allclose(p(["text"]), [expected], rtol=1e-12)


def test_a_class_that_is_impossible_for_one_model_is_so_for_both():
    both_ = together([np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])])
    np.testing.assert_allclose(both_, [[1, 0]], atol=1e-100)
