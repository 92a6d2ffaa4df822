import numpy as np
import pytest

import tinylm as tl
from tests.finetune.tasks.heads_small import SPECIAL, encoder, texts, untrained
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune import answers, evaluate, fit
from tinylm.finetune.tasks.grafted import Grafted
from tinylm.finetune.tasks.text_to_text import Answering
from tinylm.generate.protocol.conditional import Conditional
from tinylm.models.early.cases import ready
from tinylm.models.encoder.presets import tiny
from tinylm.nn import Linear

EXACT = 1e-12
TARGET = np.array([[SPECIAL.start, 4, 8, 2], [SPECIAL.start, 7, 7, 1]])
SOURCE = np.array([[SPECIAL.cls, 5, 6, SPECIAL.sep], [SPECIAL.cls, 9, SPECIAL.sep, SPECIAL.pad]])
MASK = SOURCE != SPECIAL.pad


def config(**changes):
    """A decoder of one layer."""
    return tiny(
        "bart-base",
        **dict(vocab_size=SPECIAL.vocab_size, n_layer=1, n_head=2, start=SPECIAL.start, dropout=0.0)
        | changes,
    )


def test_the_encoders_weights_are_copied_and_its_heads_left():
    bert = encoder(head="token", classes=2)
    model = Grafted(bert, config())
    state = bert.state_dict()
    for name, p in model.encoder.named_parameters().items():
        np.testing.assert_array_equal(p.numpy(), state[name])
        assert not np.shares_memory(p.numpy(), bert.named_parameters()[name].numpy())
    assert model.encoder.head is None and model.encoder.classifier is None


def test_the_decoder_reads_the_encoders_states():
    bert = encoder().eval()
    model = ready(Grafted(bert, config())).eval()
    np.testing.assert_array_equal(
        model.encode(SOURCE, MASK).numpy(), bert.hidden(SOURCE, mask=MASK).numpy()
    )
    logits = model(SOURCE, TARGET, MASK)
    assert logits.shape == (2, 4, SPECIAL.vocab_size)
    keys, values = model.memory_pairs(model.encode(SOURCE, MASK))[0]
    assert keys.shape == values.shape == (2, 2, 4, 8)  # B, H, S, K
    changed = SOURCE.copy()
    changed[0, 1] = 7
    assert np.abs(model(changed, TARGET, MASK).numpy()[0] - logits.numpy()[0]).max() > 1e-3


def identity_adapter(width):
    """A Linear of the unit matrix and bias 0."""
    adapter = Linear(width, width, Random(0), dtype=np.float64)
    adapter.weight.data[...] = np.eye(width)
    return adapter


def test_an_adapter_that_changes_nothing_is_no_adapter():
    bert = encoder()
    plain = Grafted(bert, config()).eval()
    adapted = Grafted(bert, config(), identity_adapter(16)).eval()
    np.testing.assert_allclose(
        adapted(SOURCE, TARGET, MASK).numpy(),
        plain(SOURCE, TARGET, MASK).numpy(),
        rtol=0,
        atol=EXACT,
    )
    assert adapted.count_parameters() - plain.count_parameters() == 16 * 16 + 16


def test_gradients_reach_the_encoder_through_the_adapter():
    model = Grafted(encoder(), config(d_model=12), "linear").eval()
    model(SOURCE, TARGET, MASK).sum().backward()
    for name in (
        "adapter.weight",
        "encoder.blocks.0.attention.qkv.weight",
        "encoder.tokens.weight",
    ):
        assert np.abs(model.named_parameters()[name].grad.numpy()).max() > 0, name


@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_a_scale_of_embeddings_is_a_larger_table(scale):
    found = []
    for change in ({"embedding_scale": scale}, {}):
        model = Grafted(encoder(), config(tied=False, **change)).eval()
        if not change:
            model.tokens.weight.data *= scale
        found.append(model(SOURCE, TARGET, MASK).numpy())
    np.testing.assert_allclose(*found, rtol=0, atol=EXACT)


@pytest.mark.parametrize("scale", [0.5, 2.0])
@pytest.mark.parametrize("tied", [False, True])
def test_a_scale_of_logits_multiplies_them(scale, tied):
    scaled, plain = (
        Grafted(encoder(), config(tied=tied, logit_scale=s)).eval()(SOURCE, TARGET, MASK).numpy()
        for s in (scale, 1.0)
    )
    np.testing.assert_allclose(scaled, scale * plain, rtol=0, atol=EXACT)


def test_one_stream_feeds_all_dropout():
    model = Grafted(encoder(), config(), "linear")
    streams = [module.rng for module in model.modules() if hasattr(module, "rng")]
    assert len(streams) > 2 and all(rng is model.rng for rng in streams)
    assert not hasattr(model.adapter, "rng")  # a linear map draws nothing


def test_other_widths_need_an_adapter():
    with pytest.raises(ConfigError, match="width 16, the decoder reads 12"):
        Grafted(encoder(), config(d_model=12))


def test_the_two_sides_may_have_vocabularies_of_their_own():
    model = Grafted(
        encoder(), config(vocab_size=11, start=10), "linear"
    ).eval()  # sources reach 28, targets 10
    lm = Conditional(model, SOURCE, MASK)
    target = np.array([[10, 4, 8, 2], [10, 7, 7, 1]])
    np.testing.assert_allclose(
        lm.logits(target), model(SOURCE, target, MASK).numpy(), rtol=0, atol=EXACT
    )
    cache = lm.new_cache(2)
    parts = [lm.logits(target[:, :2], cache), lm.logits(target[:, 2:], cache)]
    np.testing.assert_allclose(
        np.concatenate(parts, axis=1), model(SOURCE, target, MASK).numpy(), rtol=0, atol=EXACT
    )


def test_a_model_can_be_saved_and_moved(device):
    model, other = (Grafted(encoder(), config(), "linear", seed=seed).eval() for seed in (0, 1))
    other.load_state_dict(model.state_dict())
    here = model(SOURCE, TARGET, MASK).numpy()
    there = other.to(device)
    source, target, mask = (tl.backend.to_device(a, device) for a in (SOURCE, TARGET, MASK))
    np.testing.assert_allclose(there(source, target, mask).numpy(), here, rtol=0, atol=EXACT)


@pytest.mark.slow
def test_reversal_is_learnt_and_decoded():
    model = Grafted(untrained(d_model=32, d_hidden=64, n_layer=2), config(d_model=32, d_hidden=64))
    task = Answering(SPECIAL, framed=True, longest=8)
    examples = [(text, text[::-1]) for text in texts(600, high=6)]
    held = [(text, text[::-1]) for text in texts(100, seed=1, high=6)]
    before = task.loss(model.eval(), task.make_batch(held))[0].item()
    fit(model, task, examples, epochs=30, learning_rate=5e-3)
    assert task.loss(model, task.make_batch(held))[0].item() < 0.3 * before
    assert (
        evaluate(model, task, held)["exact"] > 0.8
    )  # texts that were not learnt, mostly: 20^3 to 20^5 there are
    assert answers(model, task, [([1, 2, 3], None)]) == [[3, 2, 1]]
