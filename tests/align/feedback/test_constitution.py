import pytest

from tests.prompt.small import text_model
from tinylm.align.feedback.constitution import (
    CONSTITUTION,
    CRITIQUE,
    REVISION,
    Principle,
    Revisions,
    revise,
)
from tinylm.data.read.instructions import Instruction
from tinylm.data.read.preferences import Preference
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM

TWO = (Principle("kind", "Is it kind?", "Make it kind."), Principle("short", "Long?", "Shorten."))


def script(*replies):
    """Prompts of two principles in order, with these replies."""
    found, draft = [], "y0"
    for one, critique, revision in zip(TWO, replies[::2], replies[1::2]):
        fields = {"request": "x", "response": draft, "critique": one.critique}
        found.append((CRITIQUE.format(**fields), critique))
        prompt = REVISION.format(**fields, found=critique.strip(), revision=one.revision)
        found.append((prompt, revision))
        draft = revision.strip()
    return ScriptedLM(found)


def test_each_principle_is_a_critique_and_a_revision():
    lm = script(" rude", " y1", " wordy", " y2")
    found = revise(lm, "x", "y0", TWO)
    assert lm.finished
    assert found == Revisions("x", ("y0", "y1", "y2"), ("rude", "wordy"))
    assert found.sample() == Instruction("x", "y2")
    assert found.preference() == Preference("x", "y2", "y0")


def test_a_principle_that_changes_nothing_does_not_end_it():
    found = revise(script("fine", "y0", "wordy", "y2"), "x", "y0", TWO)
    assert found.drafts == ("y0", "y0", "y2")


def test_a_draft_that_nothing_changed_is_no_preference():
    found = revise(script("fine", "y0", "fine", "y0"), "x", "y0", TWO)
    assert found.preference() is None and found.sample() == Instruction("x", "y0")


def test_an_empty_revision_is_not_an_answer():
    found = revise(script("rude", "  "), "x", "y0", TWO)
    assert found.drafts == ("y0",) and found.critiques == ("rude",)


def test_names_of_fields_are_not_part_of_a_reply():
    lm = ScriptedLM([(None, "Critique: rude"), (None, "Revision: y1\nRequest: more")])
    assert revise(lm, "x", "y0", TWO[:1]).drafts == ("y0", "y1")
    assert "Critique: rude\nRevision request: Make it kind." in lm.prompts[1]


def test_a_constitution_has_principles():
    assert [one.name for one in CONSTITUTION] == ["harmless", "honest", "helpful"]
    with pytest.raises(ConfigError, match="at least one principle"):
        revise(ScriptedLM([]), "x", "y", ())


def test_every_call_has_a_seed_of_its_own_and_room_for_256_tokens():
    found = []

    class Watched(ScriptedLM):
        def complete_batch(self, prompts, **options):
            found.append((options["seed"], options["max_tokens"]))
            return super().complete_batch(prompts, **options)

    replies = [(None, "c"), (None, "y1"), (None, "d"), (None, "y2")]
    revise(Watched(replies), "x", "y0", TWO)
    assert found == [(0, 256), (1, 256), (2, 256), (3, 256)]
    found.clear()
    revise(Watched(replies), "x", "y0", TWO, seed=5, max_tokens=9)
    assert found == [(5, 9), (6, 9), (7, 9), (8, 9)]


def test_a_real_model_revises():
    lm = text_model(context=512)
    found = revise(lm, "x", "y0", TWO[:1], max_tokens=5, temperature=1.0, seed=3)
    assert found.drafts[0] == "y0" and len(found.critiques) == 1
