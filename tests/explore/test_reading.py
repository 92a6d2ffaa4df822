"""A model reads a prompt as it was trained to: [CLS], [MASK] and sentinels in their places."""

import numpy as np
import pytest

from tinylm.explore import AtHand, Unsuitable
from tinylm.explore.at_hand import opened_model
from tinylm.prompt.protocol.opened import open_model

TEXT = "To be, or not to be, that is the question: whether 'tis nobler in the mind. "


def test_a_decoder_reads_what_generate_reads(runs):
    found = AtHand(runs("causal"), "To be").reading
    assert found.kind == "decoder" and found.target is None
    assert found.ids.tolist() == open_model(runs("causal")).prompt_ids("To be")


def test_an_encoder_reads_cls_first_and_its_masks(runs):
    at_hand = AtHand(runs("masked"), "To [MASK] or not")
    special = at_hand.opened.special
    found = at_hand.reading
    assert found.kind == "encoder" and found.ids[0] == special.cls
    assert found.hidden.tolist() == [4] and found.ids[4] == special.mask  # [CLS] T o _ [MASK]
    assert at_hand.tokens(found.ids[[0, 4]]) == [
        {"text": "[CLS]", "special": True},
        {"text": "[MASK]", "special": True},
    ]


def test_an_encoder_decoder_reads_sentinels_and_writes(runs):
    at_hand = AtHand(runs("sentinels"), "To [MASK] or [MASK]")
    special, found = at_hand.opened.special, at_hand.reading
    assert found.kind == "encoder-decoder" and found.target[0] == special.start
    assert [i for i in found.ids if i in special.sentinels] == list(special.sentinels[:2])
    again = found.model(found.ids[None], found.target[None]).numpy()[0].argmax(axis=-1)
    np.testing.assert_array_equal(found.target[1:], again[:-1])  # the best, token by token


def test_a_prefix_model_predicts_what_follows_and_hides_nothing(runs):
    at_hand = AtHand(runs("prefix"))
    assert at_hand.reading.ahead and "[MASK]" not in at_hand.text
    assert not AtHand(runs("masked")).reading.ahead


def test_electra_is_read_by_its_discriminator(runs):
    model = opened_model(runs("replaced")).model
    assert AtHand(runs("replaced"), "To be").reading.model is model.discriminator


def test_a_model_of_another_order_is_unsuitable(runs):
    with pytest.raises(Unsuitable, match="XLNet"):
        _ = AtHand(runs("permuted"), "To be").reading


def test_without_a_prompt_a_run_reads_words_of_its_own_text(runs):
    for objective, hidden in (("causal", 0), ("masked", 1)):
        words = AtHand(runs(objective)).text
        assert words.count("[MASK]") == hidden
        assert all(word in TEXT for word in words.split() if word != "[MASK]")
        assert AtHand(runs(objective)).reading.hidden.size == hidden


def test_without_a_run_the_mend_is_named():
    with pytest.raises(Unsuitable, match="tinylm explore RUN"):
        _ = AtHand("", "To be").reading
    with pytest.raises(Unsuitable, match="directory of a run"):
        AtHand("smollm2").run()
