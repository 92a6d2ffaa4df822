"""Answers without instructions, and texts of pre-training, as samples."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.supervised.response_only import plain_text, response_only
from tinylm.align.supervised.turns import encode_turns
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.generate import conditional_logprob
from tinylm.pretrain import CausalLM

BEGIN = 0


def test_an_answer_alone_is_a_sample_with_nothing_but_the_start_token_before_it():
    one = response_only(encode_sft([5, 6, 7], [8, 9]), BEGIN)
    same = encode_sft([BEGIN], [8, 9])
    assert one.ids.tolist() == same.ids.tolist() == [BEGIN, 8, 9]
    assert one.answer.tolist() == same.answer.tolist() == [False, True, True]
    m, task = model(), InstructionTuning()
    _, found = task.loss(m, task.make_batch([one]))
    assert found["loss"] * 2 == pytest.approx(-conditional_logprob(m, [BEGIN], [8, 9]), rel=1e-12)


def test_of_a_conversation_the_first_answer_is_taken():
    assert response_only(encode_turns([([1], [2, 3]), ([4], [5])]), BEGIN).ids.tolist() == [0, 2, 3]


def test_a_sample_without_an_answer_has_nothing_to_learn():
    with pytest.raises(DataError, match="0 of answer"):
        response_only(Encoded(np.array([1, 2]), np.array([False, False])), BEGIN)


def test_a_text_counts_as_in_pre_training():
    m, ids = model(), np.array([3, 1, 4, 1, 5])
    task, whole = InstructionTuning(), CausalLM()
    ours = task.loss(m, task.make_batch([plain_text(ids)]))[0].item()
    assert ours == pytest.approx(whole.loss(m, whole.make_batch(ids[None]))[0].item(), rel=1e-12)
    assert plain_text([1, 2]).answer.tolist() == [False, True]
    with pytest.raises(DataError, match="1 tokens"):
        plain_text([1])
