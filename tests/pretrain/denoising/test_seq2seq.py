"""Encoder-decoder objectives: what the decoder reads and says, and how many of its words count."""

import itertools

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import seq2seq
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import SPECIAL
from tinylm.pretrain.denoising.noise import TokenMasking
from tinylm.pretrain.denoising.seq2seq import (
    Denoise,
    Fragment,
    Masked,
    Seq2SeqLM,
    fragment,
    masked_pair,
    seq2seq_batch,
)
from tinylm.pretrain.masked.masked import mask_tokens
from tinylm.pretrain.special import Special
from tinylm.pretrain.words import Words

TEXT = "The puppies are frolicking {} the house ."
OUT, IN = TEXT.format("outside"), TEXT.format("in")
WORDS = Words(OUT, IN)
MASK = WORDS.special.mask


def shown(ids):
    return " ".join(WORDS.show(ids))


def at(*places):
    return np.isin(np.arange(8), places)


def one(source, target):
    return seq2seq_batch([(source, target)], WORDS.special, end=False)


def test_bert_style_predicts_only_what_was_masked():
    """Fig. 1.4 (a), and the sentence of the text."""
    batch = one(*masked_pair(WORDS.ids(OUT), at(3, 5), MASK))
    assert shown(batch.inputs[0]) == "[CLS] The puppies are [MASK] outside [MASK] house ."
    assert shown(batch.targets[0]) == "_ _ _ frolicking _ the _ _" and batch.tokens == 2
    batch = one(*masked_pair(WORDS.ids(IN), at(3, 5), MASK))
    assert shown(batch.inputs[0]) == "[CLS] The puppies are [MASK] in [MASK] house ."
    assert shown(batch.decoder[0]) == "<s> [MASK] [MASK] [MASK] frolicking [MASK] the [MASK]"


def test_denoising_predicts_everything():
    """Fig. 1.4 (b): 8 terms where BERT-style has 2."""
    x = WORDS.ids(IN)
    batch = one(mask_tokens(x, at(3, 5), MASK), x)
    assert shown(batch.inputs[0]) == "[CLS] The puppies are [MASK] in [MASK] house ."
    assert shown(batch.decoder[0]) == "<s> The puppies are frolicking in the house"
    assert shown(batch.targets[0]) == IN and batch.tokens == 8


def test_mass_lies_between_bert_style_and_language_modeling():
    kitten = Words("The kitten is chasing the ball .")
    x = kitten.ids("The kitten is chasing the ball .")
    source, target = fragment(x, 2, 3, kitten.special.mask)
    assert kitten.show(source) == "The kitten [MASK] [MASK] [MASK] ball .".split()
    assert kitten.show(target) == "_ _ is chasing the _ _".split()
    assert all(
        np.array_equal(a, b)
        for a, b in zip(fragment(x, 4, 1, 9), masked_pair(x, np.arange(7) == 4, 9))
    )
    whole = one(*fragment(WORDS.ids(OUT), 0, 8, MASK))
    assert shown(whole.inputs[0]) == "[CLS]" + " [MASK]" * 8 and shown(whole.targets[0]) == OUT
    assert shown(whole.decoder[0]) == "<s> The puppies are frolicking outside the house"


def test_the_tasks_draw_their_share(rng):
    x = rng.integers(0, 4, (30, 20))
    fragments = Seq2SeqLM(SPECIAL, Fragment(SPECIAL), end=False).make_batch(x, Random(0))
    for row in fragments.targets:
        places = np.flatnonzero(row != IGNORE)
        assert len(places) == 10 and places[-1] - places[0] == 9  # half of 20, in one run
    assert len({int(np.flatnonzero(row != IGNORE)[0]) for row in fragments.targets}) > 5
    masked = Seq2SeqLM(SPECIAL, Masked(SPECIAL), end=False).make_batch(x, Random(0))
    assert ((masked.targets != IGNORE).sum(1) == 3).all() and masked.inputs.shape == (
        30,
        21,
    )  # 15 % of 20


def test_padding_is_marked_in_the_source_and_ignored_in_the_target():
    batch = seq2seq_batch([([1, 2], [3]), ([1], [2, 3, 0])], SPECIAL)
    pad, end = SPECIAL.pad, SPECIAL.end
    assert batch.inputs.tolist() == [[SPECIAL.cls, 1, 2], [SPECIAL.cls, 1, pad]]
    assert batch.mask.tolist() == [[True] * 3, [True, True, False]]
    assert batch.targets.tolist() == [[3, end, IGNORE, IGNORE], [2, 3, 0, end]]
    assert batch.decoder.tolist() == [[SPECIAL.start, 3, pad, pad], [SPECIAL.start, 2, 3, 0]]
    with pytest.raises(ConfigError, match="no special id for start"):
        seq2seq_batch([([1], [2])], Special(5, pad=0))


def test_padding_changes_no_loss():
    model = seq2seq()
    pairs = [(np.array([1, 2]), np.array([3])), (np.array([1]), np.array([2, 3, 0]))]
    objective = Seq2SeqLM(SPECIAL, None)
    sums = [objective.loss(model, seq2seq_batch(part, SPECIAL)) for part in (pairs[:1], pairs[1:])]
    together = objective.loss(model, seq2seq_batch(pairs, SPECIAL))[0].item()
    assert together == pytest.approx(
        sum(m["tokens"] * m["loss"] for _, m in sums) / 6, rel=1e-12
    )  # 2 + 4 targets


def test_logits_where_nothing_is_predicted_have_no_gradient():
    batch = one(*masked_pair(WORDS.ids(OUT), at(3, 5), MASK))
    logits = tl.Tensor(
        np.random.default_rng(0).normal(size=(1, 8, WORDS.special.vocab_size)), requires_grad=True
    )
    (g,) = tl.grad(
        Seq2SeqLM(WORDS.special, None).loss(lambda *ids, **masks: logits, batch)[0], [logits]
    )
    assert np.flatnonzero(np.abs(g.numpy()[0]).sum(-1)).tolist() == [3, 5]


def test_the_chances_of_all_targets_sum_to_one():
    """All masked, the source says only how long the text is, and the decoder is a language model."""
    model = seq2seq()
    V = SPECIAL.vocab_size
    targets = np.array(list(itertools.product(range(V), repeat=2)))
    source = [SPECIAL.mask] * 2
    batch = seq2seq_batch([(source, target) for target in targets], SPECIAL, end=False)
    objective = Seq2SeqLM(SPECIAL, None, end=False)
    rows = (batch.rows(i, i + 1) for i in range(len(targets)))
    total = sum(np.exp(-2 * objective.loss(model, row)[1]["loss"]) for row in rows)  # 2 tokens each
    assert total == pytest.approx(1, rel=1e-12)  # V^2 strings


def test_denoising_without_noise_is_copying(rng):
    x = rng.integers(0, 4, (3, 5))
    batch = Seq2SeqLM(SPECIAL, Denoise(lambda ids, draws: ids)).make_batch(x, Random(0))
    assert np.array_equal(batch.inputs[:, 1:], x) and np.array_equal(batch.targets[:, :-1], x)
    noisy = Seq2SeqLM(SPECIAL, Denoise(TokenMasking(SPECIAL.mask, 1.0))).make_batch(x, Random(0))
    assert (noisy.inputs[:, 1:] == SPECIAL.mask).all() and np.array_equal(
        noisy.targets, batch.targets
    )


def test_bert_style_masks_the_tokens_with_the_smallest_draws():
    """30 % of ten tokens are three: those at places 2, 5 and 9."""
    draws = np.full((2, 10), 0.5)
    draws[0, [2, 5, 9]] = 0.1, 0.3, 0.2
    ids = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
    source, target = Masked(SPECIAL, rate=0.3)(ids, draws)
    chosen = np.isin(np.arange(10), (2, 5, 9))
    assert source.tolist() == np.where(chosen, SPECIAL.mask, ids).tolist()
    assert target.tolist() == np.where(chosen, ids, IGNORE).tolist()


def numbers(first):
    """Draws whose first number is `first`."""
    draws = np.full((5, 11), 0.5)
    draws[0, 0] = first
    draws[0, 1] = 1 - first
    return draws


def test_the_first_number_places_the_fragment_from_the_first_to_the_last_place():
    ids = np.arange(10)
    for first, start in ((0.0, 0), (0.5, 3), (0.999, 5)):  # six places for five tokens of ten
        _, target = Fragment(SPECIAL)(ids, numbers(first))
        assert np.flatnonzero(target != IGNORE).tolist() == list(range(start, start + 5))


def test_a_task_draws_five_rows_of_numbers_for_every_token_and_one_more():
    seen = []

    def task(ids, draws):
        seen.append(draws.shape)
        return ids, ids

    Seq2SeqLM(SPECIAL, task).make_batch(np.zeros((2, 7), np.int64), Random(0))
    assert seen == [(5, 8), (5, 8)]
