import numpy as np
import pytest

from tests.align.verifiers.small import chain, decoder
from tests.prompt.ensemble.sampler import Sampler
from tinylm.align.rewards.marked import marked_text
from tinylm.align.rewards.process_model import LABELS, ProcessModeling, ProcessRewardModel
from tinylm.align.verifiers.outcome import OutcomeVerifier
from tinylm.align.verifiers.paths import text_reader
from tinylm.align.verifiers.scorers import (
    OF_STEPS,
    PathScorer,
    first_wrong_step,
    outcome_judge,
    process_judge,
    step_probabilities,
)
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.finetune import fit
from tinylm.prompt.ensemble.outputs import best_of_n
from tinylm.prompt.ensemble.self_consistency import self_consistency
from tinylm.prompt.reasoning.thoughts import tree_of_thoughts
from tinylm.tokenizers import ByteTokenizer

ROWS = [([1, 2], [[3], [4, 5]]), ([6], [[7, 8]])]
ITEM = Item("How many?", "2", task="numbers")


def counts(rows):
    """A judge that likes the letter g."""
    return [sum(list(step).count(ord("g")) for step in steps) for _, steps in rows]


SCORER = PathScorer(counts, text_reader(ByteTokenizer()))


def test_a_scorer_reads_question_and_path_as_in_training():
    seen = []
    scorer = PathScorer(lambda rows: seen.append(rows) or [0.25], text_reader(ByteTokenizer()))
    score = scorer.score("Q?", "a\nb")
    assert score == 0.25 and isinstance(score, float)
    ((question, steps),) = seen[0]
    assert question.tolist() == list(b"Q?\n")
    assert [step.tolist() for step in steps] == [list(b"a\n"), list(b"b")]


def test_a_path_without_a_token_scores_0_and_others_keep_their_places():
    assert SCORER.scores("Q", ["gg", "", "g"]).tolist() == [2, 0, 1]
    assert SCORER.scores("Q", [""]).tolist() == [0]  # no call of the judge


def test_the_judge_of_outcomes_is_the_probability_at_the_last_token():
    model = OutcomeVerifier(decoder()).eval()
    found = outcome_judge(model, batch_size=1)(ROWS)
    for p, (question, steps) in zip(found, ROWS, strict=True):
        ids = np.concatenate([question, *steps])[None]
        assert p == pytest.approx(1 / (1 + np.exp(-model(ids).numpy()[0, -1])), rel=1e-5)


def process_model(labels=LABELS[:2]):
    model = ProcessRewardModel(decoder(), labels).eval()
    model.out.weight.data *= 20
    return model


@pytest.mark.parametrize("labels", [("correct", "incorrect"), ("neutral", "correct", "incorrect")])
def test_the_judge_of_steps_reads_the_column_of_correct(labels):
    model = process_model(labels)
    found = step_probabilities(model, ROWS)
    assert [len(p) for p in found] == [2, 1]
    task = ProcessModeling(labels)
    batch = task.make_batch([marked_text(*ROWS[0], ["correct", "correct"])])
    rows = task.predict(model, batch)[0]
    np.testing.assert_allclose(found[0], rows[:, labels.index("correct")], rtol=1e-5)


@pytest.mark.parametrize(("how", "expected"), [("product", 0.4), ("least", 0.5), ("mean", 0.65)])
def test_a_path_is_as_good_as_its_steps(how, expected):
    assert OF_STEPS[how](np.array([0.8, 0.5])) == pytest.approx(expected)
    model = process_model()
    p = step_probabilities(model, ROWS)
    found = process_judge(model, how)(ROWS)
    assert found == pytest.approx([OF_STEPS[how](one) for one in p])


def test_the_weakest_step_by_default_and_steps_without_tokens_are_none():
    model = process_model()
    with_empty = [(ROWS[0][0], [[], *ROWS[0][1]])]
    assert process_judge(model)(with_empty) == pytest.approx(
        process_judge(model, "least")(ROWS[:1])
    )
    with pytest.raises(ConfigError, match="'sum' is none of product, least, mean"):
        process_judge(model, "sum")


def test_the_first_step_below_one_half_is_wrong():
    assert first_wrong_step([0.9, 0.5, 0.4, 0.1]) == 2
    assert first_wrong_step([0.9, 0.5]) is None
    assert first_wrong_step([0.9, 0.5], least=0.6) == 1


def test_a_process_verifier_locates_the_first_wrong_step():
    rng = np.random.default_rng(0)

    def text():
        question, steps, wrong = chain(rng)
        labels = ["correct"] * len(steps)
        if wrong is not None:
            steps, labels = steps[: wrong + 1], labels[:wrong] + ["incorrect"]
        return marked_text(question, steps, labels)

    model = ProcessRewardModel(decoder())
    fit(model, ProcessModeling(), [text() for _ in range(200)], epochs=5, learning_rate=1e-2)
    held = [chain(rng) for _ in range(100)]
    found = step_probabilities(model, [(question, steps) for question, steps, _ in held])
    right = [first_wrong_step(p) == wrong for p, (_, _, wrong) in zip(found, held)]
    # half have no wrong step, and the others one of three: always "none" is right for a half
    assert np.mean(right) > 0.9


# In the methods of tinylm.prompt

CHAINS = ["The answer is 1.", "gg The answer is 2.", "The answer is 1. g"]


def test_best_of_n_by_a_verifier():
    answer = best_of_n(Sampler(CHAINS), ITEM, n=3, score=SCORER.score)
    assert answer.value == "2" and answer.details["scores"] == [2, 1, 0]


def test_a_vote_weighed_by_a_verifier():
    assert self_consistency(Sampler(CHAINS), ITEM, samples=3).value == "1"
    weighed = self_consistency(Sampler(CHAINS), ITEM, samples=3, weights=SCORER.score)
    assert weighed.value == "2" and weighed.details["shares"] == {"2": 2 / 3, "1": 1 / 3}


def test_a_tree_search_led_by_a_verifier():
    seen = []

    def values(lm, question, states):
        seen.append((question, states))
        return SCORER.values(lm, question, states)

    lm = Sampler(["a", "g"])
    answer = tree_of_thoughts(
        lm,
        ITEM,
        [Item("1?", "1", rationale="It is 1.")],
        width=1,
        branches=2,
        depth=2,
        evaluate=values,
    )
    assert seen[0] == ("How many?", [("a",), ("g",)])
    # the line that the verifier scores higher is followed
    assert seen[1] == ("How many?", [("g", "a"), ("g", "g")])
    assert answer.details["steps"] == ["g", "g"] and answer.value is None


def test_the_lines_of_a_state_end_with_breaks():
    seen = []
    scorer = PathScorer(lambda rows: seen.extend(rows) or [0.5], text_reader(ByteTokenizer()))
    assert scorer.values(None, "Q", [("a", "b")]).tolist() == [0.5]
    assert [step.tolist() for step in seen[0][1]] == [list(b"a\n"), list(b"b\n")]
