"""What padding hides reaches no real token's logits, in any family: no id, no vector, no place."""

import numpy as np
import pytest

from tinylm.autograd import Tensor, where
from tinylm.autograd.engine.tensor import no_grad
from tinylm.errors import DtypeError, ShapeError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.cache.paged import PagedCache, PagePool
from tinylm.generate.cache.quantized import QuantizedCache
from tinylm.generate.protocol.conditional import Conditional
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.models.decoder import presets as decoders
from tinylm.models.decoder.gpt import GPT
from tinylm.models.early.nplm import FeedForwardNGramLM
from tinylm.models.early.recurrent import RecurrentConfig, RecurrentLM
from tinylm.models.encoder import presets as encoders
from tinylm.nn.position.bias import POSITION_BIASES

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

PAD, V, T = 30, 31, 6
LENGTHS = (4, 6, 1)
BAD = {"another token": None, "nan": np.nan, "inf": np.inf, "huge": 1e150}
ROWS = [np.random.default_rng(n).integers(0, PAD, n) for n in LENGTHS]  # none of it is PAD


def padded(left, fill=PAD):
    """ids (B, T) and mask (B, T) of ROWS, filled up on one side."""
    ids, mask = np.full((len(ROWS), T), fill), np.zeros((len(ROWS), T), bool)
    for row, tokens in enumerate(ROWS):
        at = slice(T - len(tokens), T) if left else slice(0, len(tokens))
        ids[row, at], mask[row, at] = tokens, True
    return ids, mask


def spoil(model, bad):
    """Give the padding's row in every table of tokens a value that would be seen."""
    if bad is not None:
        tables = [getattr(part, "tokens", None) for part in model.modules()]
        for table in filter(None, tables):
            table.weight.data[PAD] = bad
    return model.eval()


def same(found, expected):
    """Logits (n, V) agree, those of the padding's own word aside."""
    np.testing.assert_allclose(found[..., :PAD], expected[..., :PAD], rtol=1e-9, atol=1e-11)


def decoder(name, **changes):
    return GPT(decoders.tiny(name, **changes), 3, np.float64)


def one_of_each():
    """The first preset of every family: gpt2 stands for gpt2-medium, ..."""
    return list({name.split("-")[0]: name for name in reversed(decoders.DECODERS)}.values())[::-1]


DECODERS = {
    **{name: lambda name=name: decoder(name) for name in one_of_each()},
    **{
        f"gpt2, {kind}": lambda kind=kind: decoder("gpt2", positions=kind, tied=False)
        for kind in (*POSITION_BIASES, "sinusoidal", "none")
    },
}


def caches(model, padding):
    """An empty cache of every kind for so many rows."""
    c = model.config
    sizes = c.n_layer, len(padding), c.kv_heads, c.key_width
    yield KeyValueCache(*sizes, np.float64, padding=padding)
    yield PagedCache(
        PagePool(20, 4, c.n_layer, c.kv_heads, c.key_width, np.float64), len(padding), padding
    )
    yield QuantizedCache(*sizes, np.float64, bits=16, padding=padding)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("made", DECODERS.values(), ids=DECODERS)
def test_a_decoder_with_padding_in_front(made, bad):
    lm = ModelLM(spoil(made(), bad))
    ids, _ = padded(left=True)
    padding = T - np.array(LENGTHS)
    scores = lm.logits(ids, lm.new_cache(len(ids), padding))
    for row, tokens in enumerate(ROWS):
        same(scores[row, T - len(tokens) :], lm.logits(tokens[None])[0])


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("kind", range(3), ids=["plain", "paged", "quantized"])
def test_a_decoder_that_reads_padded_rows_bit_by_bit(kind, bad):
    lm = ModelLM(spoil(decoder("llama3-8b"), bad))
    ids, _ = padded(left=True)
    padding = T - np.array(LENGTHS)
    cache = list(caches(lm.model, padding))[kind]
    parts = [lm.logits(ids[:, start : start + 2], cache) for start in range(0, T, 2)]
    scores = np.concatenate(parts, axis=1)
    for row, tokens in enumerate(ROWS):
        alone = list(caches(lm.model, np.zeros(1, int)))[kind]
        same(scores[row, T - len(tokens) :], lm.logits(tokens[None], alone)[0])


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("made", DECODERS.values(), ids=DECODERS)
def test_a_decoder_with_padding_behind(made, bad):
    model = spoil(made(), bad)
    ids, _ = padded(left=False)
    with no_grad():
        scores = model(ids).data
        for row, tokens in enumerate(ROWS):
            same(scores[row, : len(tokens)], model(tokens[None]).data[0])


RECURRENT = {
    cell: lambda cell=cell: RecurrentLM(RecurrentConfig(V, 8, 2, cell, 4), 3, np.float64)
    for cell in ("rnn", "gru", "lstm", "mamba")
}
RECURRENT["n-gram network"] = lambda: FeedForwardNGramLM(3, V, 4, 5, seed=3, dtype=np.float64)


@pytest.mark.parametrize("left", [True, False], ids=["in front", "behind"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("made", RECURRENT.values(), ids=RECURRENT)
def test_a_recurrent_model(made, bad, left):
    lm = spoil(made(), bad)
    if bad is not None and hasattr(lm, "words"):
        lm.words.weight.data[PAD] = bad
    ids, _ = padded(left)
    padding = T - np.array(LENGTHS) if left else None
    for pieces in ([slice(0, T)], [slice(0, 3), slice(3, 4), slice(4, T)]):
        cache = lm.new_cache(len(ids), padding)
        scores = np.concatenate([lm.logits(ids[:, piece], cache) for piece in pieces], axis=1)
        for row, tokens in enumerate(ROWS):
            at = slice(T - len(tokens), T) if left else slice(0, len(tokens))
            same(scores[row, at], lm.logits(tokens[None])[0])


@pytest.mark.parametrize("left", [False, True], ids=["behind", "in front"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", [*encoders.ENCODERS, *encoders.XLNETS])
def test_an_encoder(name, bad, left):
    config = encoders.tiny(name)
    model = spoil(encoders.build(config, 3, dtype=np.float64), bad)
    ids, mask = padded(left)
    more = {"languages": 1} if getattr(config, "languages", 0) else {}
    with no_grad():
        hidden = model.hidden(ids, mask=mask, **more).data
        for row, tokens in enumerate(ROWS):
            alone = model.hidden(tokens[None], **more).data[0]
            np.testing.assert_allclose(hidden[row][mask[row]], alone, rtol=1e-9, atol=1e-11)
            if getattr(config, "head", "token") == "token":
                same(
                    model.logits(Tensor(hidden[row : row + 1])).data[0][mask[row]],
                    model.logits(Tensor(alone[None])).data[0],
                )


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_permutation_language_model_in_an_order(bad):
    """The order is one of all columns; what it says of real tokens is their order."""
    model = spoil(encoders.build(encoders.tiny("xlnet-base"), 3, dtype=np.float64), bad)
    ids, mask = padded(left=False)
    order = np.array([4, 2, 5, 0, 1, 3])
    with no_grad():
        scores = model(ids, order=order, mask=mask).data
        for row, tokens in enumerate(ROWS):
            own = order[order < len(tokens)]
            same(scores[row, : len(tokens)], model(tokens[None], order=own).data[0])


@pytest.mark.parametrize("left", [False, True], ids=["behind", "in front"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", encoders.SEQ2SEQS)
def test_an_encoder_decoder(name, bad, left):
    model = spoil(encoders.build(encoders.tiny(name), 3, dtype=np.float64), bad)
    source, mask = padded(left)
    target = np.array([[0, 3, 5], [0, 7, 2], [0, 1, 1]])
    lm = Conditional(model, source, mask)
    with no_grad():
        scores, cached = model(source, target, source_mask=mask).data, lm.logits(target)
        for row, tokens in enumerate(ROWS):
            alone = model(tokens[None], target[row : row + 1]).data[0]
            same(scores[row], alone)
            same(cached[row], alone)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", encoders.SEQ2SEQS)
def test_padded_targets_of_an_encoder_decoder(name, bad):
    model = spoil(encoders.build(encoders.tiny(name), 3, dtype=np.float64), bad)
    target, mask = padded(left=False)
    source = np.array([[1, 2, 3]] * len(ROWS))
    with no_grad():
        scores = model(source, target, target_mask=mask).data
        for row, tokens in enumerate(ROWS):
            same(scores[row, : len(tokens)], model(source[:1], tokens[None]).data[0])


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_bias_that_measures_from_the_beginning_begins_after_the_padding(pieces):
    model = decoder("gpt2", positions="fire")
    model.position_bias.threshold = 2  # beyond it, the place in the text counts
    lm = ModelLM(model.eval())
    ids, _ = padded(left=True)
    cache = lm.new_cache(len(ids), T - np.array(LENGTHS))
    parts = [lm.logits(part, cache) for part in np.split(ids, pieces, axis=1)]
    scores = np.concatenate(parts, axis=1)
    for row, tokens in enumerate(ROWS):
        same(scores[row, T - len(tokens) :], lm.logits(tokens[None])[0])


def test_masks_of_models_that_do_not_fit_are_named():
    ids, _ = padded(left=False)
    bert, xlnet, t5 = (
        encoders.build(encoders.tiny(name), 3)
        for name in ("bert-base-uncased", "xlnet-base", "t5-small")
    )
    wrong = np.ones((len(ids), T + 1), bool)
    for call in (
        lambda: bert(ids, mask=wrong),
        lambda: bert(ids, mask=wrong[0]),
        lambda: xlnet(ids, mask=wrong),
        lambda: xlnet(ids, mask=wrong[:, None]),
        lambda: t5(ids, ids, source_mask=wrong),
        lambda: t5(ids, ids, target_mask=wrong),
        lambda: t5.encode(ids, wrong[:, None]),
        lambda: decoder("gpt2")(ids, mask=wrong),
        lambda: decoder("gpt3-125m", window=3)(ids, mask=wrong[:, None, None]),
    ):
        with pytest.raises(ShapeError, match="mask of shape"):
            call()


@pytest.mark.parametrize("kind", [float, int, np.float32], ids=["float", "int", "float32"])
def test_masks_of_models_are_bool(kind):
    ids, held = padded(left=False)
    mask, additive = held.astype(kind), np.where(held, 0.0, -np.inf)
    gpt, windowed = decoder("gpt2"), decoder("gpt3-125m", window=3)
    capped = decoder("gemma2-2b")
    bert, xlnet, t5 = (
        encoders.build(encoders.tiny(name), 3)
        for name in ("bert-base-uncased", "xlnet-base", "t5-small")
    )
    for given in (mask, additive):
        calls = [
            *(
                lambda given, m=m: m(ids, mask=given[:, None, None, :])
                for m in (gpt, windowed, capped)
            ),
            lambda given: bert(ids, mask=given),
            lambda given: list(bert.layers(ids, mask=given)),
            lambda given: bert.embed(ids, mask=given),
            lambda given: xlnet(ids, mask=given),
            lambda given: t5(ids, ids, source_mask=given),
            lambda given: t5(ids, ids, target_mask=given),
            lambda given: t5.encode(ids, given),
            lambda given: Conditional(t5, ids, given),
        ]
        for call in calls:
            with pytest.raises(DtypeError, match="must be bool, True = visible"):
                call(given)


@pytest.mark.parametrize("name", encoders.SEQ2SEQS)
def test_targets_of_unequal_length_go_on_from_a_padded_source(name):
    model = spoil(encoders.build(encoders.tiny(name), 3, dtype=np.float64), np.nan)
    ids, _ = padded(left=True)
    held = np.array([[True, True, True, False]])
    lm = Conditional(model, np.array([[1, 2, 3, PAD]]), held)
    alone = Conditional(model, np.array([[1, 2, 3]]))
    for cuts in ([], [2, 3]):
        cache = lm.new_cache(len(ids), T - np.array(LENGTHS))
        parts = [lm.logits(part, cache) for part in np.split(ids, cuts, axis=1)]
        scores = np.concatenate(parts, axis=1)
        for row, tokens in enumerate(ROWS):
            same(scores[row, T - len(tokens) :], alone.logits(tokens[None])[0])


def slope_at_padding(model, hidden, mask):
    """The gradient of the padding's vector, of something made of the real tokens' states alone."""
    weights = np.random.default_rng(0).normal(size=hidden.shape)
    (where(mask[..., None], hidden, 0.0) * weights).sum().backward()
    table = model.tokens.weight.grad.data
    assert np.isfinite(table).all() and table.any()
    return table[PAD]


@pytest.mark.parametrize("left", [False, True], ids=["behind", "in front"])
@pytest.mark.parametrize("name", [*encoders.ENCODERS, *encoders.XLNETS, *encoders.SEQ2SEQS])
def test_no_gradient_reaches_the_padding_of_an_encoder(name, left):
    config = encoders.tiny(name)
    model = encoders.build(config, 3, dtype=np.float64).eval()
    ids, mask = padded(left)
    more = {"languages": 1} if getattr(config, "languages", 0) else {}
    read = model.encode if name in encoders.SEQ2SEQS else model.hidden
    assert not slope_at_padding(model, read(ids, mask=mask, **more), mask).any()


@pytest.mark.parametrize("made", DECODERS.values(), ids=DECODERS)
def test_no_gradient_reaches_the_padding_of_a_decoder(made):
    model = made().eval()
    ids, mask = padded(left=True)
    positions = np.maximum(np.arange(T) - np.argmax(mask, axis=1)[:, None], 0)
    hidden = model.hidden(ids, positions=positions, mask=mask[:, None, None, :])
    assert not slope_at_padding(model, hidden, mask).any()
