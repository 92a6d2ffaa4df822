"""Answers after several prompts are combined."""

import pytest

from tests.prompt.small import Chat, text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.prompts import (
    PHRASINGS,
    SIMPLIFY,
    Phrasing,
    prompt_ensemble,
    stops_of,
    texts_of,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt

ITEM = Item("The cat, which was old, slept.")
BOOK = [
    "Make this text simpler.\nThe cat, which was old, slept.",
    "Condense and simplify this text.\nThe cat, which was old, slept.",
    "Rewrite for easy reading.\nThe cat, which was old, slept.",
]


def test_the_three_prompts_of_the_book():
    replies = [" The old cat slept.", "An old cat slept", "Cats sleep.\n\nMore"]
    lm = ScriptedLM(list(zip(BOOK, replies)))
    answer = prompt_ensemble(lm, ITEM, prompts=SIMPLIFY, combine="overlap")
    assert lm.finished
    # Without articles the first two are the same words: F1 1 with each other.
    assert answer.value == "An old cat slept"
    assert answer.details["answers"] == ["The old cat slept.", "An old cat slept", "Cats sleep."]
    assert answer.details["combined"].tolist() == [1.0, 1.0, 0.0]
    assert answer.text == "Cats sleep."


def test_a_vote_is_the_default_and_three_forms_of_a_question():
    question = Item("2+2?")
    lm = ScriptedLM(
        [
            ("Q: 2+2?\nA:", " 4\nQ: next"),
            ("Question: 2+2?\nAnswer:", "4."),
            ("Answer the question.\n\nInput: 2+2?\nOutput:", "5"),
        ]
    )
    with lm.tracing() as trace:
        answer = prompt_ensemble(lm, question)
    assert answer.value == "4" and answer.details["combined"] == {"4": 2 / 3, "5": 1 / 3}
    assert trace.calls[-1].parsed == [("answer", "4")]


def test_prompts_vote_by_the_number_where_one_is_wanted():
    lm = ScriptedLM([(None, "8"), (None, "It is 7."), (None, "3 + 4 = 7")])
    answer = prompt_ensemble(lm, Item("?", "7"), prompts=SIMPLIFY)
    assert answer.details["combined"] == {"3 + 4 = 7": 2 / 3, "8": 1 / 3}


def test_one_prompt_is_the_identity():
    lm = ScriptedLM([(BOOK[0], "Cats sleep.")] * 2)
    for combine in ("vote", "overlap"):
        answer = prompt_ensemble(lm, ITEM, prompts=SIMPLIFY[:1], combine=combine)
        assert answer.value == "Cats sleep."


def test_combine_may_be_a_function():
    lm = ScriptedLM([(None, "a"), (None, " "), (None, "c")])

    def last(answers):
        return answers[-1], len(answers)

    answer = prompt_ensemble(lm, ITEM, prompts=SIMPLIFY, combine=last)
    assert answer.value == "c"
    assert answer.details == {"answers": ["a", None, "c"], "combined": 3, "dropped": ()}


def test_prompts_that_end_alike_are_one_batch():
    batches = []

    class Recorder(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            batches.append((len(prompts), stop, max_tokens, seed, sampling))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Recorder([(None, "a"), (None, "b"), (None, "c")])
    forms = [SIMPLIFY[0], FewShotPrompt(), SIMPLIFY[1]]
    answer = prompt_ensemble(lm, ITEM, prompts=forms, seed=2)
    greedy = {"temperature": 0.0}
    assert batches == [(2, ("\n\n",), 64, 2, greedy), (1, FewShotPrompt().stop, 64, 2, greedy)]
    assert answer.details["answers"] == ["a", "c", "b"]  # in the order of the prompts


def test_a_phrasing_is_a_prompt_with_its_answer_on_the_next_line():
    form = Phrasing("Rate: {*text*}")
    assert form.prompt(Item("x")) == "Rate: x"
    assert form.prompt(Item("x"), [Item("y", "good")]) == "Rate: y\ngood\n\nRate: x"
    assert form.continuation(Item("x"), "bad") == "\nbad"
    assert Phrasing("Text: {*text*}\nLabel: _____").continuation(Item("x"), "bad") == " bad"
    assert form.stop == ("\n\n",)
    assert form.read(" good \n\nRate: z") == "good" and form.read(" \n") is None
    spaced = Phrasing("{*text*}", separator="\n--\n")
    assert spaced.prompt(Item("x"), [Item("y", "z")]) == "y\nz\n--\nx"
    assert spaced.read("a\n\nb\n--\nc") == "a\n\nb"
    assert spaced.stop_for(Chat([])) == spaced.stop == ("\n--\n",)
    assert form.read(" a\n\nb|c", ()) == "a\n\nb|c" and form.read("a|b\n\nc", ("|",)) == "a"
    with pytest.raises(DataError, match="a demonstration needs an answer"):
        form.prompt(Item("x"), [Item("y")])


def test_the_texts_and_stops_of_all_prompts():
    forms = [SIMPLIFY[0], FewShotPrompt()]
    lm = ScriptedLM([])
    fitted = texts_of(lm, forms, ITEM)
    assert [one.text for one in fitted] == [BOOK[0], FewShotPrompt().prompt(ITEM)]
    assert stops_of(lm, forms, fitted) == [("\n\n",), FewShotPrompt().stop]
    assert stops_of(Chat([]), forms, fitted) == [(), ("\nContext:", "\nQ:", "\nA:")]
    shown = texts_of(lm, forms, ITEM, [Item("x", "y")])
    assert stops_of(Chat([]), forms, shown) == stops_of(lm, forms, fitted)
    with pytest.raises(ConfigError, match="at least one"):
        texts_of(lm, [], ITEM)


def test_of_options_every_prompt_takes_the_most_probable():
    item = Item("Is ice cold?", options=("yes", "no"))
    table = {"Say": (-1, -2), "Tell": (-2, -1), "Now": (-1, -3)}
    forms = [Phrasing(f"{name}: {{*text*}}") for name in table]
    lm = ScriptedLM(
        [(f"{name}: Is ice cold?", {"\nyes": yes, "\nno": no}) for name, (yes, no) in table.items()]
    )
    answer = prompt_ensemble(lm, item, prompts=forms)
    assert lm.finished and (answer.value, answer.text) == ("yes", "yes")
    assert answer.details["answers"] == ["yes", "no", "yes"]


def test_an_unknown_combination_is_refused():
    with pytest.raises(ConfigError, match="no combination 'mean'; there are vote, overlap"):
        prompt_ensemble(None, ITEM, combine="mean")


def test_it_gives_what_each_prompt_gives_alone():
    lm = text_model()
    answer = prompt_ensemble(lm, Item("2+2?"), max_tokens=5)
    alone = [
        form.read(lm.complete(form.prompt(Item("2+2?")), stop=form.stop, max_tokens=5).text)
        for form in PHRASINGS
    ]
    assert answer.details["answers"] == alone


def test_a_turn_of_a_chat_may_have_paragraphs_where_no_demonstration_ends_in_one():
    reply, demo = "Cats rest.\n\nOften.", Item("Dogs run.", "Dogs are fast.")
    forms = (SIMPLIFY[0], FewShotPrompt())

    def answers(kind, demonstrations=()):
        lm = kind([(None, reply)] * 2)
        return prompt_ensemble(lm, ITEM, demonstrations, prompts=forms).details["answers"]

    assert answers(Chat) == [reply] * 2
    assert answers(Chat, [demo]) == answers(ScriptedLM) == ["Cats rest."] * 2
