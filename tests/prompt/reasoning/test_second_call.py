"""Two calls, of which the second reads the first one's reply: both fit into the context."""

import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.ensemble.outputs import best_of_n
from tinylm.prompt.ensemble.self_consistency import self_consistency
from tinylm.prompt.reasoning.chain_of_thought import two_stage_cot
from tinylm.prompt.reasoning.second_call import SecondCall

ITEM = Item("2+2?")  # with the trigger: 8 words; the extracting sentence has 4


def test_steps_and_answer_share_what_the_context_leaves():
    for context, answer_tokens, steps, answer in [
        (64, 32, 26, 26),  # 52 are left: half of them for the answer
        (64, 10, 42, 10),
        (64, 26, 26, 26),
        (14, 32, 1, 1),
        (15, 32, 2, 1),
        (400, 32, 256, 32),
    ]:
        lm = ScriptedLM([(None, " w" * 300), (None, " a" * 300)], context=context)
        with lm.tracing() as trace:
            found = two_stage_cot(lm, ITEM, answer_tokens=answer_tokens)
        assert found.details["rationale"].split() == ["w"] * steps
        assert found.text.split() == ["a"] * answer
        first, second = trace.calls
        assert lm.length(second.prompt, second.begin) + answer <= context
        assert second.begin == first.begin + " w" * steps + "\nTherefore, the answer is"
    with pytest.raises(DataError, match="leave 1 of the model's 13 tokens for steps and answer"):
        two_stage_cot(ScriptedLM([], context=13), ITEM)


def test_without_a_limit_nothing_is_cut():
    lm = ScriptedLM([])
    second = SecondCall.of(lm, "p", " b", " e", 32)
    assert (second.steps(256), second.answer, second.room) == (256, 32, None)
    assert second.after(lm, " w" * 999) == " b" + " w" * 999 + " e"


def test_steps_that_take_more_tokens_when_they_are_read_again_lose_their_beginning():
    lm = ScriptedLM([], context=10)
    second = SecondCall.of(lm, "p", " b", " e", 2)
    assert (second.room, second.steps(99), second.answer) == (7, 5, 2)
    assert second.after(lm, " 1 2 3 4 5") == " b 1 2 3 4 5 e"
    assert second.after(lm, " 1 2 3 4 5 6 7") == " b 3 4 5 6 7 e"


@pytest.mark.parametrize(
    "method, options",
    [(two_stage_cot, {}), (self_consistency, {"samples": 3}), (best_of_n, {"n": 3})],
)
def test_a_real_model_with_a_context_of_64_makes_both_calls(method, options):
    lm = text_model(context=64)
    with lm.tracing() as trace:
        method(lm, ITEM, trigger="Think.", extract="\nSo it is", seed=2, **options)
    assert any(call.begin.endswith("\nSo it is") for call in trace.calls)
    assert all(lm.length(call.prompt, call.begin) < 64 for call in trace.calls)
    # 27 tokens of prompt, trigger and sentence leave 37: 18 for the answer, 19 for the steps
    assert lm.length("Q: 2+2?\nA:", " Think.\nSo it is") == 27
    chains = options.get("samples", options.get("n", 1))
    assert 19 * chains <= lm.account.generated_tokens <= 37 * chains


def test_chains_after_demonstrations_need_no_room_for_a_second_call():
    demo = Item("1+1?", "2", rationale="Add.")
    lm = ScriptedLM([(None, " w" * 99)], context=30)
    answer = self_consistency(lm, ITEM, [demo], samples=1, max_tokens=15)
    assert answer.text.split() == ["w"] * 15 and answer.details["kept"] == (demo,)
