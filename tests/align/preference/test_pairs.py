"""Pairs as tokens: only answers count; what teaches nothing is left out and counted."""

from pathlib import Path

import numpy as np
import pytest

from tests.finetune.instruct.talks import TOKENIZER
from tinylm.align.preference import Pair, encode_pairs, with_others
from tinylm.align.preference.pairs import Left, make_pairs_batch
from tinylm.data.read.preferences import Preference, read_preferences
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import ROLES, encode_sft
from tinylm.pretrain.batch import IGNORE

SHARED = Path(__file__).parents[3] / "../shared/data/preference/llms_from_scratch_preference.json"
YES = Preference("hi", "yes", "no")
# <|user|> hi <|end|>.. of the roles template: the prompt of YES in tokens
PROMPT = encode_pairs(TOKENIZER, ROLES, [YES])[0][0].chosen.prompt


def pair(x, chosen, rejected, **more):
    return Pair(encode_sft(x, chosen), encode_sft(x, rejected), **more)


def text(ids):
    return TOKENIZER.decode(ids)


def test_only_the_answers_and_their_end_count():
    (one,), left = encode_pairs(TOKENIZER, ROLES, [YES])
    assert text(one.chosen.ids[one.chosen.answer]) == "yes<|end|>"
    assert text(one.rejected.ids[one.rejected.answer]) == "no<|end|>"
    assert one.chosen.ids[:PROMPT].tolist() == one.rejected.ids[:PROMPT].tolist()
    assert left == Left(kept=1) and left.report() == []


def test_earlier_answers_of_a_conversation_do_not_count():
    talk = Preference("more?", "yes", "no", (("user", "a"), ("assistant", "b")))
    (one,), _ = encode_pairs(TOKENIZER, ROLES, [talk])
    assert text(one.chosen.ids[one.chosen.answer]) == "yes<|end|>"
    assert "b" in text(one.chosen.ids[: one.chosen.prompt])


def test_a_beginning_is_put_before_both():
    (one,), _ = encode_pairs(TOKENIZER, ROLES, [YES], begin=7)
    assert one.chosen.ids[0] == one.rejected.ids[0] == 7
    assert one.chosen.prompt == PROMPT + 1


def test_identical_pairs_are_left_out_and_counted():
    same = Preference("hi", "yes", "yes")
    pairs, left = encode_pairs(TOKENIZER, ROLES, [same, YES, same])
    assert len(pairs) == 1 and left == Left(kept=1, identical=2)
    assert left.report() == ["2 pairs left out: the answers have the same tokens"]


def test_pairs_that_are_identical_once_they_are_cut_are_left_out():
    """Three tokens of 'abcd' and 'abce' fit: context + 1 are kept, the last only a target."""
    near = Preference("hi", "abcd", "abce")
    pairs, left = encode_pairs(TOKENIZER, ROLES, [near], context=PROMPT + 2)
    assert pairs == [] and left.identical == 1 and left.cut == 0
    pairs, left = encode_pairs(TOKENIZER, ROLES, [near], context=PROMPT + 3)
    assert text(pairs[0].chosen.ids[PROMPT:]) == "abcd"  # without its end
    assert left == Left(kept=1, cut=1)
    pairs, left = encode_pairs(TOKENIZER, ROLES, [near], context=PROMPT + 4)
    assert left == Left(kept=1)


def test_one_answer_that_is_cut_counts_once():
    pairs, left = encode_pairs(TOKENIZER, ROLES, [YES], context=PROMPT + 2)  # "no<|end|>" fits
    assert left == Left(kept=1, cut=1) and len(pairs) == 1
    assert left.report() == ["1 answers were cut at the context"]


@pytest.mark.parametrize("context, kept", [(PROMPT - 5, 0), (PROMPT - 1, 0), (PROMPT, 1)])
def test_a_prompt_without_room_for_an_answer_is_left_out(context, kept):
    """With context = prompt one token of each answer is left: 'y' and 'n'."""
    pairs, left = encode_pairs(TOKENIZER, ROLES, [YES], context=context)
    assert left.kept == kept == len(pairs) and left.no_room == 1 - kept


def test_a_batch_has_two_rows_for_each_pair():
    batch = make_pairs_batch([pair([5, 6], [1], [2, 3]), pair([7], [1, 2, 3], [4])])
    # shifted by one: the last token is no input, the first no target
    assert batch.inputs[:, :, 0].tolist() == [[5, 5], [7, 7]]
    assert batch.targets.tolist() == [
        [[IGNORE, 1, IGNORE], [IGNORE, 2, 3]],
        [[1, 2, 3], [4, IGNORE, IGNORE]],
    ]
    assert batch.mask.sum(axis=2).tolist() == [[2, 3], [3, 1]]
    assert batch.prompt.tolist() == [[2, 2], [1, 1]]
    assert batch.tokens == len(batch) == 2 and batch.reference is None


def test_a_batch_is_cut_between_pairs():
    pairs = [
        pair([5, 6], [1], [2], reference=np.array([-1.0, -2.0])),
        pair([7, 7], [3], [4], reference=np.array([-3.0, -4.0])),
    ]
    batch = make_pairs_batch(pairs)
    assert batch.mask is None and batch.flat().mask is None
    part = batch.rows(1, 2)
    assert part.tokens == 1 and part.reference.tolist() == [[-3, -4]]
    flat = part.flat()
    assert flat.inputs.tolist() == [[7, 7], [7, 7]]
    assert flat.targets.tolist() == [[IGNORE, 3], [IGNORE, 4]]
    assert flat.prompt.tolist() == [2, 2]


def test_a_flat_batch_keeps_what_is_padding():
    flat = make_pairs_batch([pair([5], [1], [2, 3])]).flat()
    assert flat.mask.tolist() == [[True, False], [True, True]]


def test_pairs_with_and_without_a_reference_do_not_mix():
    one, two = pair([5], [1], [2]), pair([5], [1], [2], reference=np.zeros(2))
    with pytest.raises(DataError, match="with_reference"):
        make_pairs_batch([one, two])
    with pytest.raises(DataError, match="with_others"):
        make_pairs_batch([one, with_others([one, pair([6], [3], [4])])[0]])


def test_answers_to_other_prompts():
    """The next pair with another prompt lends its chosen answer; the last takes the first's."""
    pairs = [pair([5], [1], [2]), pair([5], [3], [4]), pair([6, 6], [7, 8], [9])]
    found = with_others(pairs)
    assert [one.other.ids.tolist() for one in found] == [[5, 7, 8], [5, 7, 8], [6, 6, 1]]
    assert [one.other.prompt for one in found] == [1, 1, 2]
    assert len(found[0].rows()) == 3 and found[0].rows()[2] is found[0].other
    assert found[0].chosen is pairs[0].chosen
    with pytest.raises(DataError, match="only one prompt"):
        with_others(pairs[:2])


def test_a_template_must_write_the_prompt_once(monkeypatch):
    from tinylm.align.preference import pairs as module

    answers = iter([encode_sft([1, 2], [3]), encode_sft([1, 4], [5])])
    monkeypatch.setattr(module, "encode_conversation", lambda *a, **k: next(answers))
    with pytest.raises(DataError, match="prompt of the two answers differently"):
        encode_pairs(TOKENIZER, ROLES, [YES])
    answers = iter([encode_sft([1, 2], [3]), encode_sft([1], [2, 5])])
    with pytest.raises(DataError, match="differently: 'hi'"):
        encode_pairs(TOKENIZER, ROLES, [YES])


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_the_shared_pairs_are_encoded():
    """The first 200 of 1100, which take 0.2 s: what is not kept is counted."""
    preferences = read_preferences(SHARED)[:200]
    pairs, left = encode_pairs(TOKENIZER, ROLES, preferences, context=1024)
    same = sum(one.chosen == one.rejected for one in preferences)
    assert left.kept == len(pairs) == 200 - same and left.identical == same
