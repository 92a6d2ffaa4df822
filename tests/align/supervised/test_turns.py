"""A conversation in one pass, and in one pass for each answer."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import END, TALK, TOKENIZER, model
from tinylm.align.supervised import encode_turns, one_answer_each
from tinylm.autograd import Tensor, grad
from tinylm.data.read.book_instructions import BOOK_DIALOGUE
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import ROLES, encode_conversation, encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.pretrain.batch import IGNORE

TASK = InstructionTuning()
# Lengths 3, 2, 2, 3 of x^1, y^1, x^2, y^2.
TURNS = [([1, 2, 3], [4, 5]), ([6, 7], [8, 9, 10])]


def summed(m, examples):
    """- log Pr of all that counts, as a Tensor, and the number of tokens read."""
    total, read = 0.0, 0
    for one in examples:
        batch = TASK.make_batch([one])
        loss, metrics = TASK.loss(m, batch)
        total, read = total + loss * metrics["tokens"], read + batch.inputs.size
    return total, read


def test_the_worked_example_counts_five_targets_of_nine():
    one = encode_turns(TURNS)
    assert one.ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (one.targets() != IGNORE).astype(int).tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 1]


def test_one_turn_with_an_end_is_predicted_from_the_last_token_of_the_question():
    x, y, end = [0, 1, 2, 3], [4, 5, 6], 7
    batch = TASK.make_batch([encode_turns([(x, [*y, end])])])
    assert batch.inputs.tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    assert batch.targets.tolist() == [[IGNORE, IGNORE, IGNORE, 4, 5, 6, 7]]
    same = encode_sft(x, [*y, end])
    np.testing.assert_array_equal(same.targets(), batch.targets[0])


def test_every_answer_has_a_sequence_of_its_own_after_its_history():
    first, second = one_answer_each(encode_turns(TURNS))
    assert first.ids.tolist() == [1, 2, 3, 4, 5]
    assert first.answer.tolist() == [False] * 3 + [True] * 2
    assert second.ids.tolist() == list(range(1, 11))
    assert second.answer.tolist() == [False] * 7 + [True] * 3


def test_one_pass_has_the_loss_and_the_gradient_of_k_passes():
    m, one = model(), encode_turns(TURNS)
    once, read_once = summed(m, [one])
    often, read_often = summed(m, one_answer_each(one))
    assert once.item() == pytest.approx(often.item(), rel=1e-12)
    parameters = m.parameters()
    for a, b in zip(grad(once, parameters), grad(often, parameters)):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)
    assert (read_once, read_often) == (9, 4 + 9)  # inputs: the first turn is read twice


class Averages:
    """Predicts from the mean of the embeddings that it sees: those before, or all of the row."""

    def __init__(self, sees_all):
        rng = np.random.default_rng(0)
        self.table, self.sees_all = rng.normal(size=(11, 4)), sees_all

    def hidden(self, ids):
        x = self.table[ids]  # (B, T, D)
        if self.sees_all:
            return Tensor(np.broadcast_to(x.mean(axis=1, keepdims=True), x.shape))
        return Tensor(np.cumsum(x, axis=1) / np.arange(1, x.shape[1] + 1)[:, None])

    def logits(self, h):
        return h @ Tensor(self.table.T)

    def parameters(self):
        return []

    def modules(self):
        return []


def test_it_holds_for_causal_models_alone():
    one = encode_turns(TURNS)
    losses = {}
    for sees_all in (False, True):
        m = Averages(sees_all)
        losses[sees_all] = [summed(m, rows)[0].item() for rows in ([one], one_answer_each(one))]
    assert losses[False][0] == pytest.approx(losses[False][1], rel=1e-12)
    # the first answer is predicted with the second question in view
    assert abs(losses[True][0] - losses[True][1]) > 0.1


def test_a_chat_template_gives_the_same_sequences():
    encoded = encode_conversation(TOKENIZER, ROLES, TALK)
    alone = [encode_conversation(TOKENIZER, ROLES, TALK[:n], turns="last") for n in (3, 5)]
    for a, b in zip(one_answer_each(encoded), alone, strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.answer, b.answer)


def test_the_health_dialogue_has_four_answers_each_with_its_end():
    encoded = encode_conversation(TOKENIZER, ROLES, BOOK_DIALOGUE.messages())
    answers = one_answer_each(encoded)
    assert [TOKENIZER.decode(one.ids[one.answer]) for one in answers] == [
        f"{content}<|end|>" for role, content in BOOK_DIALOGUE.turns if role == "assistant"
    ]
    assert len(answers) == 4 and all(one.ids[-1] == END for one in answers)


@pytest.mark.parametrize("turns", [[], [([1], [])], [([1], [2]), ([], [3])]])
def test_empty_parts_are_refused(turns):
    with pytest.raises(DataError, match="each needs one of question and of answer"):
        encode_turns(turns)
