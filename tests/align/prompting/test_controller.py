import itertools

import numpy as np
import pytest

from tinylm.align.prompting import controller as module
from tinylm.align.prompting.controller import (
    ANSWER,
    DECOMPOSE,
    Controller,
    Course,
    DecompositionProcess,
    controlled,
    course_logprob,
    course_loss,
    performance,
    train_controller,
)
from tinylm.autograd import grad
from tinylm.errors import ConfigError
from tinylm.prompt.decompose.plan import decompose

# Long problems are hard in one go, and a sub-problem costs 0.1.
PROCESS = DecompositionProcess(direct=(1.0, 0.9, 0.4, 0.1), solved=0.8, cost=0.1)
SIZES = [1, 2, 3]


def spread(seed=0, parts=3):
    """A controller whose probabilities are not all 1/2."""
    controller = Controller(parts)
    controller.logits.data[...] = np.random.default_rng(seed).normal(size=controller.logits.shape)
    return controller


def gradient(loss, controller):
    return grad(loss, [controller.logits])[0].numpy()


def outcomes(parts):
    """Every course with each of its rewards: (course, probability of that reward)."""
    for course in PROCESS.courses(parts):
        k = course.actions.count(DECOMPOSE)
        right = PROCESS.solved**k * PROCESS.direct[parts - k]
        for reward, chance in ((1.0, right), (0.0, 1 - right)):
            yield Course(parts, course.actions, reward - PROCESS.cost * k), chance


def test_a_course_is_sub_problems_and_then_an_answer():
    courses = PROCESS.courses(2)
    assert [one.actions for one in courses] == [
        [ANSWER],
        [DECOMPOSE, ANSWER],
        [DECOMPOSE, DECOMPOSE],  # nothing is left: the answer is no choice
    ]
    # s^k q(N - k) - c k
    expected = [0.4, 0.8 * 0.9 - 0.1, 0.64 * 1.0 - 0.2]
    assert [one.reward for one in courses] == pytest.approx(expected)
    assert courses[2].states == [(2, 2), (2, 1)]
    assert PROCESS.parts == 3


def test_the_courses_are_all_there_are():
    controller = spread()
    for parts in SIZES:
        total = sum(np.exp(course_logprob(controller, c).item()) for c in PROCESS.courses(parts))
        assert total == pytest.approx(1)


def test_a_new_controller_decides_by_a_coin():
    np.testing.assert_allclose(np.exp(Controller(2).logprobs().data), np.full((3, 3, 2), 0.5))


def test_the_performance_is_the_mean_over_sizes_of_the_expected_return():
    controller = spread()
    by_hand = 0.0
    for parts in SIZES:
        p = np.exp(controller.logprobs().data[parts])  # (n, 2)
        going = 1.0
        for k in range(parts + 1):
            stop = p[parts - k, ANSWER] if k < parts else 1.0
            by_hand += going * stop * PROCESS.expected(parts, k)
            going *= p[parts - k, DECOMPOSE]
    assert performance(controller, PROCESS, SIZES).item() == pytest.approx(by_hand / 3)


def test_the_expected_reinforce_gradient_is_that_of_the_performance():
    # all courses and outcomes, with any baseline that does not depend on the course
    controller = spread()
    exact = gradient(performance(controller, PROCESS, SIZES), controller)
    for baseline in (0.0, 0.7):
        expected = np.zeros_like(exact)
        for parts in SIZES:
            for course, chance in outcomes(parts):
                chance *= np.exp(course_logprob(controller, course).item())
                loss = course_loss(controller, [course], [course.reward - baseline])
                expected -= chance * gradient(loss, controller) / len(SIZES)
        np.testing.assert_allclose(expected, exact, atol=1e-12)
    assert np.abs(exact).max() > 0.01


def test_with_the_mean_of_the_others_as_the_baseline_it_still_is():
    # all pairs of draws for one size
    controller, parts = spread(), 2
    exact = gradient(performance(controller, PROCESS, [parts]), controller)
    expected = np.zeros_like(exact)
    for (a, p), (b, q) in itertools.product(outcomes(parts), repeat=2):
        chance = p * q * np.exp(sum(course_logprob(controller, c).item() for c in (a, b)))
        loss = course_loss(controller, [a, b], [a.reward - b.reward, b.reward - a.reward])
        expected -= chance * gradient(loss, controller)
    np.testing.assert_allclose(expected, exact, atol=1e-12)


def test_the_loss_is_the_mean_over_courses_of_sums_over_actions():
    controller = spread()
    courses = [Course(3, [DECOMPOSE, ANSWER], 0.0), Course(1, [ANSWER], 0.0)]
    logp = controller.logprobs().data
    first = logp[3, 3, DECOMPOSE] + logp[3, 2, ANSWER]
    expected = -(2.0 * first - 0.5 * logp[1, 1, ANSWER]) / 2
    assert course_loss(controller, courses, [2.0, -0.5]).item() == pytest.approx(expected)


def test_the_best_course_is_found_from_the_end():
    # 1 part: 0.9 at once > 0.8 - 0.1; 2 parts: one sub-problem; 3 parts: two
    assert [PROCESS.best(n)[0] for n in SIZES] == [0, 1, 2]
    for n in SIZES:
        assert PROCESS.best(n)[1] == pytest.approx(
            max(PROCESS.expected(n, k) for k in range(n + 1))
        )
    # of equals the one with fewer calls
    assert DecompositionProcess((1.0, 1.0), 1.0, 0.0).best(1) == (0, 1.0)


def test_samples_follow_the_courses():
    controller, rng = spread(), np.random.default_rng(0)
    drawn = [PROCESS.sample(controller, 3, rng) for _ in range(4000)]
    for course in PROCESS.courses(3):
        same = [one.reward for one in drawn if one.actions == course.actions]
        p = np.exp(course_logprob(controller, course).item())
        # four standard errors
        assert abs(len(same) / 4000 - p) < 4 * np.sqrt(p * (1 - p) / 4000)
        assert abs(np.mean(same) - course.reward) < 4 * 0.5 / np.sqrt(len(same))


def test_training_finds_the_best_courses():
    controller = train_controller(PROCESS, SIZES, steps=150)
    for n in SIZES:
        k, left = 0, n
        while left and controller.decide(n, left) == DECOMPOSE:
            k, left = k + 1, left - 1
        assert k == PROCESS.best(n)[0]
    best = np.mean([PROCESS.best(n)[1] for n in SIZES])
    assert performance(controller, PROCESS, SIZES).item() > best - 0.05


def test_the_advantage_of_a_course_is_its_reward_less_the_mean_of_the_others(monkeypatch):
    given = []

    def watched(controller, courses, advantages):
        given.append((courses, advantages))
        return course_loss(controller, courses, advantages)

    monkeypatch.setattr(module, "course_loss", watched)
    train_controller(PROCESS, [2, 3], steps=2, group=4)
    assert len(given) == 2
    for courses, advantages in given:
        assert [one.parts for one in courses] == [2] * 4 + [3] * 4
        for i, one in enumerate(courses):
            group = courses[:4] if i < 4 else courses[4:]
            others = [other.reward for other in group if other is not one]
            assert advantages[i] == pytest.approx(one.reward - sum(others) / 3)


def test_training_goes_on_with_a_controller_and_repeats_itself():
    first = train_controller(PROCESS, [2], steps=3, group=4)
    again = train_controller(PROCESS, [2], steps=3, group=4, seed=0)
    np.testing.assert_array_equal(first.logits.data, again.logits.data)
    assert train_controller(PROCESS, [2], steps=1, controller=first) is first
    assert np.any(first.logits.data != again.logits.data)
    # states of other sizes are not touched
    assert not np.any(first.logits.data[[0, 1, 3]])


@pytest.mark.parametrize(
    "wrong", [((1.0, 1.1), 0.5, 0.0), ((1.0,), -0.1, 0.0), ((1.0,), 0.5, -0.1)]
)
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ConfigError, match="DecompositionProcess"):
        DecompositionProcess(*wrong)
    assert DecompositionProcess((0.0, 1.0), 1.0, 0.0).parts == 1


def test_a_controller_ends_a_plan():
    parts = ["a", "b", "c"]

    def solved_by(last):
        return decompose(
            "abc",
            controlled(
                lambda problem, pairs: parts[len(pairs)],
                lambda problem, pairs: DECOMPOSE if len(pairs) < last else ANSWER,
            ),
            lambda part, problem, pairs: part.upper(),
            lambda problem, pairs: "".join(answer for _, answer in pairs),
        )

    assert [solved_by(last).answer for last in (0, 1, 2)] == ["", "A", "AB"]
    assert solved_by(2).complete and len(solved_by(2).pairs) == 2


def test_without_a_generator_the_most_probable_action_is_taken():
    controller = Controller(1)
    controller.logits.data[1, 1] = [0.0, 1.0]
    assert controller.decide(1, 1) == DECOMPOSE
    rng = np.random.default_rng(0)
    share = np.mean([controller.decide(1, 1, rng) for _ in range(2000)])
    assert share == pytest.approx(1 / (1 + np.exp(-1)), abs=0.04)  # 4 standard errors
