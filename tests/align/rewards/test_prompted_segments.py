import pytest

from tests.prompt.small import text_model
from tinylm.align.rewards.prompted_segments import DIVIDE, ends_of_parts, prompted_ends
from tinylm.align.rewards.segments import segments_of
from tinylm.prompt import ScriptedLM

TEXT = "The camera is good.  It is light. The battery is bad.\n"
PARTS = ["The camera is good.  It is light.", "The battery is bad."]


def test_a_model_divides_a_text_by_topic():
    prompt = DIVIDE.format(text=TEXT)
    lm = ScriptedLM([(prompt, "\n".join(PARTS) + "\nText: another")])
    ends = prompted_ends(lm, TEXT)
    assert segments_of(TEXT, ends) == [
        "The camera is good.  It is light. ",
        "The battery is bad.\n",
    ]
    assert lm.finished


@pytest.mark.parametrize(
    "parts",
    [
        PARTS[::-1],  # another order
        PARTS[:1],  # a part is missing
        PARTS[1:],
        [PARTS[0], "The battery is poor."],  # rewritten
        [*PARTS, "And more."],  # made up
        [],
        [" "],
    ],
)
def test_a_reply_that_is_not_the_text_gives_no_segments(parts):
    assert ends_of_parts(TEXT, parts) is None


def test_empty_lines_and_spaces_around_a_part_do_not_count():
    spaced = ["", f"  {PARTS[0]} ", "", PARTS[1]]
    assert ends_of_parts(TEXT, spaced) == ends_of_parts(TEXT, PARTS) == [34, 54]
    assert ends_of_parts("  a", ["a"]) == [3]


def test_a_model_that_cannot_divide_gives_none():
    assert prompted_ends(text_model(context=512), TEXT, max_tokens=8) is None


def test_by_default_a_model_may_write_512_tokens_with_seed_0():
    seen = []

    class Watched(ScriptedLM):
        def complete_batch(self, prompts, **options):
            seen.append((options["max_tokens"], options["seed"]))
            return super().complete_batch(prompts, **options)

    prompted_ends(Watched([(None, TEXT)]), TEXT)
    assert seen == [(512, 0)]
