"""Scores at hidden places are the model's own, and a decoder reads its earlier choices."""

import numpy as np
import pytest

from tinylm.generate.fill import best_written, hidden_logits, spans, written_logits
from tinylm.generate.protocol.conditional import Conditional
from tinylm.generate.protocol.score import conditional_logprob
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNet, XLNetConfig

V, MASK, START, END = 12, 10, 9, 11
SHAPE = dict(n_layer=1, n_head=2, d_model=8, dropout=0.0)
IDS = np.array([1, MASK, 3, MASK, 5])
PLACES = np.array([1, 3])


def same(found, expected):
    # float64: products of other shapes may add in another order, by an ulp or two
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def encoder(**more):
    return Encoder(EncoderConfig(V, 8, **SHAPE, **more), seed=1, dtype=np.float64).eval()


@pytest.fixture(scope="module")
def seq2seq():
    return Seq2Seq(Seq2SeqConfig(V, 16, start=START, **SHAPE), seed=2, dtype=np.float64).eval()


def test_an_encoder_scores_all_places_in_one_pass():
    model = encoder()
    same(hidden_logits(model, IDS, PLACES), model(IDS[None]).numpy()[0, PLACES])


def test_segments_reach_the_model():
    model, segments = encoder(), np.array([[0, 0, 1, 1, 1]])
    found = hidden_logits(model, IDS, PLACES, segments=segments)
    same(found, model(IDS[None], segments).numpy()[0, PLACES])
    assert (found != hidden_logits(model, IDS, PLACES)).any()


def test_the_generator_of_an_electra_predicts():
    replaced = EncoderConfig(V, 8, head="replaced", **SHAPE)
    model = Electra(replaced, EncoderConfig(V, 8, **SHAPE), seed=1, dtype=np.float64).eval()
    same(hidden_logits(model, IDS, PLACES), hidden_logits(model.generator, IDS, PLACES))


def test_an_xlnet_reads_neither_the_place_nor_the_other_hidden_ones():
    model = XLNet(XLNetConfig(V, segments=False, **SHAPE), seed=1, dtype=np.float64).eval()
    found = hidden_logits(model, IDS, PLACES)
    other = IDS.copy()
    other[PLACES] = 7, 2
    same(hidden_logits(model, other, PLACES), found)
    other[0] = 4  # a visible token is read
    assert (hidden_logits(model, other, PLACES) != found).any()


def test_a_decoder_scores_a_place_after_the_text_before_it_and_its_own_best_choices(seq2seq):
    first, second = written_logits(seq2seq, IDS, IDS, PLACES, START, None)
    same(first, seq2seq(IDS[None], np.array([[START, 1]])).numpy()[0, -1])
    reads = np.array([[START, 1, first.argmax(), 3]])
    same(second, seq2seq(IDS[None], reads).numpy()[0, -1])


def test_a_decoder_of_hidden_tokens_reads_masks_for_all_others(seq2seq):
    first, second = written_logits(seq2seq, IDS, IDS, PLACES, START, MASK)
    same(first, seq2seq(IDS[None], np.array([[START, MASK]])).numpy()[0, -1])
    reads = np.array([[START, MASK, first.argmax(), MASK]])
    same(second, seq2seq(IDS[None], reads).numpy()[0, -1])


def test_what_is_written_has_the_probability_that_the_model_gives_it(seq2seq):
    found = best_written(seq2seq, IDS, START, END, 3, 3, lead=[4])
    assert len({one.tokens for one in found}) == 3
    lm = Conditional(seq2seq, IDS)
    for one in found:
        # float64 logits, summed in another order
        expected = conditional_logprob(lm, [START, 4], list(one.tokens))
        assert one.logprob == pytest.approx(expected, abs=1e-9)
    assert [one.logprob for one in found] == sorted((one.logprob for one in found), reverse=True)


def test_spans_stand_behind_their_sentinels():
    marks = (20, 21, 22)
    assert spans([5, 20, 1, 2, 21, 3, 22], marks) == {0: [1, 2], 1: [3], 2: []}
    assert spans([20, 21, 4], marks) == {0: [], 1: [4]}
    assert spans([1, 2], marks) == {}
