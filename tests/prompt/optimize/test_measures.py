"""A prompt's worth on an example: the metric of the model's answer, or the gold answer's
log-likelihood.
"""

import numpy as np
import pytest

from tests.prompt.small import Chat, text_model
from tinylm.autograd import cross_entropy
from tinylm.data.read.items import Item
from tinylm.finetune.metrics import spearman
from tinylm.prompt import ScriptedLM
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.optimize.estimate import PromptEvaluator
from tinylm.prompt.optimize.measures import LogLikelihood, TaskMetric, same_answer

RED = Item("What color is blood?", "red")
TWO = Item("1 + 1?", "2", options=("1", "2", "3"))
DEMO = Item("What color is grass?", "green")


def test_answers_are_the_same_if_their_words_are():
    assert same_answer("The Red.", "red") == 1.0
    assert same_answer("dark red", "red") == 0.0
    assert same_answer("C++", "C") == same_answer("1.5 km", "15 km") == 0.0
    assert same_answer("c++.", "C++") == same_answer("1,200", "1200.0") == 1.0
    assert same_answer(None, "red") == 0.0


def test_the_metric_scores_generated_and_chosen_answers():
    lm = ScriptedLM(
        {
            "Add.\n\nQ: 1 + 1?\nA:": {" 1": -3.0, " 2": -1.0, " 3": -2.0},
            "Guess.\n\nQ: 1 + 1?\nA:": {" 1": -1.0, " 2": -3.0, " 3": -2.0},
            "Add.\n\nQ: What color is blood?\nA:": " Blue.\nQ: more",
            "Guess.\n\nQ: What color is blood?\nA:": " Red.\n\nmore",
        }
    )
    measure = TaskMetric(lm)
    pairs = [("Add.", RED), ("Add.", TWO), ("Guess.", RED), ("Guess.", TWO)]
    assert measure(pairs) == [0.0, 1.0, 1.0, 0.0]
    assert measure.given == dict(zip(pairs, ["Blue.", "2", "Red.", "1"]))
    assert measure([]) == []


def test_form_demonstrations_and_metric_are_the_callers():
    form = FewShotPrompt(question_name="Input", answer_name="Output")
    shown = "Input: What color is grass?\nOutput: green"
    prompt = f"Say it.\n\n{shown}\n\nInput: What color is blood?\nOutput:"
    lm = ScriptedLM([(prompt, " dark red indeed")])
    measure = TaskMetric(lm, form, [DEMO], metric=lambda a, gold: len(a) - len(gold), max_tokens=2)
    assert measure([("Say it.", RED)]) == [len("dark red") - len("red")]


def test_the_normalization_of_options_is_the_callers():
    item = Item("Name?", "Constantinople", options=("Rome", "Constantinople"))
    table = {"x\n\nQ: Name?\nA:": {" Rome": -2.0, " Constantinople": -4.0}}
    assert TaskMetric(ScriptedLM(table))([("x", item)]) == [0.0]
    # by characters: -2 / 4 against -4 / 14
    assert TaskMetric(ScriptedLM(table), normalization="character")([("x", item)]) == [1.0]


def test_the_metric_answers_as_few_shot_prompting_does():
    lm = text_model(n_layer=1, context=128)
    measure = TaskMetric(lm, demonstrations=[DEMO], max_tokens=8)
    for item in (RED, TWO):
        form = FewShotPrompt("Answer.")
        answer = few_shot(lm, item, [DEMO], prompt=form, max_tokens=8)
        assert measure.answers([("Answer.", item)]) == [answer.value]


def test_the_log_likelihood_is_minus_the_cross_entropy():
    lm = text_model(n_layer=1)
    (found,) = LogLikelihood(lm, normalization="token")([("Name it.", RED)])
    ids = np.array([[256, *b"Name it.\n\nQ: What color is blood?\nA: red"]])
    n = len(b" red")
    logits = lm.opened.lm.model(ids[:, :-1])
    loss = cross_entropy(logits[:, -n:], ids[:, -n:])
    np.testing.assert_allclose(found, -float(loss.data), rtol=0, atol=1e-10)
    (whole,) = LogLikelihood(lm)([("Name it.", RED)])
    np.testing.assert_allclose(whole, n * found)


def test_the_log_likelihood_sees_demonstrations_and_form():
    prompt = "D.\n\nI: What color is grass?\nO: green\n\nI: What color is blood?\nO:"
    lm = ScriptedLM([(prompt, {" red": -1.5})])
    form = FewShotPrompt(question_name="I", answer_name="O")
    assert LogLikelihood(lm, form, [DEMO])([("D.", RED)]) == [-1.5]


def test_an_instruction_is_read_once_for_all_of_its_examples():
    items = [Item(f"{c}?", options=("x", "y"), answer="y") for c in "abc"]
    prompts = ["Say one of the letters.", "Choose one of the letters."]
    mixed = [(prompt, item) for item in items for prompt in prompts]
    together, apart = text_model(n_layer=1), text_model(n_layer=1)
    grades = LogLikelihood(together)(mixed)
    for k, prompt in enumerate(prompts):
        alone = LogLikelihood(apart)([(prompt, item) for item in items])
        np.testing.assert_allclose(grades[k::2], alone)
    assert together.account.read_tokens == apart.account.read_tokens
    # two of every three prompts are read from where they differ
    assert apart.account.read_tokens < apart.account.prompt_tokens / 2


def test_both_measures_rank_prompts_in_an_evaluator():
    lm = text_model(n_layer=1)
    items = [Item(f"{c}?", options=("x", "y", "z"), answer="y") for c in "abcdef"]
    prompts = ["one", "two", "three", "four"]
    grades = PromptEvaluator(LogLikelihood(lm), items)(prompts)
    shares = PromptEvaluator(TaskMetric(lm), items)(prompts)
    assert len(set(grades)) == 4 and (grades < 0).all()
    assert set(shares) <= {k / 6 for k in range(7)}
    assert -1 <= spearman(grades, shares) <= 1


@pytest.mark.parametrize("measure", [TaskMetric, LogLikelihood])
def test_a_prompt_is_the_instruction_before_the_question(measure):
    made = measure(ScriptedLM([]), FewShotPrompt("not this", separator="\n"))
    assert made.prompt("Add.", RED) == "Add.\nQ: What color is blood?\nA:"


def test_a_turn_of_a_chat_may_have_paragraphs_where_no_demonstration_ends_in_one():
    reply = "Red.\n\nBlood is red.\nQ: more"

    def answers(kind, demonstrations=()):
        return TaskMetric(kind([(None, reply)]), demonstrations=demonstrations).answers(
            [("Guess.", RED)]
        )

    assert answers(Chat) == ["Red.\n\nBlood is red."]
    assert answers(Chat, [DEMO]) == answers(ScriptedLM) == ["Red."]
