"""Soft prompts: exactly the hard prompt where they start as one, in every arrangement, and only
they learn.
"""

import numpy as np
import pytest

from tests.finetune.peft.few_parameters import IDS, assert_only_these_learn, encoder, gpt
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune import fit
from tinylm.finetune.freezing import freeze
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.peft.soft_prompts import (
    INPUT,
    PromptedSeq2Seq,
    Soft,
    SoftPrompt,
    hybrid,
    nearest_words,
    prompt_tuning,
    random_start,
    soft_tokens,
    text_start,
    vocabulary_start,
)
from tinylm.pretrain import CausalLM

WORDS = [7, 0, 10]


# A prompted model slices off the prompt before the output layer; here a hard prompt is sliced off
# after it: products of other shapes, whose sums BLAS may take in another order. Largest difference
# over the largest logit: a few dozen roundings of 1e-16, of sums of 8 terms; measured 4e-16.
ROUNDING = 1e-14


def assert_same_logits(soft, hard):
    np.testing.assert_allclose(soft, hard, rtol=0, atol=ROUNDING * np.abs(hard).max())


def behind(prompt, ids=IDS):
    """Rows with a hard prompt in front."""
    return np.concatenate([np.broadcast_to(prompt, (len(ids), len(prompt))), ids], axis=1)


@pytest.mark.parametrize(
    "changes",
    [{}, {"positions": "rope", "tied": False}, {"positions": "alibi"}, {"embedding_scale": 3.0}],
)
def test_a_prompt_that_starts_as_words_is_those_words_exactly(changes):
    model = gpt(**changes)
    hidden, hard = model.hidden(behind(WORDS)).numpy()[:, 3:], model(behind(WORDS)).numpy()[:, 3:]
    soft = prompt_tuning(model, text_start(model.tokens.weight, WORDS))
    assert np.array_equal(soft.hidden(IDS).numpy(), hidden)  # the same products, the same order
    assert_same_logits(soft(IDS).numpy(), hard)


def test_in_an_encoder_too_with_padding_and_segments():
    model, mask = encoder(), np.array([[True] * 5, [True] * 3 + [False] * 2])
    segments = np.array([[0, 0, 1, 1, 1]] * 2)
    wide = np.pad(mask, ((0, 0), (3, 0)), constant_values=True), np.pad(segments, ((0, 0), (3, 0)))
    hard = model(behind(WORDS), wide[1], wide[0]).numpy()[:, 3:]
    hidden = model.hidden(behind(WORDS), wide[1], wide[0]).numpy()[:, 3:]
    soft = prompt_tuning(model, text_start(model.tokens.weight, WORDS))
    # the same products in the same order
    assert np.array_equal(soft.hidden(IDS, segments, mask).numpy(), hidden)
    assert_same_logits(soft(IDS, segments, mask).numpy(), hard)


def test_and_in_front_of_an_encoder_decoders_source():
    model, mask = encoder("t5-small"), np.array([[True] * 5, [True] * 3 + [False] * 2])
    hard = model(
        behind(WORDS), IDS[:, :2], np.pad(mask, ((0, 0), (3, 0)), constant_values=True)
    ).numpy()
    ids = soft_tokens(model).add(SoftPrompt(text_start(model.tokens.weight, WORDS)))
    assert np.array_equal(PromptedSeq2Seq(model, ids)(IDS, IDS[:, :2], mask).numpy(), hard)


def test_only_the_vectors_learn():
    model = gpt()
    soft = prompt_tuning(model, random_start(model.tokens.weight, 4))
    assert_only_these_learn(soft, 4 * 8, {"model.tokens.sources.0.vectors"})


def test_training_from_a_hard_prompt_goes_below_its_loss():
    task, model = CausalLM(), gpt()
    examples = list(IDS)
    start = task.loss(lambda ids: model(behind(WORDS, ids))[:, 3:], task.make_batch(IDS))[0].item()
    soft = prompt_tuning(model, text_start(model.tokens.weight, WORDS))
    losses = fit(
        soft,
        task,
        examples,
        steps=20,
        batch_size=2,
        learning_rate=0.05,
        warmup=0.0,
        weight_decay=0.0,
    )
    assert losses[0] == pytest.approx(start, rel=1e-12) and losses[-1] < 0.9 * start


def test_answers_are_learnt_behind_a_prompt_as_behind_its_words():
    model, task = gpt(), InstructionTuning()
    pairs = [([1, 2, 3], [4]), ([5, 6], [8, 9])]  # of unequal lengths, so one row is padded
    hard = task.make_batch([encode_sft([*WORDS, *x], y) for x, y in pairs])
    wanted, counted = task.loss(model, hard)
    soft = prompt_tuning(model, text_start(model.tokens.weight, WORDS))
    loss, found = task.loss(soft, task.make_batch([encode_sft(x, y) for x, y in pairs]))
    np.testing.assert_allclose(loss.numpy(), wanted.numpy(), rtol=ROUNDING)
    assert found["tokens"] == counted["tokens"] == 3


def test_two_tasks_share_a_batch_as_if_they_ran_alone():
    model = freeze(gpt())
    table = soft_tokens(model)
    first, second = (table.add(SoftPrompt(random_start(table.weight, 2, seed))) for seed in (1, 2))
    rows = [np.concatenate([first, IDS[0]]), np.concatenate([second, IDS[1]])]
    together = model(np.stack(rows)).numpy()
    for i, row in enumerate(rows):  # float64, products of another height
        assert np.allclose(together[i], model(row[None]).numpy()[0], rtol=0, atol=1e-12)


def test_a_pattern_keeps_its_order_and_learns_in_its_soft_places_alone():
    class Letters:
        def encode(self, text):
            return [ord(c) - ord("a") for c in text]

    model = gpt()
    tuned = hybrid(model, [Soft(2), "cab", Soft(1), INPUT, "d"], Letters())
    assert tuned.before.tolist() == [12, 13, 2, 0, 1, 14] and tuned.after.tolist() == [3]
    assert tuned.wrap(IDS[:1]).tolist() == [[12, 13, 2, 0, 1, 14, *IDS[0], 3]]
    assert tuned(IDS).shape == (2, 5, 12) and tuned.last(IDS).shape == (2, 12)
    assert_only_these_learn(
        tuned, 3 * 8, {"model.tokens.sources.0.vectors", "model.tokens.sources.1.vectors"}
    )


def test_without_soft_places_a_pattern_is_a_hard_prompt_and_without_words_prompt_tuning():
    model = gpt()
    hidden, hard = model.hidden(behind(WORDS)).numpy()[:, 3:], model(behind(WORDS)).numpy()[:, 3:]
    words = hybrid(gpt(), [WORDS, INPUT])
    assert np.array_equal(words.hidden(IDS).numpy(), hidden)  # the same products, the same order
    assert_same_logits(words(IDS).numpy(), hard)
    start = vocabulary_start(model.tokens.weight, 4, seed=0)
    assert np.array_equal(
        hybrid(gpt(), [Soft(4), INPUT])(IDS).numpy(), prompt_tuning(gpt(), start)(IDS).numpy()
    )


def test_what_follows_the_whole_pattern_is_scored_there():
    model = gpt()
    whole = np.concatenate([behind(WORDS), np.array([[4], [4]])], axis=1)
    assert np.allclose(
        hybrid(gpt(), [WORDS, INPUT, [4]]).last(IDS).numpy(),
        model(whole).numpy()[:, -1],
        rtol=1e-13,
    )


def test_starts_from_words_are_words_and_drawn_ones_are_as_large():
    table = gpt(vocab_size=500).tokens.weight
    start = vocabulary_start(table, 6, seed=1)
    ids, cosines = nearest_words(start, table, 1)
    assert np.array_equal(table.numpy()[ids[:, 0]], start) and np.allclose(cosines, 1)
    # 8000 draws: the standard error of a standard deviation is 1/sqrt(2 * 8000), below one percent;
    # five of them
    assert np.std(random_start(table, 1000)) == pytest.approx(np.std(table.numpy()), rel=0.04)


def test_the_nearest_words_are_by_angle_and_in_order():
    table = np.array([[1.0, 0], [1, 1], [0, 5], [-1, 0]])
    ids, cosines = nearest_words(np.array([[2.0, 0.1]]), table, 3)
    assert ids.tolist() == [[0, 1, 2]] and cosines[0, 0] > 0.99 > cosines[0, 1] > 0.7


def test_padding_behind_a_prompt_takes_no_room_of_experts():
    # a mask reaches only the experts of a GPT, with the prompt's columns in front and behind
    mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
    for changes, told in (({}, False), ({"feed_forward": ("experts",), "experts": 2}, True)):
        model = gpt(**changes)
        soft, seen = hybrid(model, [WORDS, INPUT, [4]]), []
        hidden = model.hidden
        model.hidden = lambda ids, seen=seen, hidden=hidden, **options: (
            seen.append(options) or hidden(ids, **options)
        )
        assert soft.hidden(IDS, mask=mask).shape == soft.hidden(IDS).shape == (2, 5, 8)
        assert seen[1] == {} and bool(seen[0]) == told
        if told:
            wide = seen[0]["mask"]
            assert wide.shape == (2, 1, 1, 3 + 5 + 1)
            assert wide[1, 0, 0].tolist() == [True] * 6 + [False] * 2 + [True]


def test_only_words_need_a_tokenizer():
    assert hybrid(gpt(), [[1, 2], Soft(1), INPUT]).before.tolist() == [1, 2, 12]
    drawn = hybrid(gpt(), [Soft(2), Soft(2), INPUT]).model.tokens.sources
    assert not np.array_equal(drawn[0].vectors.numpy(), drawn[1].vectors.numpy())  # each its own


def test_what_cannot_be_a_prompt_is_refused():
    for pattern, places in (([INPUT, INPUT], 2), ([[1, 2]], 0)):
        with pytest.raises(ConfigError, match=f"{places} places for the input"):
            hybrid(gpt(), pattern)
    with pytest.raises(ConfigError, match="give the tokenizer"):
        hybrid(gpt(), ["word", INPUT])
    with pytest.raises(ShapeError, match="vectors are 3 wide"):
        prompt_tuning(gpt(), np.zeros((2, 3)))
