import numpy as np
import pytest

from tinylm.align.feedback.annotators import (
    SimulatedAnnotator,
    by_turns,
    collect_preferences,
    mixed_labels,
    random_pairs,
)
from tinylm.align.feedback.formats import WeighedPreference
from tinylm.align.rewards.pairwise import bradley_terry_scores
from tinylm.autograd import Tensor, grad, softmax
from tinylm.data.read.preferences import Preference
from tinylm.errors import ConfigError, DataError

GOLD = {"a": 2.0, "b": 1.0, "c": -1.0}


def gold(prompt, response):
    return GOLD[response]


def rng(seed=0):
    return np.random.default_rng(seed)


def test_an_annotator_prefers_as_bradley_terry():
    # sigma(2 - 1)
    assert SimulatedAnnotator(gold).probability("x", "a", "b") == pytest.approx(0.7310585786)


def test_a_constant_of_a_prompt_changes_no_label():
    shifted = SimulatedAnnotator(lambda x, y: GOLD[y] + len(x))
    for a, b in (("a", "b"), ("c", "a")):
        assert shifted.probability("a long prompt", a, b) == pytest.approx(
            SimulatedAnnotator(gold).probability("", a, b), rel=1e-12
        )


def test_a_constant_of_a_prompt_changes_no_policy_gradient():
    # of E[r] over a table policy: sum of pi_y (dlog pi_y) c = 0
    logits = Tensor(np.array([0.2, -0.1, 0.4]), requires_grad=True)

    def gradient(rewards):
        return grad((softmax(logits) * rewards).sum(), [logits])[0].numpy()

    rewards = np.array([2.0, -10.0, 1.0])
    # the specification's bandit
    np.testing.assert_allclose(gradient(rewards), [1.152308, -2.147414, 0.995106], atol=1e-6)
    np.testing.assert_allclose(gradient(rewards + 7), gradient(rewards), atol=1e-14)


def test_at_temperature_0_the_better_response_is_always_preferred():
    sure = SimulatedAnnotator(gold, temperature=0)
    assert sure.probability("x", "a", "c") == 1
    assert sure.probability("x", "c", "a") == 0
    assert sure.probability("x", "a", "a") == 0.5


def test_the_temperature_divides_the_difference():
    assert SimulatedAnnotator(gold, temperature=3).probability("x", "a", "c") == pytest.approx(
        0.7310585786
    )
    assert SimulatedAnnotator(lambda x, y: 1e6 * GOLD[y]).probability("x", "c", "a") < 1e-300


def test_a_careless_annotator_flips_a_coin():
    careless = SimulatedAnnotator(gold, temperature=0, careless=0.3)
    assert careless.probability("x", "a", "b") == pytest.approx(0.85, rel=1e-15)
    assert careless.probability("x", "b", "a") == pytest.approx(0.15, rel=1e-15)


def test_a_bias_is_an_error_that_more_labels_do_not_mend():
    biased = SimulatedAnnotator(gold, bias=lambda x, y: 3.0 * (y == "c"))
    wins = np.array([[biased.probability("x", a, b) for b in GOLD] for a in GOLD])
    found = bradley_terry_scores(wins)  # of infinitely many labels
    # gold + bias: 2, 1, 2
    np.testing.assert_allclose(found - found[1], [1, 0, 1], atol=1e-9)


def test_labels_are_drawn_with_their_probability():
    annotator, draws = SimulatedAnnotator(gold), rng()
    labels = [annotator.compare("x", "a", "b", draws) for _ in range(2000)]
    assert set(labels) == {Preference("x", "a", "b"), Preference("x", "b", "a")}
    share = np.mean([label.chosen == "a" for label in labels])
    # standard error sqrt(.73 .27 / 2000) = .01: four of them
    assert share == pytest.approx(0.731, abs=0.04)


def test_a_soft_label_is_the_share_of_annotators():
    assert SimulatedAnnotator(gold).soft("x", "b", "a") == WeighedPreference(
        "x", "b", "a", probability=pytest.approx(1 - 0.7310585786)
    )


def test_rankings_are_drawn_from_plackett_luce():
    annotator, draws = SimulatedAnnotator(gold), rng()
    first = [annotator.rank("x", list("cab"), draws).tiers[0][0] for _ in range(2000)]
    # e^2 / (e^2 + e + e^-1) = .705, standard error .01
    assert np.mean([y == "a" for y in first]) == pytest.approx(0.705, abs=0.04)
    sure = SimulatedAnnotator(gold, temperature=0).rank("x", list("cab"), draws)
    assert sure.tiers == (("a",), ("b",), ("c",)) and sure.prompt == "x"


def test_ratings_are_on_the_annotators_own_scale():
    rating = SimulatedAnnotator(gold).rate("x", "a", offset=-1, scale=0.5, name="ann")
    assert (rating.prompt, rating.response, rating.score, rating.annotator) == ("x", "a", 0, "ann")
    assert SimulatedAnnotator(gold).rate("x", "c").score == -1


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"careless": -0.1}, {"careless": 1.1}])
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError, match="SimulatedAnnotator"):
        SimulatedAnnotator(gold, **wrong)


def test_random_pairs_are_different_candidates_each_once():
    found = random_pairs(["a", "b", "a", "c"], 10, rng())
    assert sorted(map(sorted, found)) == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert random_pairs(["a", "a"], 1, rng()) == []
    assert len(random_pairs(list("abcd"), 2, rng())) == 2


def test_either_candidate_of_a_pair_may_come_first():
    draws = rng()
    first = [random_pairs(["a", "b"], 1, draws)[0][0] for _ in range(400)]
    # a half; standard error .025
    assert np.mean([y == "a" for y in first]) == pytest.approx(0.5, abs=0.1)


def test_preferences_are_collected_on_a_models_own_candidates():
    asked = []

    def sample(prompt, count, draws):
        asked.append((prompt, count))
        if prompt == "same":
            return ["a"] * count
        return ["a", "b", "c"][:count]

    sure = SimulatedAnnotator(gold, temperature=0)
    found = collect_preferences(["x", "same", "z"], sample, sure, 3, 2, rng=rng())
    assert asked == [("x", 3), ("same", 3), ("z", 3)]
    assert [p.prompt for p in found] == ["x", "x", "z", "z"]
    assert all(GOLD[p.chosen] > GOLD[p.rejected] for p in found)
    with pytest.raises(DataError, match="higher temperature"):
        collect_preferences(["same"], sample, sure, rng=rng())


def test_by_default_four_candidates_are_sampled_and_one_pair_compared():
    counts = []

    def sample(prompt, count, draws):
        counts.append(count)
        return list("abc")

    assert len(collect_preferences(["x"], sample, SimulatedAnnotator(gold), rng=rng())) == 1
    assert counts == [4]


def test_labels_of_people_and_of_a_model_can_be_mixed():
    person = SimulatedAnnotator(gold, temperature=0, careless=0.4)
    model = SimulatedAnnotator(gold, temperature=0, bias=lambda x, y: -5 * (y == "a"))
    mixed = mixed_labels("x", "a", "b", [person, model], [0.75, 0.25])
    # .75 * .8 + .25 * 0
    assert mixed.probability == pytest.approx(0.6, rel=1e-14)
    one = mixed_labels("x", "a", "b", [person, model], [0, 1], rng())
    assert one == Preference("x", "b", "a")
    for weights in ([1.0], [0.5, 0.6], [1.5, -0.5]):
        with pytest.raises(ConfigError, match="shares with sum 1"):
            mixed_labels("x", "a", "b", [person, model], weights)
    # shares are rounded, and by no more than 1e-9
    mixed_labels("x", "a", "b", [person, model], [0.5, 0.5 + 0.9e-9])
    with pytest.raises(ConfigError, match="shares with sum 1"):
        mixed_labels("x", "a", "b", [person, model], [0.5, 0.5 + 1.2e-9])


def test_candidates_of_several_models_come_by_turns():
    def model(name):
        return lambda prompt, count, draws: [f"{prompt}{name}{i}" for i in range(count)]

    sample = by_turns([model("a"), model("b"), model("c")])
    assert sample("x", 5, rng()) == ["xa0", "xb0", "xc0", "xa1", "xb1"]
    # fewer candidates than models
    assert sample("x", 2, rng()) == ["xa0", "xb0"]
