"""Self-training: limits of the threshold, no look at true labels, and a case where it helps."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.pretrain.early.naive_bayes import naive_bayes
from tinylm.pretrain.early.self_training import pseudo_labels, self_training

LEARN = naive_bayes(6, 2)
SEEDS = [([0], 0), ([3], 1)]
# Words 0-2 are of class 0, words 3-5 of class 1; 0 and 1 share texts, 1 and 2 too: what is learnt
# passes along the chain.
CHAIN = [[0, 1], [3, 4], [1, 2], [4, 5]]


def test_only_labels_that_reach_the_threshold_are_believed():
    assert pseudo_labels(np.array([[0.9, 0.1], [0.4, 0.6]]), 0.9) == {0: 0}
    assert pseudo_labels(np.array([[0.9, 0.1], [0.4, 0.6]]), 0.0) == {0: 0, 1: 1}


def test_above_one_nothing_is_believed_and_the_model_is_the_supervised_one():
    p, history = self_training(LEARN, SEEDS, CHAIN, threshold=1.01)
    assert history == []
    np.testing.assert_array_equal(p(CHAIN), LEARN(SEEDS)(CHAIN))


def test_at_zero_everything_is_labeled_every_round():
    _, history = self_training(LEARN, SEEDS, CHAIN, threshold=0.0, rounds=3)
    assert history and all(sorted(labels) == [0, 1, 2, 3] for labels in history)


def test_what_is_learnt_passes_along_a_chain_until_nothing_changes():
    supervised = LEARN(SEEDS)(CHAIN)
    np.testing.assert_allclose(supervised[2:], 0.5)  # words 1, 2, 4, 5 are in no seed
    p, history = self_training(LEARN, SEEDS, CHAIN, threshold=0.6)
    assert history[0] == {0: 0, 1: 1}  # only texts with a seed word in the first round
    assert history[-1] == {0: 0, 1: 1, 2: 0, 3: 1}
    assert p([[2]])[0, 0] > 0.6 and len(history) < 10  # it ended by itself


def test_a_learner_is_shown_no_true_label_of_an_unlabeled_text():
    shown = []

    def learn(examples):
        shown.append([label for _, label in examples])
        return lambda inputs: np.tile([0.2, 0.8], (len(inputs), 1))

    self_training(learn, [("seed", 0)], ["a", "b"], threshold=0.5)
    assert shown == [
        [0],
        [0, 1, 1],
    ]  # what the model says (1), and once, for it says the same again


def test_there_must_be_a_first_model():
    with pytest.raises(ConfigError, match="no labeled example"):
        self_training(LEARN, [], CHAIN)
