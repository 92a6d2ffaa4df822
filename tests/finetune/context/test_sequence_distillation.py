"""Losses between distributions of whole answers: by listing all 27 answers of 3 tokens out of 3,
and by drawing them.
"""

import numpy as np
import pytest

from tests.finetune.context.tiny_contexts import EXAMPLES, gpt
from tinylm.autograd import Tensor, grad, no_grad
from tinylm.errors import ConfigError
from tinylm.finetune.context import sequence_distillation as sd
from tinylm.finetune.context.context_distillation import AnswerLikelihood, ContextDistillation
from tinylm.finetune.context.contexts import ContextExample, make_batch
from tinylm.generate.protocol.enumerable import EnumerableLM
from tinylm.generate.protocol.score import conditional_logprob, exhaustive_map

PROMPT, SHORT, N = (2, 0, 1, 1), (1, 1), 3


def pair():
    """A teacher and a student with 3 tokens."""
    return gpt(0, vocab_size=3, n_layer=1), gpt(1, vocab_size=3, n_layer=1)


def gradients(loss, model):
    """All gradients of a loss, in one vector."""
    parameters = model.parameters()
    return np.concatenate([g.data.ravel() for g in grad(loss, parameters)])


def tables(seed):
    """Log-probabilities of all strings of a table model, from its definition."""
    return np.log(EnumerableLM.random(3, N, seed).all_strings(bos=1)[1])


def test_exact_losses_of_table_models_are_their_sums():
    teacher = EnumerableLM.random(3, N, 4)
    student = EnumerableLM.random(3, N, 5)
    t = tables(4)
    s = tables(5)
    losses = [
        f(teacher, student, (1,), (1,), N).item()
        for f in (
            sd.sequence_cross_entropy,
            sd.sequence_kl,
            sd.sequence_kl_by_tokens,
            sd.sequence_reverse_kl,
        )
    ]
    p, q, kl = np.exp(t), np.exp(s), np.exp(t) @ (t - s)
    np.testing.assert_allclose(
        losses, [-p @ s, kl, kl, q @ (s - t)], rtol=1e-12
    )  # rounding of 27 terms


def test_answers_have_the_probabilities_that_scoring_gives_them():
    model = gpt(vocab_size=3)
    answers = sd.all_answers(3, N)
    found = sd.answer_log_probability(model, PROMPT, answers).data
    np.testing.assert_allclose(
        found, [conditional_logprob(model, PROMPT, y) for y in answers], atol=1e-12
    )
    assert np.exp(found).sum() == pytest.approx(1, rel=1e-12) and len(answers) == 27


def test_the_divergence_of_answers_is_the_sum_of_those_of_tokens_value_and_gradient():
    teacher, student = pair()
    whole, by_tokens = (
        f(teacher, student, PROMPT, SHORT, N) for f in (sd.sequence_kl, sd.sequence_kl_by_tokens)
    )
    assert by_tokens.item() == pytest.approx(whole.item(), rel=1e-12) and whole.item() > 0
    np.testing.assert_allclose(gradients(by_tokens, student), gradients(whole, student), atol=1e-12)


def test_the_gradient_of_the_divergence_is_that_of_the_cross_entropy():
    teacher, student = pair()
    loss, cost = (
        f(teacher, student, PROMPT, SHORT, N) for f in (sd.sequence_kl, sd.sequence_cross_entropy)
    )
    np.testing.assert_allclose(gradients(loss, student), gradients(cost, student), atol=1e-12)
    entropy = sd.sequence_cross_entropy(teacher, teacher, PROMPT, PROMPT, N).item()
    assert cost.item() - entropy == pytest.approx(loss.item(), rel=1e-12)


def test_the_reverse_divergence_is_differentiated_through_its_weights_too():
    teacher, student = pair()
    table, step = student.tokens.weight, 1e-5
    exact = grad(sd.sequence_reverse_kl(teacher, student, PROMPT, SHORT, N), [table])[0].data
    for at in ((0, 0), (1, 3), (2, 5)):
        value, sides = table.data[at], []
        for sign in (1, -1):
            table.data[at] = value + sign * step
            with no_grad():
                sides.append(sd.sequence_reverse_kl(teacher, student, PROMPT, SHORT, N).item())
        table.data[at] = value
        assert exact[at] == pytest.approx(
            (sides[0] - sides[1]) / (2 * step), abs=1e-8
        )  # central differences: step^2


@pytest.mark.parametrize("loss", [sd.sequence_kl, sd.sequence_kl_by_tokens, sd.sequence_reverse_kl])
def test_a_student_equal_to_its_teacher_has_no_divergence_and_no_gradient(loss):
    teacher, _ = pair()
    student, _ = pair()
    value = loss(teacher, student, PROMPT, PROMPT, N)
    assert value.item() == pytest.approx(0, abs=1e-13)
    np.testing.assert_allclose(gradients(value, student), 0, atol=1e-12)
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize(
    "exact, sampled",
    [
        (sd.sequence_cross_entropy, sd.sampled_cross_entropy),
        (sd.sequence_kl_by_tokens, sd.sampled_kl),
    ],
)
def test_drawn_answers_estimate_the_sum_without_bias(exact, sampled, monkeypatch):
    teacher, student = pair()
    answers, values = sd.all_answers(3, N), []
    for y in answers:  # a mean over draws: its expectation is a sum over what can be drawn
        monkeypatch.setattr(sd, "draw_answers", lambda *_, y=y: y[None])
        values.append(sampled(teacher, student, PROMPT, SHORT, N, 1).item())
    chance = np.exp(sd.answer_log_probability(teacher, PROMPT, answers).data)
    assert chance @ values == pytest.approx(
        exact(teacher, student, PROMPT, SHORT, N).item(), rel=1e-12
    )


def test_a_thousand_drawn_answers_come_near_the_sum():
    teacher, student = pair()
    answers, draws = sd.all_answers(3, N), 1000
    with no_grad():
        truth = sd.sequence_cross_entropy(teacher, student, PROMPT, SHORT, N).item()
        estimate = sd.sampled_cross_entropy(teacher, student, PROMPT, SHORT, N, draws).item()
        chance = np.exp(sd.answer_log_probability(teacher, PROMPT, answers).data)
        deviation = np.sqrt(
            chance @ (-sd.answer_log_probability(student, SHORT, answers).data - truth) ** 2 / draws
        )
    assert abs(estimate - truth) < 4 * deviation  # four standard errors


def test_answers_are_drawn_from_the_teacher():
    teacher, _ = pair()
    drawn = sd.draw_answers(teacher, PROMPT, 2, 400, seed=1)
    with no_grad():
        chance = np.exp(sd.answer_log_probability(teacher, PROMPT, sd.all_answers(3, 2)).data)
    counts = np.bincount(drawn @ [3, 1], minlength=9)
    # Pearson's statistic has 8 degrees of freedom: above 26.1 with probability 0.001
    assert ((counts - 400 * chance) ** 2 / (400 * chance)).sum() < 26.1


def test_hard_targets_are_supervised_fine_tuning_on_what_the_teacher_says():
    teacher, student = gpt(), gpt(1)
    said = sd.hard_targets(teacher, EXAMPLES, 2)
    loss, _ = AnswerLikelihood().loss(student, make_batch(said))
    by_hand = [-conditional_logprob(student, [*e.short, *e.question], e.answer) for e in said]
    assert loss.item() == pytest.approx(
        np.sum(by_hand) / 6, rel=1e-12
    )  # three answers of two tokens


def test_hard_targets_are_the_limit_of_a_teacher_that_is_sure():
    tables = [
        np.eye(3)[np.zeros((3,) * i, int) + 1] * (1 - 2e-9) + 1e-9 * (1 - np.eye(3)[1])
        for i in (1, 2, 3)
    ]
    teacher, (_, student) = EnumerableLM(tables), pair()  # it says 1 1 1
    loss = sd.sequence_cross_entropy(teacher, student, (1,), SHORT, N).item()
    assert loss == pytest.approx(
        -conditional_logprob(student, SHORT, (1, 1, 1)), abs=1e-6
    )  # 1e-9 from sure, times log-odds


def test_a_beam_as_wide_as_all_answers_finds_the_best_one_and_a_narrow_one_no_better():
    model, example = gpt(3, vocab_size=3), ContextExample(PROMPT, (1,))
    best, score = exhaustive_map(model, [*PROMPT, 1], N)
    assert sd.hard_targets(model, [example], N, width=27)[0].answer == best
    greedy = sd.hard_targets(model, [example], N)[0].answer
    assert conditional_logprob(model, [*PROMPT, 1], greedy) <= score + 1e-12


def test_a_beam_of_two_finds_the_answer_that_greedy_search_misses():
    # The likeliest first token is 0, with 1/2; but Pr(0 0) is 1/2 0.4, and Pr(1 0) 0.4 0.9.
    after = np.array([[0.4, 0.3, 0.3], [0.9, 0.05, 0.05], [1 / 3] * 3])
    teacher = EnumerableLM([np.tile([0.5, 0.4, 0.1], (3, 1)), np.tile(after, (3, 1, 1))])
    asked = [ContextExample((), (1,), teacher=np.zeros((1, 3)))] * 3
    for width, answer in ((1, (0, 0)), (2, (1, 0))):
        said = sd.hard_targets(teacher, asked, 2, width=width, batch_size=2)
        assert [e.answer for e in said] == [answer] * 3
        assert all(e.teacher is None for e in said)  # its logits were at another answer


@pytest.mark.parametrize("n", [1, 2])
def test_short_answers_are_summed_by_tokens_too(n):
    teacher, student = pair()
    whole, by_tokens = (
        f(teacher, student, PROMPT, SHORT, n).item()
        for f in (sd.sequence_kl, sd.sequence_kl_by_tokens)
    )
    assert by_tokens == pytest.approx(whole, rel=1e-12) and whole > 0


def test_drawn_targets_follow_the_seed_and_forget_what_the_teacher_said_before():
    model = gpt()
    e = [ContextExample((1, 2), (3,), teacher=np.zeros((1, 7)))]
    one, same, other = (sd.sampled_targets(model, e * 8, 3, seed=s) for s in (0, 0, 1))
    assert one == same and one != other and one[0].teacher is None and len(one[0].answer) == 3
    ended = sd.sampled_targets(model, e * 8, 3, eos=one[0].answer[0])
    assert ended[0].answer == one[0].answer[:1]  # the end token is the last


def test_divergence_by_tokens_along_drawn_answers_is_a_task():
    teacher, student = gpt(), gpt(1)
    drawn = sd.sampled_targets(teacher, EXAMPLES[:1] * 4, 3)
    loss, _ = ContextDistillation(teacher).loss(student, make_batch(drawn))
    e = drawn[0]
    by_hand = []
    for example in drawn:
        t, s = (
            sd.answer_scores(m, [*c, *e.question], np.array([example.answer[:-1]])).data
            for m, c in ((teacher, e.context), (student, e.short))
        )
        by_hand.append((np.exp(t) * (t - s)).sum())
    assert loss.item() == pytest.approx(
        np.mean(by_hand) / 3, rel=1e-12
    )  # a mean over tokens, three an answer


def test_too_many_answers_are_refused():
    with pytest.raises(ConfigError, match="10\\^9"):
        sd.all_answers(10, 9)


def test_an_impossible_answer_adds_nothing():
    teacher, student = EnumerableLM.random(3, 2, 0, eos=2), EnumerableLM.random(3, 2, 1)
    for loss in (sd.sequence_kl, sd.sequence_kl_by_tokens, sd.sequence_cross_entropy):
        assert np.isfinite(loss(teacher, student, (0,), (0,), 2).item())
    assert isinstance(loss(teacher, student, (0,), (0,), 2), Tensor)
