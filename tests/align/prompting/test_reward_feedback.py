import numpy as np
import pytest

from tests.align.verifiers.small import ASK, RIGHT, WRONG, chain, decoder, judged
from tinylm.align.prompting.reward_feedback import reward_feedback, reward_score, step_feedback
from tinylm.align.rewards.marked import marked_text
from tinylm.align.rewards.process_model import ProcessModeling, ProcessRewardModel
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.align.verifiers.outcome import OutcomeVerification, OutcomeVerifier
from tinylm.align.verifiers.paths import text_reader
from tinylm.align.verifiers.scorers import PathScorer, outcome_judge
from tinylm.data.read.items import Item
from tinylm.finetune import fit
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.refine.feedback import Feedback, score_feedback
from tinylm.prompt.refine.self_refine import self_refine
from tinylm.tokenizers import ByteTokenizer

ITEM = Item("?")


def read(question, draft):
    """Lines like "3 ok" and "3 no" as steps of the small world."""
    steps = [line.split() for line in draft.splitlines()]
    return np.array([ASK]), [
        np.array([int(number), RIGHT if word == "ok" else WRONG]) for number, word in steps
    ]


@pytest.fixture(scope="module")
def process():
    rng = np.random.default_rng(0)

    def text():
        question, steps, wrong = chain(rng)
        labels = ["correct"] * len(steps)
        if wrong is not None:
            steps, labels = steps[: wrong + 1], labels[:wrong] + ["incorrect"]
        return marked_text(question, steps, labels)

    model = ProcessRewardModel(decoder())
    fit(model, ProcessModeling(), [text() for _ in range(200)], epochs=5, learning_rate=1e-2)
    return model


def test_a_reward_model_scores_question_and_draft_as_one_text():
    model = RewardModel(decoder()).eval()
    score = reward_score(model, read)("?", "1 ok\n2 no")
    assert score == pytest.approx(float(model.score([[ASK, 1, RIGHT, 2, WRONG]])[0]))
    found = reward_feedback(model, read)(None, ITEM, "1 ok")
    assert found.score == reward_score(model, read)("?", "1 ok") and not found.enough
    assert found.text == f"The quality of this response is {found.score:.2f}."
    assert reward_feedback(model, read, text="{:.0f}!")(None, ITEM, "1 ok").text.endswith("!")


def test_the_first_step_that_is_probably_wrong_is_named(process):
    source = step_feedback(process, read)
    found = source(None, ITEM, "1 ok\n2 no\n3 no")
    assert found.text == "Step 2 is probably wrong: 2 no"
    assert found.score < 0.5 and not found.enough
    good = source(None, ITEM, "1 ok\n2 ok")
    assert good == Feedback("Every step is probably right.", score=good.score, enough=True)
    assert good.score > 0.5


def test_the_words_and_the_threshold_may_be_others(process):
    source = step_feedback(process, read, least=1.0, text="{step} ({number})", enough="Well.")
    assert source(None, ITEM, "1 ok\n2 ok").text == "1 ok (1)"  # nothing is certain
    assert step_feedback(process, read, enough="Well.")(None, ITEM, "1 ok").text == "Well."


def test_the_score_is_that_of_the_weakest_step(process):
    source = step_feedback(process, read)
    weak = source(None, ITEM, "1 no\n2 ok").score
    assert weak < source(None, ITEM, "1 ok\n2 ok").score
    assert source(None, ITEM, "") == Feedback("There is no step.", score=0.0)


def test_scores_fall_with_the_number_of_planted_errors():
    # trained on chains with at most one error; held-out ones have up to three
    rng = np.random.default_rng(1)
    model = OutcomeVerifier(decoder())
    examples = [judged(*chain(rng)) for _ in range(200)]
    fit(model, OutcomeVerification(language=0.0), examples, epochs=8, learning_rate=1e-2)
    source = score_feedback(PathScorer(outcome_judge(model), read).score)
    means = []
    for errors in range(3):
        drafts = []
        for _ in range(30):
            words = rng.permutation(["no"] * errors + ["ok"] * (3 - errors))
            drafts.append("\n".join(f"{rng.integers(6)} {word}" for word in words))
        means.append(np.mean([source(None, ITEM, draft).score for draft in drafts]))
    assert means[0] > 0.8 > means[1] > means[2]


def test_refinement_goes_on_until_the_verifier_finds_no_error(process):
    prompts = []

    class Refiner(ScriptedLM):
        def _complete(self, given, *rest):
            prompts.extend(given)
            return super()._complete(given, *rest)

    lm = Refiner([(None, "1 ok\n2 ok")])
    answer = self_refine(
        lm,
        ITEM,
        predict=lambda lm, item, demonstrations, **options: Answer("1 ok\n2 no", "1 ok\n2 no"),
        feedback=step_feedback(process, read),
    )
    assert answer.text == "1 ok\n2 ok" and answer.details["stopped"] == "feedback"
    assert "Feedback: Step 2 is probably wrong: 2 no\n" in prompts[0]


def test_texts_of_a_tokenizer_are_read_line_by_line():
    model = ProcessRewardModel(decoder())  # untrained: all near 1/2
    few = text_reader(Few())
    found = step_feedback(model, few, least=0.0)(None, ITEM, "ab\ncd")
    assert found.enough and 0 < found.score < 1


class Few(ByteTokenizer):
    """Bytes modulo 10, so that the small decoder has them."""

    def encode(self, text):
        return super().encode(text) % 10
