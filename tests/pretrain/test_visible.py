"""Attention patterns of batches, and their pictures."""

import dataclasses

import numpy as np

from tinylm.autograd import Tensor, attention
from tinylm.backend import Random
from tinylm.pretrain import CausalLM
from tinylm.pretrain.cases import SPECIAL, TEXT
from tinylm.pretrain.denoising.sentinels import sentinel_spans
from tinylm.pretrain.denoising.seq2seq import seq2seq_batch
from tinylm.pretrain.language.prefix import PrefixLM, prefix_mask
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.masked.permuted import PermutedLM
from tinylm.pretrain.visible import causal_mask, full_mask, patterns, picture
from tinylm.pretrain.words import Words, split


def test_every_kind_of_batch_has_its_pattern():
    assert np.array_equal(patterns(CausalLM().make_batch(TEXT))["attention"], causal_mask(5))
    assert patterns(MaskedLM(SPECIAL).make_batch(TEXT, Random(0)))["attention"].all()
    padded = MaskedLM(SPECIAL).make_batch(np.array([[1, 2, SPECIAL.pad]]), Random(0))
    assert patterns(padded)["attention"].tolist() == [[True] * 3 + [False]] * 4
    prefix = PrefixLM().with_prefix(TEXT, np.array([2, 3]))
    assert np.array_equal(patterns(prefix, 1)["attention"], prefix_mask(5, 3))
    order = PermutedLM(SPECIAL).make_batch(TEXT, Random(0))
    assert (
        set(patterns(order)) == {"content", "query"} and patterns(order)["query"].sum() == 21
    )  # 7 * 6 / 2


def test_the_three_patterns_of_t5():
    """D2L: source of four, target of six: a 4 x 4 square, a 6 x 4 rectangle, a triangle of 21."""
    words = Words("I love this red car")
    pair = sentinel_spans(
        words.ids("I love this red car"), [False, True, False, True, True], words.special.sentinels
    )
    batch = seq2seq_batch([(pair[0], pair[1])], words.special, end=False)
    found = patterns(batch)
    # With [CLS] in front the source has five.
    assert (
        found["encoder"].shape == (5, 5)
        and found["cross"].shape == (6, 5)
        and found["decoder"].sum() == 21
    )
    assert found["encoder"].all() and found["cross"].all() and full_mask(4).sum() == 16


def test_the_picture_of_a_triangle():
    assert picture(causal_mask(3), ["a", "bc", "d"]) == [
        "     0 1 2",
        "a  0 ■ · ·",
        "bc 1 ■ ■ ·",
        "d  2 ■ ■ ■",
    ]


def test_words_are_cut_as_a_reader_would():
    assert split("I love the food here. It's amazing!") == [
        "I",
        "love",
        "the",
        "food",
        "here",
        ".",
        "It",
        "'s",
        "amazing",
        "!",
    ]
    assert split("[CLS] a [MASK] .") == ["[CLS]", "a", "[MASK]", "."]


def test_self_attention_knows_no_order_unless_a_mask_tells_it(rng):
    """Section 1.2.2.2: SelfAttn(P X) = P SelfAttn(X) without a mask, and with one that is permuted
    too.
    """
    x, order = rng.normal(size=(1, 1, 6, 4)), rng.permutation(6)
    attend = lambda x, mask=None: attention(*(Tensor(x) for _ in range(3)), mask=mask).numpy()[0, 0]  # noqa: E731
    mask = causal_mask(6)
    np.testing.assert_allclose(attend(x[:, :, order]), attend(x)[order], rtol=1e-12)
    np.testing.assert_allclose(
        attend(x[:, :, order], mask[order][:, order]), attend(x, mask)[order], rtol=1e-12
    )
    assert np.abs(attend(x[:, :, order], mask) - attend(x, mask)[order]).max() > 0.1


def test_padding_of_a_source_is_not_seen():
    whole = seq2seq_batch([([0, 1], [2])], SPECIAL)
    shorter = seq2seq_batch([([0, 1], [2]), ([0], [2])], SPECIAL)
    assert patterns(whole)["encoder"].all() and patterns(whole)["cross"].all()
    assert patterns(shorter, row=1)["encoder"].tolist() == [[True, True, False]] * 3
    assert patterns(shorter, row=1)["cross"].tolist() == [[True, True, False]] * 2
    without = dataclasses.replace(whole, mask=None)
    assert patterns(without)["encoder"].all()
