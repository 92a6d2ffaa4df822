"""Batches of pairs: both answers of a pair stay together, and only they count."""

from pathlib import Path

import numpy as np
import pytest

from tests.finetune.instruct.talks import TOKENIZER
from tinylm.align.feedback.pairs import EncodedPair, encode_pairs
from tinylm.align.preference import make_pairs_batch, with_others
from tinylm.align.preference.pairs import rows_of
from tinylm.data.read.preferences import read_preferences
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import ROLES, encode_sft
from tinylm.pretrain.batch import IGNORE

SHARED = Path(__file__).parents[3] / "../shared/data/preference/llms_from_scratch_preference.json"


def pair(x, chosen, rejected, **more):
    return EncodedPair(encode_sft(x, chosen), encode_sft(x, rejected), **more)


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
    assert batch.probability.tolist() == [1, 1]  # labels are certain


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


def test_some_answers_of_every_pair():
    reference = np.array([-1.0, -2.0])
    pairs = [
        pair([5, 6], [1], [2, 3], reference=reference),
        pair([7], [1, 2, 3], [4], reference=reference - 2),
    ]
    batch = make_pairs_batch(pairs)
    chosen, rejected = batch.answers(0, 1), batch.answers(-1, None)
    for one, at in ((chosen, 0), (rejected, 1)):
        for name in ("inputs", "targets", "prompt", "mask", "reference"):
            np.testing.assert_array_equal(getattr(one, name)[:, 0], getattr(batch, name)[:, at])
            assert getattr(one, name).shape[1] == 1
        assert len(one) == len(batch) and one.probability is batch.probability
    assert make_pairs_batch([pair([5], [1], [2])]).answers(0, 1).reference is None


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
    assert len(rows_of(found[0])) == 3 and rows_of(found[0])[2] is found[0].other
    assert found[0].chosen is pairs[0].chosen
    with pytest.raises(DataError, match="only one prompt"):
        with_others(pairs[:2])


def test_an_answer_to_another_prompt_is_cut_to_the_limit_of_all_texts():
    """A long prompt with a short answer, and a short prompt with a long one: 5 tokens each."""
    pairs = [pair([5] * 4, [1], [2]), pair([6], [1, 2, 3, 4], [2])]
    long, short = with_others(pairs, limit=5)
    assert long.other.ids.tolist() == [5, 5, 5, 5, 1] and long.other.prompt == 4
    assert short.other.ids.tolist() == [6, 1] and len(with_others(pairs)[0].other) == 8
    with pytest.raises(DataError, match="prompt of pair 0 has 4 tokens, and a text has 4 at most"):
        with_others(pairs, limit=4)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_the_shared_pairs_are_encoded():
    """The first 200 of 1100, which take 0.2 s: what is not kept is counted."""
    preferences = read_preferences(SHARED)[:200]
    pairs, left = encode_pairs(TOKENIZER, ROLES, preferences)
    same = [i for i, one in enumerate(preferences) if one.chosen == one.rejected]
    assert len(pairs) == 200 - len(same) and left.identical == tuple(same)
    batch = make_pairs_batch(pairs[:4])
    for b, pair in enumerate(pairs[:4]):
        for r, row in enumerate(rows_of(pair)):
            assert (batch.targets[b, r] != IGNORE).sum() == row.answer.sum()
