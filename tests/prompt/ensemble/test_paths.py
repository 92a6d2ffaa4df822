"""Sampled chains of thought, and the answers that they reach."""

import pytest

from tests.prompt.ensemble.sampler import Sampler
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.paths import sample_paths
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.reasoning.chain_of_thought import chain_of_thought, zero_shot_cot
from tinylm.prompt.reasoning.conclusion import first_number

ITEM = Item("2+2?")


def test_without_demonstrations_the_reply_begins_with_the_trigger():
    lm = Sampler(["Two and two. The answer is 4.", "Hm."])
    with lm.tracing() as trace:
        paths = sample_paths(lm, ITEM, count=2, seed=8, extract=None)
    assert lm.prompts == ["Q: 2+2?\nA: Let's think step by step."] * 2
    assert [path.answer for path in paths] == ["4", None]
    assert paths[0].reply.text == "Two and two. The answer is 4."
    assert trace.calls[-1].parsed == [("answers", ["4", None])]
    _, max_tokens, stop, seed, sampling = lm.seen[0]
    assert (max_tokens, seed, sampling) == (256, 8, {"temperature": 0.7})
    assert "\n\n" not in stop and "\nQ:" in stop  # a chain may have paragraphs


def test_a_chain_without_an_answer_is_continued_until_it_has_one():
    start = "Q: 2+2?\nA: Let's think step by step."
    lm = ScriptedLM(
        [
            (start, " Two and two. The answer is 4."),
            (start, " Two and two more."),
            (f"{start} Two and two more.\nTherefore, the answer is", " five, or\nso\nQ: next"),
        ]
    )
    paths = sample_paths(lm, ITEM, count=2)
    assert lm.finished and [path.answer for path in paths] == ["4", "five, or"]
    assert paths[1].reply.text == " Two and two more."  # the chain itself is not changed


def test_the_answer_of_a_chain_is_no_further_chance():
    lm = Sampler([" Hm.", " The answer is 4.", " Oh."])
    sample_paths(lm, ITEM, count=3, seed=6, extract=" So:", answer_tokens=5)
    # Chains without an answer go on in one batch, with one seed.
    _, max_tokens, stop, seed, sampling = lm.seen[1]
    start = "Q: 2+2?\nA: Let's think step by step."
    assert lm.prompts[3:] == [f"{start} Hm. So:", f"{start} Oh. So:"]
    assert (max_tokens, seed, sampling) == (5, [6, 6], {"temperature": 0.0})
    assert stop == lm.seen[0][2] and len(lm.seen) == 2


def test_chains_that_reach_an_answer_are_not_continued():
    lm = Sampler([" The answer is 4.", " The answer is 5."])
    sample_paths(lm, ITEM, count=2)
    assert len(lm.seen) == 1


def test_demonstrations_show_their_reasoning():
    demo = Item("1+1?", "2", rationale="One and one.")
    lm = Sampler([" It is 4. The answer is 4."])
    (path,) = sample_paths(lm, ITEM, [demo], count=1, max_tokens=9, temperature=0.2)
    assert lm.prompts == ["Q: 1+1?\nA: One and one. The answer is 2.\n\nQ: 2+2?\nA:"]
    assert path.answer == "4"
    assert lm.seen[0][1:3] == (9, FewShotPrompt().stop)
    assert lm.seen[0][-1] == {"temperature": 0.2}
    lm = Sampler([" Four."])
    assert sample_paths(lm, ITEM, [demo], count=1)[0].answer is None  # and it ends there
    assert len(lm.prompts) == 1
    with pytest.raises(DataError, match="no rationale"):
        sample_paths(lm, ITEM, [Item("1+1?", "2")], count=1)


def test_options_are_named_by_their_letters():
    cable = Item("What needs cable?", options=("radio", "television"))
    lm = Sampler(["So the answer is (b).", "The answer is television.", "The answer is (a)."])
    paths = sample_paths(lm, cable, count=3)
    assert lm.prompts[0].startswith("Q: What needs cable? (a) radio (b) television\nA:")
    assert [path.answer for path in paths] == ["television", "television", "radio"]


def test_another_prompt_reader_and_trigger():
    lm = Sampler(["So the answer is $ 4 in all."])
    form = FewShotPrompt(question_name="In", answer_name="Out")
    options = {"read": first_number, "trigger": "Let's think logically.", "prompt": form}
    (path,) = sample_paths(lm, ITEM, count=1, **options)
    assert path.answer == "4" and lm.prompts == ["In: 2+2?\nOut: Let's think logically."]


def test_each_path_is_the_reply_with_its_own_seed():
    lm = text_model(context=160)
    paths = sample_paths(lm, ITEM, count=2, seed=3, max_tokens=5, extract=None)
    for r, path in enumerate(paths):
        alone = zero_shot_cot(lm, ITEM, seed=3 + r, temperature=0.7, max_tokens=5)
        assert (path.answer, path.reply.text) == (alone.value, alone.text)
    demo = Item("1+1?", "2", rationale="One.")
    (path,) = sample_paths(lm, ITEM, [demo], count=1, seed=4, max_tokens=5)
    alone = chain_of_thought(lm, ITEM, [demo], seed=4, temperature=0.7, max_tokens=5)
    assert path.reply.text == alone.text


def test_no_path_is_refused():
    with pytest.raises(ConfigError, match="1 chain of thought or more, not 0"):
        sample_paths(None, ITEM, count=0)
