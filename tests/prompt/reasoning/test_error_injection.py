"""An error stays in a chain unless another makes up for it, and goes as far as a model lets it."""

import re
from itertools import product

import pytest

from tests.prompt.functions import FunctionLM
from tests.prompt.small import Chat
from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.reasoning.conclusion import first_number
from tinylm.prompt.reasoning.error_injection import (
    Flips,
    chain_accuracy,
    change_number,
    flip_rates,
    go_on,
    split_steps,
)


def enumerated(eps, steps, values):
    """P(right) by all sequences of shifts modulo `values`."""
    total = 0.0
    for shifts in product(range(values), repeat=steps):
        p = 1.0
        for shift in shifts:
            p *= 1 - eps if shift == 0 else eps / (values - 1)
        total += p * (sum(shifts) % values == 0)
    return total


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("values", [2, 3, 5])
@pytest.mark.parametrize("steps", [0, 1, 2, 4])
def test_accuracy_of_a_chain_is_that_of_all_its_errors(eps, values, steps):
    assert chain_accuracy(eps, steps, values) == pytest.approx(enumerated(eps, steps, values))


def test_with_many_values_errors_never_cancel():
    assert chain_accuracy(0.1, 5) == 0.9**5
    assert chain_accuracy(0.1, 5, values=10**9) == pytest.approx(0.9**5, rel=1e-8)
    assert chain_accuracy(0.1, 0) == 1
    # Two wrong turns of a coin are none.
    assert chain_accuracy(1.0, 2, values=2) == 1


def test_impossible_chains_are_refused():
    for wrong in ({"eps": -0.1}, {"eps": 1.1}, {"steps": -1}, {"values": 1}):
        with pytest.raises(ConfigError, match="chain_accuracy: eps"):
            chain_accuracy(**{"eps": 0.1, "steps": 2, **wrong})


def test_steps_are_sentences_or_lines():
    text = "Add 2.5 and 3! Is it 5.5?\nYes.  It is 5.5"
    assert split_steps(text) == ["Add 2.5 and 3!", "Is it 5.5?", "Yes.", "It is 5.5"]
    assert split_steps(" One step \n\n") == ["One step"]


@pytest.mark.parametrize("step", ["4 + 9 = 13.", "It is 1,250 now", "-7", "x is 0.", "3/8 of it"])
def test_one_number_changes_and_nothing_else(step):
    rng = Random(0, "test")
    changed = {change_number(step, rng) for _ in range(60)}
    assert step not in changed and len(changed) > 3
    for text in changed:
        # Everything but the last number is the same.
        assert re.sub(r"[0-9,/]+(?=\D*$)", "N", text) == re.sub(r"[0-9,/]+(?=\D*$)", "N", step)


def test_numbers_change_by_1_to_9_in_both_directions_and_not_below_0():
    rng = Random(1, "test")
    values = {int(change_number("is 50", rng).split()[1]) for _ in range(300)}
    assert values == {50 + by for by in range(-9, 10)} - {50}
    values = {int(change_number("is 1", rng).split()[1]) for _ in range(300)}
    assert values == {0} | set(range(2, 11))
    assert change_number("no number here", rng) is None


def test_the_reply_goes_on_after_the_given_steps():
    demo = Item("1+1?", "2", rationale="Add.")
    prompt = "Q: 1+1?\nA: Add. The answer is 2.\n\nQ: 2+2+2?\nA: 2+2=4. 4+2=6."
    lm = ScriptedLM([(prompt, " The answer is 6.\n\nQ: more")])
    answer = go_on(lm, Item("2+2+2?"), ["2+2=4.", "4+2=6."], [demo])
    assert answer.value == "6" and answer.text == " 2+2=4. 4+2=6. The answer is 6."
    assert answer.details["rationale"] == ""
    lm = ScriptedLM([("Q: 2?\nA:", " I give up.")])
    answer = go_on(lm, Item("2?"), [])
    assert answer.value is None and answer.details["rationale"] == "I give up."
    form = FewShotPrompt(question_name="P", answer_name="S")
    lm = ScriptedLM([("P: 2?\nS: a", " The answer is 6 apples.")])
    assert go_on(lm, Item("2?"), ["a"], prompt=form, read=first_number).value == "6"
    lm = ScriptedLM([(None, " w" * 300)])
    assert go_on(lm, Item("2?"), []).text == " w" * 256


SUMS = [
    Item("1, 2, 3, 4?", "10", rationale="1 + 2 = 3. 3 + 3 = 6. 6 + 4 = 10."),
    Item("5, 6?", "11", rationale="5 + 6 = 11. Done."),
]


def adding(prompt):
    """Goes on from the last sum that it finds: an error reaches the end."""
    last = re.findall(r"= ([0-9]+)", prompt)[-1]
    return f" The answer is {last}."


def test_a_model_that_goes_on_from_the_last_step_flips_every_answer():
    table = flip_rates(FunctionLM(adding), SUMS)
    assert [(row.step, row.count, row.flips) for row in table] == [(0, 2, 2), (1, 1, 1), (2, 1, 1)]
    assert all(row.rate == 1 for row in table)  # "Done." has no number to change


def test_a_model_that_does_not_read_the_steps_flips_none():
    table = flip_rates(FunctionLM(lambda prompt: " The answer is 7."), SUMS)
    assert [row.rate for row in table] == [0, 0, 0] and [row.count for row in table] == [2, 1, 1]


def test_an_answer_that_is_lost_is_changed():
    def lost(prompt):
        if "1 + 2 = 3." in prompt or "5 + 6 = 11." in prompt:
            return " The answer is 1."
        return " Hm."

    table = flip_rates(FunctionLM(lost), SUMS)
    assert table[0].flips == 2


def test_errors_are_the_same_for_the_same_seed_and_options_reach_the_model():
    sent = []
    for seed in (0, 0, 1):
        lm = FunctionLM(adding)
        flip_rates(lm, SUMS, seed=seed, prompt=FewShotPrompt(question_name="P"))
        sent.append(lm.prompts)
    assert sent[0] == sent[1] != sent[2]
    assert all(prompt.startswith("P: ") for prompt in sent[0])


def test_an_error_may_be_of_another_kind():
    lm = FunctionLM(lambda prompt: f" The answer is {prompt[-1]}.")
    items = [Item("ab?", "b", rationale="First a. Then b")]

    def next_letter(step, rng):
        if step.endswith("."):
            return None  # the first step is left as it is
        return step[:-1] + chr(ord(step[-1]) + 1)

    table = flip_rates(lm, items, change=next_letter)
    assert [(row.count, row.flips) for row in table] == [(0, 0), (1, 1)]
    assert lm.prompts[-1].endswith("First a. Then c")


def test_without_steps_there_is_nothing_to_measure():
    with pytest.raises(DataError, match="has no steps"):
        flip_rates(FunctionLM(adding), [Item("1?", "1")])
    with pytest.raises(DataError, match="no worked solution has a number in step 3"):
        _ = Flips(3).rate


def test_the_steps_of_a_chat_may_have_paragraphs_where_no_demonstration_ends_in_one():
    item, steps = Item("2 + 3 + 4?", "9"), ["2 + 3 = 5."]
    reply = "\n\n5 + 4 = 9.\n\nThe answer is 9.\nQ: more"
    demo = Item("1 + 1?", "2", rationale="Add.")
    answer = go_on(Chat([(None, reply)]), item, steps)
    assert answer.value == "9" and answer.text == " 2 + 3 = 5.\n\n5 + 4 = 9.\n\nThe answer is 9."
    assert go_on(Chat([(None, reply)]), item, steps, [demo]).value is None
    assert go_on(ScriptedLM([(None, reply)]), item, steps).value is None
