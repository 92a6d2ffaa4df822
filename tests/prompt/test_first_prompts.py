"""The prompts with which the book introduces prompting (section 2.1.5): a problem in steps that is
answered wrongly at once, and tasks that are given by examples. Numbers are the book's, texts our
own.
"""

import pytest

from tinylm.data.read.items import Item
from tinylm.prompt import ScriptedLM
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot, zero_shot
from tinylm.prompt.reasoning import calculate
from tinylm.prompt.reasoning.chain_of_thought import chain_of_thought, zero_shot_cot
from tinylm.prompt.reasoning.error_injection import split_steps

# 12 + 7 - 5 + 3
SHELLS = Item(
    "Mia has 12 shells. She finds 7 more on Monday and gives 5 to her brother. On Tuesday she "
    "finds 3. How many shells does Mia have now?",
    "17",
    rationale="Mia has 12 shells. With those of Monday she has 12 + 7 = 19. Without those that she "
    "gives away she has 19 - 5 = 14. With those of Tuesday she has 14 + 3 = 17.",
)
# 7 - 2 + 5 - 3
PENS = Item(
    "Leo has 7 pens. He loses 2 of them, and then buys 5. He lends 3 to a friend. How many pens "
    "does Leo have left?",
    "7",
)
STEPS = (
    "Leo has 7 pens. Without the lost ones there are 7 - 2 = 5. With the new ones there are "
    "5 + 5 = 10. Without the lent ones there are 10 - 3 = 7."
)
SENTIMENT = FewShotPrompt(
    "Classify the sentiment of each text as Positive, Negative, or Neutral.", "Text", "Sentiment"
)
SNIPPETS = [
    Item("We had such a lovely morning at the lake!", "Positive"),
    Item("Nobody cleaned the room all week.", "Negative"),
    Item("The train to Leeds leaves at noon.", "Neutral"),
]
FILM = Item("This film took my breath away.", "Positive", ("Positive", "Negative", "Neutral"))
PHRASES = FewShotPrompt(
    "Translate the Chinese phrases into English.", "Phrase", "Translation", separator="\n"
)


@pytest.mark.parametrize(
    "demonstrations, reply, value", [([], "The answer is 10.", "10"), ([SHELLS], "12.", "12")]
)
def test_a_problem_in_steps_may_be_answered_wrongly_at_once(demonstrations, reply, value):
    shown = "".join(f"Q: {one.question}\nA: {one.answer}\n\n" for one in demonstrations)
    lm = ScriptedLM([(f"{shown}Q: {PENS.question}\nA:", f" {reply}")])
    answer = few_shot(lm, PENS, demonstrations)
    assert lm.finished and value in answer.value and not is_right(answer.value, PENS)


def test_a_demonstration_with_its_steps_and_a_reply_with_steps():
    prompt = (
        f"Q: {SHELLS.question}\nA: {SHELLS.rationale} The answer is 17.\n\nQ: {PENS.question}\nA:"
    )
    lm = ScriptedLM([(prompt, f" {STEPS} So the answer is 7.\n\nQ: ..")])
    answer = chain_of_thought(lm, PENS, [SHELLS])
    assert lm.finished and answer.value == "7" and is_right(answer.value, PENS)
    assert answer.details["rationale"] == STEPS


def test_a_sentence_brings_the_steps_without_a_demonstration():
    lm = ScriptedLM(
        [(f"Q: {PENS.question}\nA: Let's think step by step.", f" {STEPS} So the answer is 7.")]
    )
    answer = zero_shot_cot(lm, PENS, [SHELLS])
    assert lm.finished and is_right(answer.value, PENS)


def test_what_the_model_computes_is_its_own_unless_a_calculator_is_wanted():
    prompt = f"Q: {PENS.question}\nA: Let's think step by step."
    reply = " There are 7 - 2 = <<7-2=6>>6 and 5 more. So the answer is 11."
    answer = zero_shot_cot(ScriptedLM([(prompt, reply)]), PENS)
    assert answer.value == "11" and answer.details["computed"] == []


@pytest.mark.parametrize(
    "rationale, results", [(SHELLS.rationale, ["19", "14", "17"]), (STEPS, ["5", "10", "7"])]
)
def test_every_step_is_an_equation_that_holds(rationale, results):
    found = []
    for step in split_steps(rationale)[1:]:
        left, right = step.rstrip(".").rsplit(" = ", 1)
        computed = calculate(" ".join(left.split()[-3:]))
        assert str(computed) == right
        found.append(right)
    assert found == results


def test_shots_are_the_number_of_demonstrations_in_their_order():
    none, one, three = (SENTIMENT.prompt(FILM, SNIPPETS[:k]) for k in (0, 1, 3))
    head = SENTIMENT.instruction
    asked = f"Text: {FILM.question}\nSentiment:"
    assert none == f"{head}\n\n{asked}"
    assert one == f"{head}\n\nText: {SNIPPETS[0].question}\nSentiment: Positive\n\n{asked}"
    assert three.index("lake") < three.index("cleaned") < three.index("Leeds") < three.index("film")
    lm = ScriptedLM([(none, {" Positive": -1.0, " Negative": -2.0, " Neutral": -3.0})])
    assert zero_shot(lm, FILM, SNIPPETS, prompt=SENTIMENT).value == "Positive"


def test_a_label_is_what_the_model_finds_most_probable():
    prompt = SENTIMENT.prompt(FILM, SNIPPETS)
    scored = {" Positive": -0.2, " Negative": -2.0, " Neutral": -3.0}
    lm = ScriptedLM([(prompt, scored)])
    assert few_shot(lm, FILM, SNIPPETS, prompt=SENTIMENT).value == "Positive"


def test_phrases_of_another_script_are_demonstrations_as_well():
    shown = [Item("谢谢", "Thank you"), Item("再见", "Goodbye")]
    prompt = (
        "Translate the Chinese phrases into English.\n"
        "Phrase: 谢谢\nTranslation: Thank you\nPhrase: 再见\nTranslation: Goodbye\n"
        "Phrase: 早上好\nTranslation:"
    )
    lm = ScriptedLM([(prompt, " Good morning\nPhrase: 晚安")])
    answer = few_shot(lm, Item("早上好", "Good morning"), shown, prompt=PHRASES)
    assert lm.finished and answer.value == "Good morning"
