"""Stories and dialogues go on, and what is written under requirements is checked."""

import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks.generation import (
    continue_dialogue,
    continue_story,
    generate_until,
    requirements,
    requirements_prompt,
    write,
)
from tinylm.prompt.template.constraints import (
    characters_per_line,
    line_count,
    max_words,
    must_mention,
)

STORY = "One rainy morning, Ida found a blue button under the stairs."
TALK = (
    "Tourist: Hello, can you take me to the harbor?\nTaxi Driver: Sure! Is it your first visit?\n"
    "Tourist: Yes. What should I see?\nTaxi Driver: The lighthouse, after lunch."
)


def test_a_story_is_continued():
    prompt = f"You will be provided with the beginning of a story. Continue it.\n{STORY}"
    lm = ScriptedLM([(prompt, " She kept it. "), (prompt, "")])
    assert continue_story(lm, Item(STORY)).value == "She kept it."
    assert continue_story(lm, Item(STORY)).value is None


def test_a_dialogue_goes_on_with_the_other_speaker():
    first = f"{TALK}\nTourist:"
    lm = ScriptedLM(
        [
            (first, " Great, thanks!\nTaxi Driver: Bye."),
            (f"{first} Great, thanks!\nTaxi Driver:", " Taxi Driver: No problem."),
        ]
    )
    speakers = ("Tourist", "Taxi Driver")
    answer = continue_dialogue(lm, Item(TALK), speakers=speakers)
    assert answer.value == "Tourist: Great, thanks!\nTaxi Driver: No problem."
    assert answer.details["turns"] == [
        ("Tourist", "Great, thanks!"),
        ("Taxi Driver", "No problem."),
    ]
    assert answer.text == "No problem." and lm.finished
    one = continue_dialogue(
        ScriptedLM([(f"{TALK}\nTourist:", "Ok.")]), Item(TALK), speakers=speakers, turns=1
    )
    assert one.value == "Tourist: Ok."
    for wrong in ("Hello", f"{TALK}\nTourist:"):
        with pytest.raises(DataError, match="must end with a turn of one of"):
            continue_dialogue(lm, Item(wrong), speakers=speakers)


def test_turns_have_seeds_of_their_own():
    seen = []

    class Seeds(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            seen.append((seed, sampling["temperature"]))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Seeds([(None, "a"), (None, "b")])
    continue_dialogue(lm, Item("A: x"), speakers=("A", "B"), seed=4)
    assert seen == [(4, 0.0), (5, 0.0)]
    seen.clear()
    generate_until(Seeds([(None, "a b")] * 3), "x", [max_words(1)], tries=3, seed=7)
    # The most probable reply first, then draws.
    assert seen == [(7, 0.0), (8, 1.0), (9, 1.0)]


def test_requirements_are_stated_in_the_prompt_and_checked_in_the_reply():
    constraints = [line_count(2), characters_per_line(5)]
    assert requirements(constraints) == "- exactly 2 lines\n- 5 characters per line"
    assert requirements_prompt("Write.") == "Write."
    prompt = (
        "Please write a poem about snow. Here are the requirements.\n- exactly 2 lines\n"
        "- 5 characters per line"
    )
    poem = "白雪落江村，\n孤舟夜不歸。"
    lm = ScriptedLM([(prompt, "白雪落。\n舟"), (prompt, poem + "\n")])
    with lm.tracing() as trace:
        answer = write(lm, Item("Please write a poem about snow."), constraints=constraints)
    assert answer.value == poem and lm.finished
    assert [[check.found for check in checks] for checks in answer.details["unmet"]] == [
        [[3, 1]],
        [],
    ]
    assert trace.calls[1].parsed == [("text", poem)]
    plain = ScriptedLM([("Please write a poem about snow.", "Snow.")])
    assert write(plain, Item("Please write a poem about snow.")).value == "Snow."


def test_a_text_that_never_meets_the_requirements_is_no_answer():
    lm = ScriptedLM([("x", "a b c"), ("x", "d e f")])
    with lm.tracing() as trace:
        answer = generate_until(lm, "x", [max_words(2), must_mention(["a"])], tries=2)
    assert answer.value is None and answer.text == "d e f"
    assert [len(checks) for checks in answer.details["unmet"]] == [1, 2]
    assert trace.calls[1].parsed == [("text", None)]
    empty = generate_until(ScriptedLM([("x", " "), ("x", "a")]), "x", [], tries=2)
    assert empty.value == "a"  # an empty reply meets everything and says nothing
    assert generate_until(ScriptedLM([("x", "a")]), "x", [], tries=1).value == "a"
    with pytest.raises(ConfigError, match="tries=0 must be 1 or more"):
        generate_until(lm, "x", [], tries=0)


def test_a_real_model_draws_another_text_each_time():
    lm = text_model()
    answer = generate_until(lm, "ab", [must_mention(["never written"])], tries=3, max_tokens=6)
    assert answer.value is None and len(answer.details["unmet"]) == 3
    assert lm.account.calls == 3
