"""Turns of a dialogue have labels as steps of a solution have   (book section 4.4.4)."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import TOKENIZER
from tinylm.align.rewards.marked import marked_dialogue
from tinylm.align.rewards.process_model import ProcessModeling, ProcessRewardModel
from tinylm.align.rewards.segments import independent_rewards
from tinylm.data.read.book_instructions import BOOK_DIALOGUE
from tinylm.errors import DataError
from tinylm.finetune import evaluate, fit
from tinylm.finetune.instruct.conversations import ROLES, Encoded, encode_conversation
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.pretrain.batch import IGNORE

USER, BOT, END = 0, 1, 2
OTHER, NO_MEAT = (5, 6), 7  # what users say
MEAT, SALAD = 8, 9  # what the chatbot offers


def dialogue(said, offers):
    """Turns of one word; an offer of meat does not fit once the user has said that he eats none."""
    talk = [([USER, word, BOT], [offer, END]) for word, offer in zip(said, offers)]
    ids = [token for both in talk for part in both for token in part]
    answer = [part is both[1] for both in talk for part in both for _ in part]
    fits = [not (NO_MEAT in said[: k + 1] and offers[k] == MEAT) for k in range(len(talk))]
    labels = ["correct" if one else "incorrect" for one in fits]
    return marked_dialogue(Encoded(np.array(ids), np.array(answer)), labels)


def test_every_answer_of_the_health_dialogue_has_a_label_at_its_end_mark():
    """The book's four turns; the user's words are of no part of their own."""
    encoded = encode_conversation(TOKENIZER, ROLES, BOOK_DIALOGUE.messages())
    found = marked_dialogue(encoded, ["correct", "correct", "incorrect", "correct"])
    texts = [TOKENIZER.decode(found.ids[:end]) for end in found.ends]
    answers = [content for role, content in BOOK_DIALOGUE.turns if role == "assistant"]
    assert len(texts) == 4
    for one, answer in zip(texts, answers):
        assert one.endswith(f"{answer}<|end|>")
    batch = ProcessModeling().make_batch([found])
    assert batch.targets[batch.targets != IGNORE].tolist() == [0, 0, 1, 0]
    with pytest.raises(DataError, match="3 labels for 4 parts"):
        marked_dialogue(encoded, ["correct"] * 3)
    with pytest.raises(DataError, match="one part at least"):
        marked_dialogue(Encoded(np.arange(3), np.zeros(3, bool)), [])


def test_turns_of_a_dialogue_are_judged_by_what_was_said_and_segments_are_not():
    rng = np.random.default_rng(0)

    def drawn():
        return dialogue(rng.choice([*OTHER, NO_MEAT], 3), rng.choice([MEAT, SALAD], 3))

    examples, task = [drawn() for _ in range(160)], ProcessModeling()
    config = GPTConfig(10, context=16, n_layer=1, n_head=2, d_model=16, dropout=0.0)
    model = ProcessRewardModel(GPT(config, 1))
    fit(model, task, examples[:120], epochs=20, batch_size=16, learning_rate=1e-2)
    assert evaluate(model, task, examples[120:])["accuracy"] > 0.95

    def correct(said, offers):
        return task.predict(model, task.make_batch([dialogue(said, offers)]))[0][:, 0]

    # one and the same last turn after two beginnings
    before, after = (correct([5, word, 5], [SALAD, SALAD, MEAT]) for word in (6, NO_MEAT))
    assert before[2] > 0.8 and after[2] < 0.2
    # what is said later changes no turn before it
    late = correct([5, 6, 7], [MEAT, SALAD, MEAT])
    np.testing.assert_allclose(late[:2], correct([5, 6, 5], [MEAT, SALAD, SALAD])[:2], rtol=1e-5)
    assert late[0] > 0.8 and late[2] < 0.2

    # a segment by itself: the same turn has the same reward, whatever stands before it
    def alone(prompt, turn):
        ids, answer = np.array([*prompt, *turn]), [*[False] * len(prompt), *[True] * len(turn)]
        one = marked_dialogue(Encoded(ids, np.array(answer)), ["correct"])
        return task.predict(model, task.make_batch([one]))[0][0, 0]

    turns = {word: [USER, word, BOT, SALAD, END, MEAT, END] for word in (5, 7)}
    found = [independent_rewards(alone, [USER], one, [5, 7]) for one in turns.values()]
    assert found[0][1] == found[1][1] and found[0][0] != found[1][0]
