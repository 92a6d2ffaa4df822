"""Masked LM: the book's examples, what is chosen, and what masking cannot do."""

import itertools

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import encoder
from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.batch import IGNORE, TokenBatch
from tinylm.pretrain.denoising.noise import replace_tokens
from tinylm.pretrain.language.causal import CausalLM
from tinylm.pretrain.masked.masked import (
    MaskedLM,
    StaticMasks,
    causal_from_masked,
    corrupt_chosen,
    mask_tokens,
    targets_at,
)
from tinylm.pretrain.special import Special
from tinylm.pretrain.words import Words

BIRD = Words("The early bird catches the worm")
RAIN = Words("It is raining . I need an umbrella .", "hat")
PAIR = "[CLS] It is raining . [SEP] I need an umbrella . [SEP]"
SPECIAL = Special.after(50)


def at(size, *places):
    return np.isin(np.arange(size), places)


def constant(V):
    """A model that finds all words alike."""
    return lambda ids, **options: Tensor(np.zeros((*ids.shape, V)))


def test_the_early_bird():
    """Eq. 1.12: A = {2, 6}, and a head that knows nothing gives each of the two 1 / V."""
    x = BIRD.ids("[CLS] The early bird catches the worm")
    masked = mask_tokens(x, at(7, 2, 6), BIRD.special.mask)
    assert BIRD.show(masked) == "[CLS] The [MASK] bird catches the [MASK]".split()
    batch, V = TokenBatch(masked[None], targets_at(x, at(7, 2, 6))[None]), BIRD.special.vocab_size
    loss, metrics = MaskedLM(BIRD.special).loss(constant(V), batch)
    assert metrics["tokens"] == 2 and -loss.item() * 2 == pytest.approx(
        2 * np.log(1 / V), rel=1e-14
    )


def test_the_red_car():
    """D2L's example: love is hidden at place 2, counted from [CLS], and words on both sides of it
    tell.
    """
    words = Words("I love this red car")
    x = words.ids("[CLS] I love this red car")
    masked = mask_tokens(x, at(6, 2), words.special.mask)
    assert " ".join(words.show(masked)) == "[CLS] I [MASK] this red car"
    assert words.show(targets_at(x, at(6, 2))) == ["_", "_", "love", "_", "_", "_"]
    model = encoder(languages=0, vocab_size=words.special.vocab_size)
    e = tl.Tensor(model.embed(masked[None]).numpy(), requires_grad=True)
    model.embed = lambda *args: e
    (g,) = tl.grad(model(masked[None])[0, 2, x[2]], [e])
    assert (np.abs(g.numpy()[0]).max(-1) > 1e-9).all()


def test_the_three_fates_of_a_chosen_token():
    x, mask = RAIN.ids(PAIR), RAIN.special.mask
    assert (
        " ".join(RAIN.show(mask_tokens(x, at(12, 3, 8), mask)))
        == "[CLS] It is [MASK] . [SEP] I need [MASK] umbrella . [SEP]"
    )
    hat = replace_tokens(x, at(12, 9), np.full(12, RAIN.ids("hat")[0]))
    assert " ".join(RAIN.show(hat)) == "[CLS] It is raining . [SEP] I need an hat . [SEP]"


def test_unchanged_tokens_count_too():
    """Fig. 1.5: 3 and 8 masked, 9 replaced, 6 unchanged; all four are predicted."""
    x = RAIN.ids(PAIR)
    shown = replace_tokens(
        mask_tokens(x, at(12, 3, 8), RAIN.special.mask), at(12, 9), np.full(12, RAIN.ids("hat")[0])
    )
    assert " ".join(RAIN.show(shown)) == "[CLS] It is [MASK] . [SEP] I need [MASK] hat . [SEP]"
    targets = targets_at(x, at(12, 3, 6, 8, 9))
    assert np.flatnonzero(targets != IGNORE).tolist() == [3, 6, 8, 9]
    assert RAIN.show(targets[[3, 6, 8, 9]]) == ["raining", "I", "an", "umbrella"]
    logits = Tensor(
        np.random.default_rng(0).normal(size=(1, 12, RAIN.special.vocab_size)), requires_grad=True
    )
    batch = TokenBatch(shown[None], targets[None])
    loss, metrics = MaskedLM(RAIN.special).loss(lambda ids, **options: logits, batch)
    z = logits.numpy()[0]
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    by_hand = -sum(log_p[t, x[t]] for t in (3, 6, 8, 9)) / 4  # the words of the text
    assert loss.item() == pytest.approx(by_hand, rel=1e-12) and metrics["tokens"] == 4
    (g,) = tl.grad(loss, [logits])
    assert np.flatnonzero(np.abs(g.numpy()[0]).sum(-1)).tolist() == [
        3,
        6,
        8,
        9,
    ]  # exactly 0 elsewhere


def test_shares_are_what_was_asked_for(rng):
    x = rng.integers(0, 50, (200, 100))
    batch = MaskedLM(SPECIAL).make_batch(x, Random(0))
    ids = np.concatenate([np.full((200, 1), SPECIAL.cls), x], axis=1)
    chosen = batch.targets != IGNORE
    assert (chosen.sum(1) == 15).all()  # 15 % of 100 ordinary tokens in every row
    assert np.array_equal(batch.targets[chosen], ids[chosen]) and np.array_equal(
        batch.inputs[~chosen], ids[~chosen]
    )
    n, masked = 3000, (batch.inputs == SPECIAL.mask).sum()
    changed = ((batch.inputs != ids) & (batch.inputs != SPECIAL.mask)).sum()
    # Four standard deviations of a binomial; one in 50 random words is the word itself.
    assert abs(masked - 0.8 * n) < 4 * np.sqrt(n * 0.8 * 0.2)
    assert abs(changed - 0.1 * 0.98 * n) < 4 * np.sqrt(n * 0.098 * 0.902)
    assert not SPECIAL.among(
        batch.inputs[(batch.inputs != ids) & (batch.inputs != SPECIAL.mask)]
    ).any()


def test_shares_at_their_limits(rng):
    x, chosen = rng.integers(0, 50, (5, 20)), np.ones((5, 20), bool)
    assert (corrupt_chosen(x, chosen, Random(0), SPECIAL, (1, 0, 0)) == SPECIAL.mask).all()
    assert np.array_equal(corrupt_chosen(x, chosen, Random(0), SPECIAL, (0, 0, 1)), x)
    assert (corrupt_chosen(x, chosen, Random(0), SPECIAL, (0, 1, 0)) < 50).all()
    nothing = MaskedLM(SPECIAL, rate=0.0).make_batch(x, Random(0))
    assert (
        nothing.tokens == 0
        and MaskedLM(SPECIAL).loss(constant(SPECIAL.vocab_size), nothing)[0].item() == 0
    )
    with pytest.raises(ConfigError, match="sum to 1"):
        MaskedLM(SPECIAL, shares=(0.8, 0.1, 0.2))
    with pytest.raises(ConfigError, match="no special id for mask"):
        MaskedLM(Special(9))


def test_dynamic_masks_differ_from_time_to_time_and_static_ones_do_not(rng):
    """RoBERTa against BERT."""
    x = rng.integers(0, 50, (3, 40))
    dynamic, static = MaskedLM(SPECIAL), StaticMasks(MaskedLM(SPECIAL))
    assert not np.array_equal(
        dynamic.make_batch(x, Random(0)).inputs, dynamic.make_batch(x, Random(1)).inputs
    )
    first, again = static.make_batch(x, Random(0)), static.make_batch(x[::-1], Random(1))
    assert np.array_equal(first.inputs, again.inputs[::-1]) and np.array_equal(
        first.targets, again.targets[::-1]
    )


def test_padding_is_neither_chosen_nor_seen():
    x = np.array([[1, 2, 3, SPECIAL.pad, SPECIAL.pad]])
    batch = MaskedLM(SPECIAL, rate=1.0).make_batch(x, Random(0))
    assert (batch.targets[0] != IGNORE).tolist() == [False, True, True, True, False, False]
    assert batch.mask.tolist() == [[True] * 4 + [False] * 2]


def test_only_the_chosen_positions_reach_the_output_layer():
    model, V = encoder(languages=0), encoder().config.vocab_size
    ids = np.array([[4, 0, 1, 2, 3, 1]])
    batch = TokenBatch(ids, np.where(at(6, 2, 4), ids, IGNORE))
    seen = []
    head = model.logits
    model.logits = lambda h: (seen.append(h.shape), head(h))[1]
    loss, metrics = MaskedLM(SPECIAL).loss(model, batch)
    assert seen == [(2, 4)] and metrics["tokens"] == 2
    everywhere = tl.cross_entropy(head(model.hidden(ids)), batch.targets)
    assert (
        loss.item() == pytest.approx(everywhere.item(), rel=1e-12) and V == model.config.vocab_size
    )


def test_the_mask_is_met_in_pretraining_only(rng):
    """Drawback 1 of section 1.2.2.1: [MASK] stands in no text that is used later, and its embedding
    learns nothing from one.
    """
    model, text = encoder(languages=0), rng.integers(0, 4, (2, 10))
    special, table = Special.after(4, sentinels=3, others=3), model.tokens.weight
    masked = MaskedLM(special).make_batch(text, Random(0))
    used = TokenBatch(masked.inputs, masked.targets)
    plain = TokenBatch(
        np.where(masked.targets == IGNORE, masked.inputs, masked.targets), masked.targets
    )

    def first(batch):
        return (model.hidden(batch.inputs)[..., 0] ** 2).sum()

    with_mask, without = (
        tl.grad(first(batch), [table])[0].numpy()[special.mask] for batch in (used, plain)
    )
    assert (
        np.abs(with_mask).max() > 0
        and not without.any()
        and not (plain.inputs == special.mask).any()
    )


def test_unmasked_prediction_is_copying():
    """Why an encoder must not be asked for what it sees: every token reaches every output, its own
    too (eq. 1.9).
    """
    model, ids = encoder(languages=0), np.array([[0, 1, 2, 3, 1]])
    e = tl.Tensor(model.embed(ids).numpy(), requires_grad=True)
    model.embed = lambda *args: e
    logits = model(ids)
    for i in range(5):
        (g,) = tl.grad(logits[0, i, ids[0, i]], [e], retain_graph=True)
        assert (np.abs(g.numpy()[0]).max(-1) > 1e-9).all()


def test_masking_the_right_context_makes_a_language_model():
    """Section 1.2.2.1: predicting each token with all later ones masked, the chances of all strings
    sum to one.
    """
    model, total = encoder(languages=0, vocab_size=4), 0.0
    for string in itertools.product(range(3), repeat=3):
        batch = causal_from_masked(np.array([0, *string]), mask=3)
        logits = model(batch.inputs).numpy()[..., :3]
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        total += np.exp(sum(log_p[t, t + 1, x] for t, x in enumerate(string)))
    assert total == pytest.approx(1, rel=1e-12)  # 27 strings over 3 letters
    assert batch.inputs.tolist() == [[0, 3, 3, 3], [0, 2, 3, 3], [0, 2, 2, 3]] and batch.tokens == 3


def test_masked_tokens_are_predicted_as_if_independent():
    """D = {a b, c d}: with both masked the best masked LM gives 1/4 to each, an order 1/2; the gap
    is log 2 = I(x1; x2).
    """
    corpus, V = np.array([[0, 1], [2, 3]]), 4
    marginals = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]])

    def best(ids, **options):
        return Tensor(np.log(np.broadcast_to(marginals, (len(ids), 2, V)) + 1e-30))

    def ordered(ids, **options):
        """After the start: the marginal of the first token; after it: the token that follows it."""
        follows = np.eye(V + 1)[[1, 0, 3, 2, 0]]
        first = np.broadcast_to([0.5, 0, 0.5, 0, 0], (len(ids), V + 1))
        return Tensor(np.log(np.stack([first, follows[ids[:, 1]]], axis=1) + 1e-30))

    hidden = TokenBatch(np.full((2, 2), V), corpus)
    masked = MaskedLM(Special(V + 1, mask=V)).loss(best, hidden)[0].item() * 2  # nats a pair
    rows = np.insert(corpus, 0, V, axis=1)  # a start token, then the pair
    in_order = CausalLM().loss(ordered, CausalLM().make_batch(rows))[0].item() * 2
    joint = np.zeros((V, V))
    joint[0, 1] = joint[2, 3] = 0.5
    independent = np.outer(joint.sum(1), joint.sum(0))
    seen = joint > 0
    information = (joint[seen] * np.log(joint[seen] / independent[seen])).sum()
    assert masked == pytest.approx(2 * np.log(2), rel=1e-9)
    assert masked - in_order == pytest.approx(information, rel=1e-9)


class Given:
    """A random stream whose numbers are given."""

    def __init__(self, fates, words):
        self.fates, self.words = np.array(fates), np.array(words)

    def uniform(self, shape):
        return self.fates.reshape(shape)

    def integers(self, low, high, shape):
        return self.words.reshape(shape)


def test_a_fate_on_a_border_belongs_to_what_lies_above_it():
    # Shares of 1/2, 1/4, 1/4: below 1/2 masked, from there and below 3/4 replaced, from 3/4 kept.
    fates = [0.0, 0.25, 0.5, 0.625, 0.75, 0.9]
    rng = Given([fates], [[7, 7, 7, 7, 7, 7]])
    ids, mask = np.array([[1, 2, 3, 4, 5, 6]]), SPECIAL.mask
    found = corrupt_chosen(ids, np.ones((1, 6), bool), rng, SPECIAL, (0.5, 0.25, 0.25))
    assert found.tolist() == [[mask, mask, 7, 7, 5, 6]]
    nothing = corrupt_chosen(ids, np.zeros((1, 6), bool), rng, SPECIAL, (0.5, 0.25, 0.25))
    assert nothing.tolist() == ids.tolist()


@pytest.mark.parametrize(
    "shares", [(1.2, -0.1, -0.1), (0.8, 0.1), (0.8, 0.1, 0.2), (0.7, 0.1, 0.1)]
)
def test_shares_that_are_no_probabilities_are_refused(shares):
    with pytest.raises(ConfigError, match="three probabilities"):
        MaskedLM(SPECIAL, shares=shares)


@pytest.mark.parametrize("shares", [(1, 0, 0), (0, 0, 1), (0.7, 0.2, 0.1)])
def test_shares_may_be_nothing_and_sum_to_1_as_far_as_floats_do(shares):
    assert MaskedLM(SPECIAL, shares=shares).shares == shares  # 0.7 + 0.2 + 0.1 is 1 - 2^-53
