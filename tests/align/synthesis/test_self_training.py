"""Self-training: own labels above a threshold of confidence."""

import dataclasses

import numpy as np
import pytest

from tinylm.align.synthesis.self_training import confident, self_training
from tinylm.errors import ConfigError, ShapeError

LABELED = [(-4.0, "low"), (4.0, "high")]
UNLABELED = [-5.0, -2.0, -0.5, 0.5, 1.0, 6.0]


class NearestMean:
    """A classifier by the nearer of two means, with confidence 1 / (1 + exp(-|margin|))."""

    def __init__(self):
        self.trained = []

    def learn(self, pairs):
        self.trained.append(len(pairs))
        means = {y: np.mean([x for x, label in pairs if label == y]) for y in ("low", "high")}

        def predict(xs):
            margin = np.array([abs(x - means["low"]) - abs(x - means["high"]) for x in xs])
            labels = [("low", "high")[int(m > 0)] for m in margin]
            return labels, 1 / (1 + np.exp(-np.abs(margin)))

        return predict


def trained(**options):
    model = NearestMean()
    return self_training(model.learn, LABELED, UNLABELED, **options), model.trained


def test_confident_labels_become_examples():
    # margins 8, 4, 1, 1, 2, 8: confidence .73 at 1, .88 at 2, .98 at 4
    found, sizes = trained(threshold=0.9)
    assert found.pseudo == [(-5.0, "low"), (-2.0, "low"), (6.0, "high")]
    assert found.accepted == [3]
    assert sizes == [2, 5]
    # the last model has learnt from them: its means are -11/3 and 5, and their middle is 2/3
    assert found.predict([0.5, 0.8])[0] == ["low", "high"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.pseudo = []


def test_above_one_nothing_is_accepted_and_at_zero_everything():
    none, sizes = trained(threshold=1.01, rounds=3)
    assert none.pseudo == [] and none.accepted == [0]
    assert sizes == [2]
    everything, _ = trained(threshold=0.0, rounds=3)
    assert len(everything.pseudo) == 6 and everything.accepted == [6]


def test_a_higher_threshold_never_accepts_more():
    counts = [len(trained(threshold=t)[0].pseudo) for t in np.linspace(0.4, 1.0, 13)]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) > 2


def test_later_rounds_label_only_the_rest():
    found, sizes = trained(threshold=0.85, rounds=4)
    assert found.accepted[0] == 4 and len(found.accepted) > 1
    labeled = [x for x, _ in found.pseudo]
    assert len(labeled) == len(set(labeled))
    assert sizes[:2] == [2, 6]


def test_the_usual_threshold_is_nine_tenths_in_one_round():
    assert trained()[0].accepted == [3]


def test_the_threshold_itself_is_accepted():
    assert confident(["a", "b", "c"], [0.5, 0.4, 0.6], 0.5).tolist() == [0, 2]
    with pytest.raises(ShapeError, match="2 labels"):
        confident(["a", "b"], [0.5], 0.5)


def test_without_unlabeled_examples_the_model_is_that_of_the_labeled():
    model = NearestMean()
    found = self_training(model.learn, LABELED, [])
    assert found.pseudo == [] and found.accepted == [] and model.trained == [2]
    with pytest.raises(ConfigError, match="rounds=0"):
        self_training(model.learn, LABELED, UNLABELED, rounds=0)
