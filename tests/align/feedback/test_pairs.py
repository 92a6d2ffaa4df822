import pytest

from tests.finetune.instruct.talks import TOKENIZER
from tinylm.align.feedback.formats import WeighedPreference
from tinylm.align.feedback.pairs import LeftOut, encode_pairs
from tinylm.data.read.preferences import Preference
from tinylm.finetune.instruct.conversations import ROLES

PAIR = Preference("2 + 2?", "It is 4.", "It is 5.")


def encoded(*pairs, **options):
    return encode_pairs(TOKENIZER, ROLES, pairs, **options)


def text(one, only=slice(None)):
    return TOKENIZER.decode(one.ids[only])


def test_both_texts_begin_with_the_prompt_and_end_with_the_end_mark():
    (pair,), left = encoded(PAIR)
    assert left == LeftOut()
    for one, response in ((pair.chosen, PAIR.chosen), (pair.rejected, PAIR.rejected)):
        assert text(one, one.answer).startswith(response)
        assert one.answer[-1] and not one.answer[0]
        # the mark is one token, the same for both
        assert one.ids[-1] == pair.chosen.ids[-1]
        assert "2 + 2?" in text(one, ~one.answer)
    assert (pair.probability, pair.margin) == (1.0, 0.0)


def test_a_soft_label_and_a_margin_are_carried_along():
    (pair,), _ = encoded(WeighedPreference("2 + 2?", "4", "5", probability=0.75, margin=2.0))
    assert (pair.probability, pair.margin) == (0.75, 2.0)


def test_a_pair_that_is_cut_to_the_same_text_is_counted_and_left_out():
    same = Preference("a", "It is far away.", "It is far and wide.")
    (pair,), _ = encoded(same)
    # tokens are bytes; after "It is far a" the responses differ
    common = pair.chosen.prompt + len("It is far a")
    examples, left = encoded(same, same, limit=common)
    assert examples == [] and left == LeftOut(cut=(0, 1), identical=(0, 1))
    examples, left = encoded(same, limit=common + 1)
    assert left == LeftOut(cut=(0,)) and len(examples) == 1
    assert len(examples[0].chosen) == len(examples[0].rejected) == common + 1


def test_equal_responses_are_left_out_without_a_limit_too():
    examples, left = encoded(PAIR, Preference("2 + 2?", "4", "4"))
    assert len(examples) == 1 and left == LeftOut(identical=(1,))


def test_a_limit_inside_the_prompt_leaves_no_response():
    examples, left = encoded(PAIR, limit=3)
    assert examples == [] and left == LeftOut(cut=(0,), empty=(0,))


@pytest.mark.parametrize("begin", [0, 7])
def test_an_id_can_begin_each_text(begin):
    (plain,), _ = encoded(PAIR)
    (pair,), _ = encoded(PAIR, begin=begin)
    for one, before in ((pair.chosen, plain.chosen), (pair.rejected, plain.rejected)):
        assert one.ids.tolist() == [begin, *before.ids]
        assert one.answer.tolist() == [False, *before.answer]


def test_the_limit_counts_the_id_that_begins_a_text():
    (plain,), _ = encoded(PAIR)
    longest = max(len(plain.chosen), len(plain.rejected)) + 1
    assert encoded(PAIR, begin=0, limit=longest)[1] == LeftOut()
    assert encoded(PAIR, begin=0, limit=longest - 1)[1].cut == (0,)


def test_only_the_last_answer_of_a_conversation_is_a_response():
    before = (("user", "hi"), ("assistant", "yo"))
    (pair,), _ = encoded(Preference("2 + 2?", "4", "5", before))
    assert "yo" in text(pair.chosen, ~pair.chosen.answer)
    assert text(pair.chosen, pair.chosen.answer).startswith("4")
