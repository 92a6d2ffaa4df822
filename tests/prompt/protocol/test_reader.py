"""What reads prompts: the model batches, a decoder one sequence, both with the weights of now."""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.generate import EnumerableLM
from tinylm.generate.fast.direct import DirectDecoder
from tinylm.generate.fast.folded import TOGETHER, FastDecoder
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.prompt.protocol.reader import Reader

IDS = np.array([[1, 2, 3]])


def test_batches_are_read_by_the_model_and_one_sequence_by_a_decoder():
    for opened in ModelLM(make_gpt()), FastDecoder(make_gpt()), DirectDecoder(make_gpt()):
        reader = Reader(opened)
        assert type(reader.lm) is ModelLM and isinstance(reader.single, FastDecoder)
        assert reader.store.model is reader.lm.model
        assert not reader.quantized and reader.last == 1
    assert reader.single is opened  # a decoder that was opened is used as it is


def test_a_model_without_decoder_reads_everything_itself():
    tables = EnumerableLM.random(3, 3, seed=1)
    reader = Reader(tables)
    assert reader.lm is reader.single is tables and reader.store is None
    reader.renew()
    assert reader.single is tables
    alibi = ModelLM(make_gpt(positions="alibi"))
    assert Reader(alibi).single is alibi and Reader(alibi).store is not None


@pytest.mark.parametrize(
    "kind, settings",
    [(FastDecoder, []), (DirectDecoder, []), (DirectDecoder, [8]), (DirectDecoder, [4])],
)
def test_renewed_decoders_have_the_new_weights_and_as_many_bits(kind, settings):
    gpt = make_gpt(d_model=32)
    reader = Reader(kind(gpt, *settings))
    reader.store.read([1] * 8)
    rng = np.random.default_rng(1)
    for parameter in gpt.parameters():
        # Arrays of their own: a decoder that reads in place has the old ones.
        parameter.data = parameter.data + 0.3 * rng.normal(size=parameter.shape)
    old = reader.single.next_logits(IDS)
    reader.renew()
    new = reader.single.next_logits(IDS)
    assert np.abs(new - old).max() > 0.01
    np.testing.assert_allclose(new, kind(gpt, *settings).next_logits(IDS), rtol=0, atol=1e-10)
    assert reader.store.read([1] * 8)[1] == 8  # nothing is left of the old weights


@pytest.mark.parametrize("bits", [8, 4])
def test_quantized_weights_read_no_token_that_would_be_read_together_with_others(bits):
    reader = Reader(DirectDecoder(make_gpt(d_model=32), bits))
    assert reader.quantized and reader.last == TOGETHER
    together = np.array([[1, 2, 3, 4, 0]])
    assert together.size == TOGETHER
    # the same weights, in another order of additions
    np.testing.assert_allclose(
        reader.single.next_logits(together), reader.lm.next_logits(together), rtol=0, atol=1e-12
    )
    fewer = together[:, 1:]
    assert np.abs(reader.single.next_logits(fewer) - reader.lm.next_logits(fewer)).max() > 1e-4
