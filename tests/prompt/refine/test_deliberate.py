"""Deliberate, then generate: the error type comes first, or stands there already."""

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.cipher import draft_items, error_type
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.refine.deliberate import (
    deliberate,
    deliberate_negative,
    deliberation_prompt,
    read_deliberation,
    wrong_draft,
)

ITEM = Item("水是湿的。", "Water is wet.")
# The wrong draft of the book's example.
ART = (
    "A variety of innovative techniques have redefined the importance of modern art in "
    "contemporary cultural studies."
)


def prompt(source, target, error="Error Type:"):
    return (
        f"Given the Chinese sentence: {source}\n"
        f"The English translation is: {target}\n"
        "Please first detect the error type, and then refine the translation.\n"
        f"{error}"
    )


def test_one_reply_names_the_error_and_refines_the_draft():
    wanted = prompt("水是湿的。", "Water is.")
    lm = ScriptedLM([(wanted, " Omission\nWater is wet.\nGiven the French sentence")])
    with lm.tracing() as trace:
        answer = deliberate(lm, ITEM, draft="Water is.")
    assert answer.value == "Water is wet."
    assert answer.details == {"draft": "Water is.", "error": "Omission", "dropped": ()}
    assert trace.calls[0].parsed == [("error type", "Omission"), ("refined", "Water is wet.")]
    assert trace.calls[0].begin == "Error Type:"  # what the reply of a chat model begins with


def test_the_model_translates_first_where_there_is_no_draft():
    translate = (
        "Translate the following text from Chinese to English:\nChinese: 水是湿的。\nEnglish:"
    )
    lm = ScriptedLM([(translate, " Water."), (prompt("水是湿的。", "Water."), "Omission\nWet.")])
    assert deliberate(lm, ITEM).value == "Wet." and lm.finished
    lm = ScriptedLM([(None, " ")])
    assert deliberate(lm, ITEM).details == {"draft": None, "error": None, "dropped": ()}
    lm = ScriptedLM([(None, "x"), (None, "only an error")])
    answer = deliberate(lm, ITEM)
    assert (answer.value, answer.details["error"]) == (None, "only an error")


@pytest.mark.parametrize(
    "reply, error, text",
    [
        (" Omission\nWater is wet.", "Omission", "Water is wet."),
        ("Omission\n\nRefined Translation: Water is wet. ", "Omission", "Water is wet."),
        ("Omission. Refined Translation: Water", "Omission.", "Water"),
        ("Error Type: Omission\nWater\nand more", "Omission", "Water\nand more"),
        ("Omission", "Omission", None),
        ("Omission\nRefined Translation:", "Omission", None),
        ("", "", None),
    ],
)
def test_error_type_and_text_are_read_apart(reply, error, text):
    assert read_deliberation(reply) == (error, text)


def test_the_negative_evidence_of_the_book():
    wanted = prompt("水是湿的。", ART, "Error Type: Incorrect Translation")
    lm = ScriptedLM([(wanted, "\nWater is wet.\nError Type: more")])
    answer = deliberate_negative(lm, ITEM, corpus=[ART, "Water is wet."])
    assert (answer.value, answer.details) == ("Water is wet.", {"draft": ART, "dropped": ()})
    lm = ScriptedLM([(wanted, "\nRefined Translation: Water.")])
    assert deliberate_negative(lm, ITEM, corpus=[ART]).value == "Water."
    assert deliberate_negative(ScriptedLM([(None, " ")]), ITEM, corpus=[ART]).value is None


def test_demonstrations_have_wrong_drafts_of_their_own():
    demo = Item("火。", "Fire.")
    shown = prompt("火。", "Water is wet.", "Error Type: Incorrect Translation\nFire.")
    wanted = prompt("水是湿的。", "Fire.", "Error Type: Incorrect Translation")
    lm = ScriptedLM([(f"{shown}\n\n{wanted}", " Water.")])
    corpus = ["Water is wet.", "Fire."]  # each is the other's only wrong draft
    assert deliberate_negative(lm, ITEM, [demo], corpus=corpus).value == "Water."
    with pytest.raises(DataError, match="a demonstration needs an answer"):
        deliberate_negative(lm, ITEM, [Item("火。")], corpus=corpus)


def test_without_a_corpus_the_answers_of_the_demonstrations_are_the_wrong_drafts():
    demos = [Item("火。", "Fire."), Item("冰。", "Ice.")]
    lm = ScriptedLM([(None, "x")] * 20)
    drafts = {
        deliberate_negative(lm, ITEM, demos, seed=seed).details["draft"] for seed in range(20)
    }
    assert drafts == {"Fire.", "Ice."}
    assert "is: Ice.\nPlease" in lm.prompts[0].split("\n\n")[0]  # each is the other's wrong draft
    with pytest.raises(DataError, match="of the 0 texts"):
        deliberate_negative(lm, ITEM)


def test_a_wrong_draft_is_never_the_reference_and_otherwise_uniform():
    corpus = ["right", "a", "b", "right", "b", "c"]
    rng = np.random.default_rng(0)
    drawn = [wrong_draft(corpus, "right", rng) for _ in range(3000)]
    assert set(drawn) == {"a", "b", "c"}
    # 1000 of each expected, standard deviation 26; equal texts count once.
    assert all(abs(drawn.count(text) - 1000) < 120 for text in "abc")
    assert wrong_draft(["right"], None, rng) == "right"  # an unknown reference excludes nothing
    with pytest.raises(DataError, match="of the 2 texts of the corpus none differs"):
        wrong_draft(["right", "right"], "right", rng)


def test_the_seed_decides_the_draft():
    corpus = [f"text {n}" for n in range(100)]
    lm = ScriptedLM([(None, "x")] * 3)
    drafts = [
        deliberate_negative(lm, ITEM, corpus=corpus, seed=seed).details["draft"]
        for seed in (1, 1, 2)
    ]
    assert drafts[0] == drafts[1] != drafts[2]


def test_draft_and_refinement_have_seeds_of_their_own():
    seeds = []

    class Recorder(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            seeds.append(seed)
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    deliberate(Recorder([(None, "one"), (None, "two")]), ITEM, seed=5)
    assert seeds == [5, 6]


def test_both_run_on_a_model():
    lm = text_model(context=512)
    item = Item("aqua", "water")
    for answer in (
        deliberate(lm, item, draft="watr", max_tokens=4, source="Latin", target="English"),
        deliberate_negative(lm, item, corpus=["fire"], max_tokens=4),
    ):
        assert answer.value is None or isinstance(answer.value, str)
    assert lm.account.calls == 2


@pytest.mark.parametrize("kind", ["omission", "substitution", "order"])
def test_an_oracle_of_planted_errors_in_the_place_of_the_model(kind):
    # Drafts of a toy language with one known error: what the prompt holds is enough to mend it.
    for item in draft_items(5, seed=1, kinds=[kind]):
        sentence = Item(item.question.split(": ")[-1])
        reply = f" {error_type(sentence.question, item.context)}\n{item.answer}"
        names = ("English", "toy")
        asked = deliberation_prompt(sentence.question, item.context, names)
        lm = ScriptedLM([(f"{asked}\nError Type:", reply)])
        answer = deliberate(lm, sentence, draft=item.context, source="English", target="toy")
        assert answer.details["error"] == item.rationale == kind
        assert answer.value == item.answer != item.context
