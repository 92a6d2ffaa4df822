import math
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from tests.align.rewards import w8
from tests.finetune.tasks.heads_small import decoder
from tinylm.align.rewards.marked import MarkedText, marked_batch, marked_text
from tinylm.align.rewards.pointwise import hinge_loss
from tinylm.align.rewards.process_model import LABELS, ProcessModeling, ProcessRewardModel
from tinylm.align.rewards.process_rewards import (
    FROM_PROBABILITIES,
    convincing_wrong,
    count_correct,
    least_correct,
    log_correct,
    mean_correct,
    mean_log_correct,
    outcome_reward,
)
from tinylm.align.rewards.reward_model import ValueModel
from tinylm.align.rewards.segment_modeling import SegmentModeling
from tinylm.align.rewards.step_labels import (
    LabeledStep,
    first_error,
    right_by_accident,
    solution_steps,
    step_labels,
)
from tinylm.autograd import Tensor, grad
from tinylm.data.read.items import Item
from tinylm.data.read.solutions import Solution, read_solutions
from tinylm.errors import DataError
from tinylm.finetune import evaluate, fit
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.pretrain.batch import IGNORE

SOLUTIONS = (
    Path(__file__).parents[4] / "shared/data/reasoning/gsm8k_example_model_solutions.jsonl.gz"
)
TEXTS = [
    marked_text([1, 2, 3], [[4, 4, 4], [5, 5], [6, 6, 6, 6]], ["correct", "incorrect", "correct"]),
    marked_text([1], [[7, 8]], ["incorrect"]),
]
PROBABILITIES = np.array([0.9, 0.9, 0.2, 0.1, 0.9])


def judge():
    """A random process reward model whose probabilities are not all near 1/2."""
    model = ProcessRewardModel(decoder()).eval()
    model.out.weight.data *= 20
    return model


# Steps and their labels


def test_a_label_stands_at_the_last_token_of_its_step():
    batch = ProcessModeling().make_batch(TEXTS)
    expected = np.full((2, 12), IGNORE)
    # prompts of 3 and 1 tokens; steps end after tokens 6, 8 and 12, and after token 3
    expected[0, [5, 7, 11]], expected[1, 2] = [0, 1, 0], 1
    np.testing.assert_array_equal(batch.targets, expected)
    np.testing.assert_array_equal(batch.counted, expected != IGNORE)
    np.testing.assert_array_equal(batch.mask.sum(axis=1), [12, 3])
    assert batch.tokens == 4


@pytest.mark.parametrize("ends", [[0, 2], [2, 2], [2, 1], [2, 5], []])
def test_steps_end_one_after_the_other_in_the_text(ends):
    with pytest.raises(DataError, match="parts end at"):
        MarkedText(np.arange(4), np.array(ends, int), np.zeros(len(ends)))
    with pytest.raises(DataError, match="1 labels for 2 parts"):
        MarkedText(np.arange(4), np.array([1, 2]), np.zeros(1))


def test_a_part_may_be_one_token_and_a_prompt_may_be_empty():
    text = MarkedText(np.arange(3), np.array([1, 2, 3]), np.array([5.0, 6.0, 7.0]))
    assert marked_batch([text], np.float64).targets.tolist() == [[5, 6, 7]]


def test_a_step_is_judged_without_the_steps_after_it():
    model, task = judge(), ProcessModeling()
    other = marked_text([1, 2, 3], [[4, 4, 4], [5, 5], [9, 9]], TEXTS[0].labels)
    first, second = (task.predict(model, task.make_batch([one]))[0] for one in (TEXTS[0], other))
    np.testing.assert_allclose(first[:2], second[:2], rtol=1e-12)
    assert np.abs(first[2] - second[2]).max() > 1e-3


def test_a_step_depends_on_the_steps_before_it():
    # the same step after another beginning: a process reward, unlike that of a segment alone
    model, task = judge(), ProcessModeling()
    other = marked_text([1, 2, 3], [[9, 4, 4], [5, 5], [6, 6, 6, 6]], TEXTS[0].labels)
    first, second = (task.predict(model, task.make_batch([one]))[0] for one in (TEXTS[0], other))
    assert np.abs(first[1] - second[1]).max() > 1e-3


def test_the_loss_is_the_mean_over_steps_of_the_whole_batch():
    # 3 steps and 1: a mean of the means of the texts would be another number
    model, task = judge(), ProcessModeling()
    batch = task.make_batch(TEXTS)
    found = task.predict(model, batch)
    terms = [-math.log(found[0][k][c]) for k, c in enumerate((0, 1, 0))]
    terms.append(-math.log(found[1][0][1]))
    loss, metrics = task.loss(model, batch)
    assert loss.item() == pytest.approx(sum(terms) / 4, rel=1e-12)
    assert metrics["tokens"] == 4
    by_text = (sum(terms[:3]) / 3 + terms[3]) / 2
    assert abs(by_text - loss.item()) > 1e-3


def test_only_ends_of_steps_get_a_gradient():
    batch = ProcessModeling().make_batch(TEXTS)
    logits = Tensor(np.random.default_rng(0).normal(size=(2, 12, 2)), requires_grad=True)
    loss, _ = ProcessModeling().loss(lambda ids, mask: logits, batch)
    g = np.abs(grad(loss, [logits])[0].numpy()).sum(axis=-1)
    np.testing.assert_array_equal(g > 0, batch.counted)


def test_a_third_label_is_a_third_class():
    model = ProcessRewardModel(decoder(), LABELS)
    text = marked_text([1], [[2], [3]], ["neutral", "correct"])
    batch = ProcessModeling(LABELS).make_batch([text])
    assert batch.targets.tolist() == [[IGNORE, 2, 0]]
    assert model(batch.inputs, batch.mask).shape == (1, 3, 3)
    with pytest.raises(DataError, match="'neutral' is not one of correct, incorrect"):
        ProcessModeling().make_batch([text])


def test_by_default_a_step_is_correct_or_incorrect():
    assert ProcessModeling().labels == ProcessRewardModel(decoder()).labels == LABELS[:2]
    assert LABELS == ("correct", "incorrect", "neutral")


def test_what_is_given_to_a_training_does_not_change():
    for one, field in ((TEXTS[0], "ends"), (ProcessModeling(), "labels")):
        with pytest.raises(FrozenInstanceError):
            setattr(one, field, ())
    with pytest.raises(FrozenInstanceError):
        SegmentModeling().criterion = hinge_loss


@pytest.mark.parametrize("labels", [("right", "wrong"), ("correct", "correct")])
def test_labels_are_different_and_one_is_correct(labels):
    with pytest.raises(DataError, match="'correct'"):
        ProcessRewardModel(decoder(), labels)


def test_accuracy_is_the_share_of_steps_whose_most_probable_label_is_theirs():
    answers = [np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]]), np.array([[0.1, 0.8, 0.1]])]
    texts = [
        marked_text([1], [[2], [3]], ["correct", "incorrect"]),
        marked_text([1], [[2]], ["incorrect"]),
    ]
    # they say correct, neutral and incorrect: two of three
    assert ProcessModeling(LABELS).measure(answers, texts) == {"accuracy": 2 / 3}


def test_a_process_reward_model_learns_which_steps_are_right():
    # a step "a b" is wrong if a is 9; the model sees labels at step ends alone, where b stands
    rng = np.random.default_rng(0)

    def example():
        parts, labels = [], []
        for _ in range(3):
            wrong = int(rng.random() < 0.5)
            parts.append([int(rng.integers(0, 4)), int(rng.integers(4, 8))])
            if wrong:
                parts[-1][0] = 9
            labels.append(LABELS[wrong])
        return marked_text([10], parts, labels)

    examples = [example() for _ in range(260)]
    task = ProcessModeling()
    model = ProcessRewardModel(GPT(GPTConfig(11, context=12, n_layer=2, n_head=2, d_model=32)))
    losses = fit(model, task, examples[:200], epochs=8, batch_size=20, learning_rate=1e-2)
    assert losses[0] > 0.5
    # half of the steps are right: a constant answer has .5
    assert evaluate(model, task, examples[200:])["accuracy"] > 0.9


# Segments


def test_segments_are_scored_at_their_ends_by_a_value_model():
    model, task = ValueModel(decoder()).eval(), SegmentModeling()
    texts = [marked_text([1, 2], [[3, 4], [5]], [0.5, -1.0]), marked_text([1], [[6]], [2.0])]
    batch = task.make_batch(texts)
    values = model(batch.inputs, batch.mask).numpy()
    found = [values[0, 3], values[0, 4], values[1, 1]]
    loss, metrics = task.loss(model, batch)
    errors = np.array(found) - [0.5, -1.0, 2.0]
    assert loss.item() == pytest.approx(np.mean(errors**2), rel=1e-12)
    assert metrics == {"tokens": 3, "loss": loss.item()}
    answers = task.predict(model, batch)
    np.testing.assert_allclose(np.concatenate(answers), found, rtol=1e-12)
    assert task.measure(answers, texts) == {
        "mse": pytest.approx(np.mean(errors**2)),
        "sign": np.mean(np.sign(found) == [1, -1, 1]),
    }


def test_the_share_of_right_signs_is_a_share():
    texts = [marked_text([1, 2], [[3, 4], [5]], [0.5, -1.0]), marked_text([1], [[6]], [2.0])]
    found = SegmentModeling().measure([np.array([0.5, 3.0]), np.array([1.0])], texts)
    # errors 0, 4 and -1; two signs of three are right
    assert found == {"mse": pytest.approx(17 / 3), "sign": pytest.approx(2 / 3)}


def test_segments_can_be_classified_with_the_hinge():
    model, task = ValueModel(decoder()).eval(), SegmentModeling(hinge_loss)
    texts = [marked_text([1, 2], [[3, 4], [5]], [1, -1]), marked_text([1], [[6]], [1])]
    batch = task.make_batch(texts)
    found = np.concatenate(task.predict(model, batch))
    expected = np.maximum(0, 1 - found * [1, -1, 1]).mean()
    assert task.loss(model, batch)[0].item() == pytest.approx(expected, rel=1e-12)


def test_numbers_that_are_ignored_elsewhere_can_be_labels_of_segments():
    # -100 is IGNORE for classes; as a score it counts
    batch = marked_batch([marked_text([1], [[2]], [-100.0])], np.float64)
    assert batch.tokens == 1 and batch.counted.tolist() == [[False, True]]


# Rewards of solutions


def test_the_outcome_of_both_solutions_is_the_same():
    rewards = [outcome_reward(solution[-1], w8.ITEM) for solution in (w8.FIRST, w8.SECOND)]
    assert rewards == [1, 1]
    assert max(x for x in range(50) if x % 5 == 0 and x + 10 < 50) == 35


def test_a_wrong_or_missing_answer_has_the_other_reward():
    assert outcome_reward("40", w8.ITEM) == outcome_reward(None, w8.ITEM) == -1
    assert outcome_reward("40", w8.ITEM, wrong=0.0) == 0
    with pytest.raises(DataError, match="no gold answer"):
        outcome_reward("1", Item("?", None))


def test_the_process_tells_them_apart():
    # eq. 4.83: 5 and 3
    counts = []
    for labels in w8.LABELS:
        p = np.where(labels, 0.9, 0.2)
        counts.append(count_correct(np.stack([p, 1 - p], axis=1)))
    assert counts == [5, 3]


def test_a_step_counts_where_correct_is_the_most_probable_label():
    three = np.array([[0.4, 0.3, 0.3], [0.4, 0.5, 0.1], [0.4, 0.1, 0.5]])
    assert count_correct(three) == 1
    assert count_correct(three[:, ::-1], correct=2) == 1
    assert count_correct(three, correct=1) == 1
    # a tie is not correct
    assert count_correct([[0.5, 0.5]]) == 0


def test_the_vectors_of_the_sum_of_logs():
    assert log_correct([0.9] * 5) == pytest.approx(-0.5268025783, abs=1e-10)
    assert log_correct(PROBABILITIES) == pytest.approx(-4.2281045524, abs=1e-10)
    # the log of the product
    assert math.exp(log_correct(PROBABILITIES)) == pytest.approx(np.prod(PROBABILITIES), rel=1e-13)


def test_variants_without_a_bias_of_length():
    assert mean_correct(PROBABILITIES) == pytest.approx(0.6, rel=1e-14)
    assert least_correct(PROBABILITIES) == 0.1
    assert mean_log_correct(PROBABILITIES) == pytest.approx(-4.2281045524 / 5, abs=1e-10)
    assert list(FROM_PROBABILITIES) == ["log", "mean", "mean log", "least"]


def test_two_rewards_have_opposite_biases_of_length():
    short, long = [0.9] * 3, [0.9] * 6
    count = [count_correct(np.stack([p, 1 - np.array(p)], axis=1)) for p in (short, long)]
    assert count[0] < count[1]
    assert log_correct(short) > log_correct(long)
    for reward in (mean_correct, mean_log_correct, least_correct):
        assert reward(short) == pytest.approx(reward(long), rel=1e-14)


def test_a_reward_needs_a_step():
    for reward in (count_correct, log_correct, mean_correct, least_correct):
        with pytest.raises(DataError, match="one step at least"):
            reward([])


# Which solutions to annotate


def test_convincing_wrong_solutions_are_annotated_first():
    scores = [0.9, 0.8, 0.7, 0.2, 0.95]
    right = [True, False, False, False, True]
    assert convincing_wrong(scores, right, 2).tolist() == [1, 2]
    assert convincing_wrong(scores, right, 9).tolist() == [1, 2, 3]
    assert convincing_wrong(scores, [True] * 5, 2).tolist() == []


def test_at_one_budget_they_show_more_errors_that_the_model_does_not_see():
    # 8 solutions of one step each. The model is wrong about a step where it believes in a wrong
    # one; of 3 labels, chosen ones show 2 such errors, random ones 3 * 2 / 8 on average.
    scores = np.array([0.9, 0.8, 0.3, 0.2, 0.9, 0.9, 0.8, 0.7])
    right = np.array([False, False, False, False, True, True, True, True])
    unseen = ~right & (scores > 0.5)
    chosen = convincing_wrong(scores, right, 3)
    assert unseen[chosen].sum() == 2 > 3 * unseen.mean()


# Labels from marks

GOLD = "Tom has 3*4=<<3*4=12>>12 apples.\nHe eats 2.\nSo 12-2=<<12-2=10>>10 are left."


def test_labels_of_steps_come_from_their_marks():
    text = "3*4=<<3*4=12>>12 apples\nHe eats 2.\n12-2=<<12-2=9>>9\n2*2=<<2*2=4>>4\nSo <<9+1=10>>10"
    found = step_labels(text, GOLD, "10")
    assert [step.label for step in found] == [
        "correct",
        None,  # no mark
        "incorrect",  # 12 - 2 is not 9
        "neutral",  # right, but no result of the gold solution
        "correct",
    ]
    assert "".join(step.text for step in found) == text
    assert found[0] == LabeledStep("3*4=<<3*4=12>>12 apples\n", "correct")
    assert first_error(found) == 2 and first_error(found[:2]) is None


def test_the_gold_answer_is_a_known_result():
    assert step_labels("<<5+2=7>>7", GOLD)[0].label == "neutral"
    assert step_labels("<<5+2=7>>7", GOLD, "7")[0].label == "correct"
    # without a gold solution no step is neutral
    assert step_labels("<<5+2=7>>7", None)[0].label == "correct"


def test_a_line_is_what_its_last_result_says_and_one_wrong_result_makes_it_incorrect():
    assert step_labels("<<1+1=2>>2 and <<2+10=12>>12", GOLD)[0].label == "correct"
    assert step_labels("<<2+10=12>>12 and <<1+1=2>>2", GOLD)[0].label == "neutral"
    assert step_labels("<<1+1=3>>3 and <<2+10=12>>12", GOLD)[0].label == "incorrect"


def test_steps_of_a_solution_are_the_solution():
    assert solution_steps("a\nb\n\nc") == ["a\n", "b\n", "\n", "c"]
    assert solution_steps("") == []


def test_a_right_answer_can_be_an_accident():
    item = Item("?", "10")

    def solution(text, correct):
        return Solution(item, "model", text, "10", correct)

    good, accident = solution("<<4+6=10>>10", True), solution("<<4+5=10>>10", True)
    wrong = solution("<<4+5=10>>10", False)
    assert right_by_accident([good, accident, wrong]) == [accident]


@pytest.mark.skipif(not SOLUTIONS.exists(), reason="needs the shared solutions of GSM8K")
def test_solutions_of_models_have_steps_of_all_labels():
    solutions = read_solutions(SOLUTIONS)[:400]
    counts = {label: 0 for label in (*LABELS, None)}
    for one in solutions:
        for step in step_labels(one.text, one.item.rationale, one.item.answer):
            counts[step.label] += 1
    # the models of this file use a calculator: their errors are in what they compute
    assert counts["correct"] > 300 and counts["neutral"] > 300
    assert counts["incorrect"] < 0.05 * sum(counts.values())
