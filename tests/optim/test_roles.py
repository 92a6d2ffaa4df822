"""Which parameters weight decay shrinks: maps and embeddings, whatever else has two axes not."""

import copy
import pickle

import numpy as np
import pytest

from tests.numeric import leaf
from tinylm.autograd import Tensor
from tinylm.autograd.registry import load_all
from tinylm.finetune.compress.prune import Movement
from tinylm.finetune.freezing import freeze
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.early.recurrent import RecurrentConfig, RecurrentLM
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNet, XLNetConfig
from tinylm.nn.linear import Linear, fit_to_width, undecayed
from tinylm.nn.module import Module, is_parameter
from tinylm.nn.position.bias import POSITION_BIASES
from tinylm.optim import SGD, AdamW, FlatParameters, Momentum
from tinylm.optim.flat import decays

# (class, attribute) of everything with two axes or more. A new one must be put on one of the lists.
MAPS = {
    ("Linear", "weight"),
    ("GPT", "head"),
    ("Seq2Seq", "head"),
    ("Autoencoder", "weight"),
    ("Autoencoder", "back"),
    ("RNNCell", "weight"),
    ("GRUCell", "weight"),
    ("LSTMCell", "weight"),
    ("ConvolutionPool", "weight"),
    ("MambaBlock", "kernel"),
    ("LoRA", "a"),
    ("LoRA", "b"),
    ("PackedLoRA", "a"),
    ("PackedLoRA", "b"),
    ("Reweighted", "weight"),
    ("SkipGram", "outputs"),
    ("CBOW", "outputs"),
    ("Bounded", "out"),
    ("Bounded", "pair"),
    ("PairedEncoders", "first_map"),
    ("PairedEncoders", "second_map"),
    ("Reader", "out"),
    ("Reader", "pair"),
    ("LinearSelfAttention", "keys"),
    ("LinearSelfAttention", "queries"),
    ("LinearSelfAttention", "values"),
    ("LinearSelfAttention", "projection"),
}
EMBEDDINGS = {
    ("Embedding", "weight"),
    ("SkipGram", "words"),
    ("CBOW", "words"),
    ("GloVe", "words"),
    ("GloVe", "contexts"),
    ("RelativeAttention", "segment_table"),
    ("RecurrentMemory", "start"),
    ("SoftPrompt", "vectors"),
    ("PromptEncoder", "vectors"),
    ("Reparametrized", "vectors"),
    ("KeysValues", "keys_values"),
    ("PrefixedBlock", "states"),
    ("GistCompressor", "gist"),
    ("AutoCompressor", "summary"),
    ("SoftContext", "sigma"),
}
NEITHER = {
    ("MambaBlock", "log_decay"),
    ("KerplePowerBias", "a"),
    ("KerplePowerBias", "b"),
    ("KerpleLogBias", "a"),
    ("KerpleLogBias", "b"),
    ("OffsetBias", "table"),
    ("T5Bias", "table"),
    ("HeadGate", "b"),
    ("RelativeAttention", "content_bias"),
    ("RelativeAttention", "position_bias"),
    ("RelativeAttention", "segment_bias"),
    ("GloVe", "word_bias"),
    ("GloVe", "context_bias"),
    ("LinearChain", "transitions"),
    ("BlockRecurrentCell", "start"),
    ("Movement", "scores"),
    ("Controller", "logits"),
}
SMALL = dict(vocab_size=5, n_layer=1, n_head=2, d_model=4)


def tensors(value):
    """Tensors directly in an attribute, or in lists and dicts there."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


def roles(modules):
    """(class, attribute) -> parameters, of modules and all below them."""
    found = {}
    for module in modules:
        for part in module.modules():
            for name, value in vars(part).items():
                mine = [t for t in tensors(value) if is_parameter(t)]
                if mine:
                    found.setdefault((type(part).__name__, name), []).extend(mine)
    return found


def families():
    """A small model of every kind that registers nothing of its own."""
    yield from (
        GPT(GPTConfig(**SMALL, context=8, positions=kind, tied=False)) for kind in POSITION_BIASES
    )
    yield from (
        RecurrentLM(RecurrentConfig(5, 4, 1, cell, 2)) for cell in ("rnn", "gru", "lstm", "mamba")
    )
    yield XLNet(XLNetConfig(**SMALL))
    yield Seq2Seq(Seq2SeqConfig(**SMALL, positions="t5", tied=False))
    yield Movement(leaf(np.ones((2, 2))))


def test_every_parameter_decays_by_its_role():
    registered = [a for entry in load_all().values() for call in entry.calls() for a in call.args]
    found = roles([*families(), *(a for a in registered if isinstance(a, Module))])
    matrices = {role for role, ps in found.items() if any(p.ndim >= 2 for p in ps)}
    assert (
        matrices - MAPS - EMBEDDINGS - NEITHER == set()
    )  # put it on a list, and mark it if it is NEITHER
    assert NEITHER - matrices == set()
    for role, parameters in found.items():
        for p in parameters:
            assert decays(p) == (role in MAPS | EMBEDDINGS), role


OPTIMIZERS = {
    "AdamW": lambda p: AdamW(p, lr=0.1, weight_decay=0.5),
    "SGD": lambda p: SGD(p, lr=0.1, weight_decay=0.5),
    "Momentum": lambda p: Momentum(p, lr=0.1, weight_decay=0.5),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_what_does_not_decay_stays_without_a_gradient(optimizer):
    for model in families():
        before = {name: p.data.copy() for name, p in model.named_parameters().items()}
        optimizer(model.named_parameters()).step()
        for name, p in model.named_parameters().items():
            if decays(p) and before[name].any():
                assert not np.array_equal(p.data, before[name]), name
            else:
                np.testing.assert_array_equal(p.data, before[name], err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_worker_that_updates_a_slice_decays_what_the_whole_update_does(optimizer):
    def parameters():
        return {
            "w": leaf([[1.0, 2.0]]),
            "table": undecayed(leaf([[3.0], [4.0]])),
            "v": leaf([[5.0], [6.0]]),
            "b": leaf([7.0]),
        }

    whole = optimizer(parameters())
    whole.step()
    for cut in range(8):
        parts = optimizer(parameters())
        parts.step(start=0, stop=cut)
        parts.step(start=cut, stop=7)
        np.testing.assert_array_equal(parts.flat.data, whole.flat.data)
    np.testing.assert_array_equal(whole.flat.data[[2, 3, 6]], [3, 4, 7])


def test_the_mark_is_kept_by_copies_pickles_and_freezing():
    model = GPT(GPTConfig(**SMALL, context=8, positions="t5"))
    for made in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        freeze(copy.deepcopy(model)),
    ):
        assert not decays(made.position_bias.table) and decays(made.tokens.weight)


def test_the_order_of_the_buffer_is_that_of_axes_so_that_moments_keep_their_places():
    flat = FlatParameters({"b": leaf([1.0]), "table": undecayed(leaf([[2.0]])), "w": leaf([[3.0]])})
    assert (
        flat.names == ["table", "w", "b"]
        and flat.n_decay == 1
        and flat.decayed(0, 3) == [slice(1, 2)]
    )


def test_a_vector_that_says_so_decays():
    p = leaf([2.0])
    p.decays = True
    SGD([p], lr=0.5, weight_decay=0.5).step()
    assert p.item() == 1.5


def test_narrow_models_widen_maps_alone():
    class Both(Module):
        def __init__(self):
            self.map, self.table = Linear(2, 2, None), undecayed(leaf(np.ones((2, 2))))
            self.map.weight = leaf(np.ones((2, 2)))

    made = fit_to_width(Both(), 48)
    assert made.map.weight.data.max() == 4.0 and made.table.data.max() == 1.0  # sqrt(768 / 48) = 4
