"""Pairs of sentences: packing, negatives, order, and BERT's sum of two losses."""

from collections import Counter
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import encoder
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import MORE, SPECIAL, TEXT
from tinylm.pretrain.discriminative.pairs import (
    IS_NEXT,
    NOT_NEXT,
    SWAPPED,
    NextSentence,
    SentenceOrder,
    SentencePairs,
    next_sentence_pairs,
    pack,
    truncate_pair,
)
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.special import Special
from tinylm.pretrain.words import Words

RAIN = Words(
    "It is raining . I need an umbrella .",
    "The cat sleeps on the windowsill . Apples grow on trees .",
)


def test_the_pairs_of_the_book_are_packed():
    ids, segments = pack(
        RAIN.special, RAIN.ids("It is raining ."), RAIN.ids("I need an umbrella .")
    )
    assert " ".join(RAIN.show(ids)) == "[CLS] It is raining . [SEP] I need an umbrella . [SEP]"
    assert len(ids) == 12 and segments.tolist() == [0] * 6 + [1] * 6
    other, _ = pack(
        RAIN.special,
        RAIN.ids("The cat sleeps on the windowsill ."),
        RAIN.ids("Apples grow on trees ."),
    )
    assert (
        " ".join(RAIN.show(other))
        == "[CLS] The cat sleeps on the windowsill . [SEP] Apples grow on trees . [SEP]"
    )
    single, segments = pack(RAIN.special, RAIN.ids("It is raining ."))
    assert " ".join(RAIN.show(single)) == "[CLS] It is raining . [SEP]" and not segments.any()
    # m and n tokens and three marks: the last index is n + m + 2.
    assert len(pack(RAIN.special, range(3), range(4))[0]) - 1 == 3 + 4 + 2


def test_sentences_of_documents_make_pairs():
    documents = [[[0, 1], [2], [3, 4]], [[5], [6, 7]], [[8]]]
    nexts = {(tuple(a), tuple(b)) for d in documents for a, b in zip(d, d[1:])}
    found = next_sentence_pairs(documents, Random(0), 1000)
    for first, second, kind in found:
        assert ((tuple(first), tuple(second)) in nexts) == (kind == IS_NEXT)
        if kind == NOT_NEXT:  # from another document
            assert not any(list(first) in d and list(second) in d for d in documents)
    assert abs(sum(kind for *_, kind in found) - 500) < 4 * np.sqrt(250)  # four standard deviations
    with pytest.raises(DataError, match="needs two documents and a pair"):
        next_sentence_pairs([[[1], [2]]], Random(0), 1)


def test_windows_are_cut_in_two_and_no_negative_is_what_comes_next(rng):
    corpus = rng.integers(0, 3, 500)  # three words: a random piece is often the true one
    x = np.stack([corpus[i : i + 6] for i in rng.integers(0, 494, 400)])
    pairs, classes = NextSentence(corpus)(x, Random(0))
    for row, (first, second), kind in zip(x, pairs, classes):
        assert (
            len(first) >= 1
            and np.array_equal(row[: len(first)], first)
            and len(first) + len(second) == 6
        )
        assert np.array_equal(row[len(first) :], second) == (kind == IS_NEXT)
    assert abs((classes == NOT_NEXT).sum() - 200) < 4 * 10
    with pytest.raises(DataError, match="holds only copies of the"):
        NextSentence(np.zeros(9, int), p_negative=1.0)(np.zeros((1, 4), int), Random(0))


def test_swapped_parts_are_the_window_turned(rng):
    x = np.tile(np.arange(6), (200, 1))
    pairs, classes = SentenceOrder()(x, Random(0))
    for (first, second), kind in zip(pairs, classes):
        whole = np.concatenate([second, first] if kind == SWAPPED else [first, second])
        assert np.array_equal(whole, np.arange(6))
    assert abs((classes == SWAPPED).sum() - 100) < 4 * np.sqrt(50)
    assert {len(first) for first, _ in pairs} == {1, 2, 3, 4, 5}  # both parts have a token


def test_of_two_equally_long_the_second_is_cut_first():
    assert truncate_pair([1, 2], [5, 6], 3) == ([1, 2], [5])  # as in BERT's own code
    assert truncate_pair([1, 2], [5, 6], 2) == ([1], [5])
    assert truncate_pair([1, 2], [5, 6], 0) == ([], [])


def test_the_longer_of_a_pair_is_cut():
    assert truncate_pair([1, 2, 3, 4], [5, 6], 4) == ([1, 2], [5, 6]) and truncate_pair(
        [1], [2, 3], 9
    ) == ([1], [2, 3])


def objective(masked=True):
    return SentencePairs(
        SPECIAL, NextSentence(MORE["corpus"]), MaskedLM(SPECIAL) if masked else None
    )


def test_bert_s_gradient_is_the_sum_of_two():
    """Eq. 1.17."""
    model, batch = encoder(languages=0), objective().make_batch(TEXT, Random(0))
    h = lambda: model.hidden(batch.inputs, **batch.options)  # noqa: E731
    masked = tl.cross_entropy(
        model.logits(h()), batch.targets
    )  # every row has as many targets: means of means
    pair = tl.cross_entropy(model.pair_logits(h()), batch.classes)
    loss, metrics = objective().loss(model, batch)
    assert loss.item() == pytest.approx(masked.item() + pair.item(), rel=1e-12)
    assert metrics["masked"] == pytest.approx(masked.item(), rel=1e-12) and metrics[
        "pair"
    ] == pytest.approx(pair.item(), rel=1e-12)
    weight = [model.blocks[0].attention.qkv.weight]
    both, one, other = (tl.grad(part, weight)[0].numpy() for part in (loss, masked, pair))
    np.testing.assert_allclose(both, one + other, rtol=1e-9, atol=1e-14)
    assert objective(False).loss(model, batch)[0].item() == pytest.approx(pair.item(), rel=1e-12)


def even(counts, n):
    """Whether n draws fell evenly: each count within four deviations of a binomial."""
    p = 1 / len(counts)
    return all(abs(count - n * p) < 4 * np.sqrt(n * p * (1 - p)) for count in counts)


def test_every_pair_and_every_other_sentence_is_drawn_alike():
    documents = [[[1], [2], [3]], [[4], [5]]]  # three pairs; from the other document 2 or 3
    found = next_sentence_pairs(documents, Random(0), 3000)
    negatives = Counter((a[0], b[0]) for a, b, c in found if c == NOT_NEXT)
    positives = Counter((a[0], b[0]) for a, b, c in found if c == IS_NEXT)
    assert even([sum(positives.values()), sum(negatives.values())], 3000)
    assert set(positives) == {(1, 2), (2, 3), (4, 5)}
    assert even(positives.values(), sum(positives.values()))
    for first, others in ((1, (4, 5)), (2, (4, 5)), (4, (1, 2, 3))):
        counts = [negatives.pop((first, other)) for other in others]
        assert even(counts, sum(counts))
    assert not negatives


def test_a_negative_begins_anywhere_in_the_corpus():
    corpus = np.arange(10)
    rows = np.full((4000, 2), 50)  # halves of one token, which is not in the corpus
    pairs, classes = NextSentence(corpus, p_negative=1.0)(rows, Random(0))
    assert (classes == NOT_NEXT).all() and all(first.tolist() == [50] for first, _ in pairs)
    assert even(np.bincount([second[0] for _, second in pairs], minlength=10), 4000)


@pytest.mark.parametrize("kind", [SentencePairs, NextSentence, SentenceOrder])
def test_an_objective_cannot_be_changed_after_it_was_made(kind):
    made = {
        SentencePairs: lambda: objective(),
        SentenceOrder: SentenceOrder,
        NextSentence: lambda: NextSentence(np.arange(3)),
    }[kind]()
    with pytest.raises(FrozenInstanceError):
        made.p_negative = 0.1


def test_without_pairs_it_is_roberta_s_loss():
    """RoBERTa left next sentence prediction away: what stays is masked LM on the same rows."""
    model, batch = encoder(languages=0), objective().make_batch(TEXT, Random(0))
    metrics = objective().loss(model, batch)[1]
    assert MaskedLM(SPECIAL).loss(model, batch)[0].item() == pytest.approx(
        metrics["loss"] - metrics["pair"], rel=1e-12
    )


def test_only_the_first_state_is_asked_for_the_class():
    model, batch = encoder(languages=0), objective(False).make_batch(TEXT, Random(0))
    h = tl.Tensor(model.hidden(batch.inputs, **batch.options).numpy(), requires_grad=True)
    logits = model.pair_logits(h)
    model.hidden = lambda ids, **options: h
    loss, metrics = objective(False).loss(model, batch)
    (g,) = tl.grad(loss, [h], retain_graph=True)
    assert np.abs(g.numpy()[:, 0]).max() > 0 and not g.numpy()[:, 1:].any()
    z = logits.numpy()  # a softmax of two classes is the logistic of their difference
    p = np.exp(z[:, 1]) / np.exp(z).sum(1)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(z[:, 0] - z[:, 1])), rtol=1e-12)
    chances = np.where(batch.classes == 1, p, 1 - p)
    assert metrics["pair"] == loss.item() == pytest.approx(-np.log(chances).mean(), rel=1e-12)


def test_pairs_of_any_lengths_are_padded():
    batch = objective(False).with_pairs([([0], [1, 2]), ([3, 0, 1], [2])], [0, 1])
    assert (
        batch.inputs.shape == (2, 7) and batch.mask.sum(1).tolist() == [6, 7] and batch.tokens == 2
    )
    assert (batch.targets == IGNORE).all() and batch.segments.tolist() == [
        [0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 1, 1],
    ]
    bare = Special(9, cls=4, sep=5)
    with pytest.raises(ConfigError, match="no special id for pad"):
        SentencePairs(bare, SentenceOrder()).with_pairs([([0], [1, 2]), ([3, 0, 1], [2])], [0, 1])
    equal = SentencePairs(bare, SentenceOrder()).with_pairs([([0], [1]), ([2], [3])], [0, 1])
    assert equal.inputs.tolist() == [[4, 0, 5, 1, 5], [4, 2, 5, 3, 5]]  # one length needs no [PAD]
    first = Special(9, pad=0, cls=4, sep=5)  # the id 0 is an id like any other
    padded = SentencePairs(first, SentenceOrder()).with_pairs([([1], [2]), ([1], [2, 3])], [0, 1])
    assert padded.inputs[0].tolist() == [4, 1, 5, 2, 5, 0]
    with pytest.raises(ConfigError, match="set classes=2"):
        objective().loss(encoder(languages=0, classes=0), batch)


@pytest.mark.parametrize("kind", [SentenceOrder(), NextSentence(MORE["corpus"])])
def test_a_row_of_two_tokens_is_a_pair_of_one_token_each(kind):
    batch = SentencePairs(SPECIAL, kind).make_batch(np.array([[0, 1], [2, 3]]), Random(0))
    assert batch.inputs.shape == (2, 5)
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1]] * 2
