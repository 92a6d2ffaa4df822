"""Every changed model saves and loads to the same answers, in each of its states, or refuses."""

import functools
import importlib
import json
import pkgutil
import shutil

import numpy as np
import pytest

import tinylm.finetune
from tests.finetune.tasks.heads_small import decoder, encoder, seq2seq
from tinylm.autograd import Tensor, no_grad
from tinylm.backend import Random
from tinylm.errors import CheckpointError
from tinylm.finetune.compress import quantize, reweight
from tinylm.finetune.compress.distill import Student
from tinylm.finetune.compress.early_exit import EarlyExit
from tinylm.finetune.compress.length_adaptive import LengthAdaptive
from tinylm.finetune.compress.prune import movement, prune
from tinylm.finetune.compress.structured import with_layer_drop, without_layer_drop
from tinylm.finetune.compress.token_exit import TokenExit
from tinylm.finetune.context.auto_compressor import AutoCompressor
from tinylm.finetune.context.gist import GistCompressor
from tinylm.finetune.context.soft_context import SoftContext
from tinylm.finetune.continual.many_tasks import ManyHeads
from tinylm.finetune.freezing import only, trainable
from tinylm.finetune.instruct.saved import save_tuned
from tinylm.finetune.peft import prompt_encoder, soft_prompts
from tinylm.finetune.peft.adapters import houlsby, pfeiffer
from tinylm.finetune.peft.ia3 import ia3
from tinylm.finetune.peft.lora import lora
from tinylm.finetune.peft.merging import bake, merge, unmerge
from tinylm.finetune.peft.prefix import as_key_values, hidden_prefix, key_value_prefix
from tinylm.finetune.peft.quantized_base import quantize_linears
from tinylm.finetune.tasks.crf import LinearChain
from tinylm.finetune.tasks.grafted import Grafted
from tinylm.finetune.tasks.heads import Classifier, Regressor
from tinylm.finetune.tasks.probe import Probe
from tinylm.finetune.tasks.spans import SpanPredictor
from tinylm.finetune.tasks.tagging import TokenClassifier, WordBatch
from tinylm.finetune.tasks.word_forms import CharacterCNN, PartVectors, WordForms
from tinylm.finetune.wrap import load_trained, read_trained, save_trained, trained_state
from tinylm.models.decoder import presets as decoders
from tinylm.models.decoder.gpt import GPT
from tinylm.models.encoder import presets as encoders
from tinylm.models.published.formats.safetensors import read_safetensors, write_safetensors
from tinylm.models.published.save import save_pretrained
from tinylm.nn import Module
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain.language.causal import CausalLM
from tinylm.tokenizers import ByteTokenizer
from tinylm.train.trainer import Trainer

IDS = np.array([[1, 5, 2, 7], [3, 3, 9, 0]])
FORMS = WordForms.of(("dab", "bad"), least=1)
PARTS, CHARACTERS = FORMS.batch([("dab", "a"), ("bad", "abba")], 2)
WORDS = WordBatch(
    IDS,
    IDS,
    words=np.array([[0, 1], [2, 3]]),
    held=np.ones((2, 2), bool),
    parts=PARTS,
    characters=CHARACTERS,
)


def quantized(seed, kind="Q4_0", **options):
    model = decoder(seed, d_model=32)
    quantize_linears(model, "qkv", "hidden", kind=kind)
    return lora(model, "qkv", r=2, **options)


def pruned(seed, sparsity=0.5):
    model = decoder(seed)
    prune(model, sparsity)
    return model


def rounded(seed, bits=4, activations=None, make=quantize.symmetric):
    quantizer = functools.partial(make, bits=bits)
    return quantize.quantization_aware(decoder(seed), quantizer, activations)


def prompted(seed, network=None):
    model = decoder(seed)
    start = soft_prompts.random_start(model.tokens.weight, 2)
    if network is None:
        return soft_prompts.prompt_tuning(model, start)
    made = network(16, 8, 16, Random(seed, "network"), np.float64)
    return soft_prompts.prompt_tuning(model, prompt_encoder.PromptEncoder(start, made))


def prompted_encoder(seed):
    model = encoder(seed)
    return soft_prompts.prompt_tuning(model, soft_prompts.random_start(model.tokens.weight, 2))


def hybrid(seed, words=(4, 2)):
    pattern = [soft_prompts.Soft(2), list(words), soft_prompts.INPUT, soft_prompts.Soft(1)]
    return soft_prompts.hybrid(decoder(seed), pattern)


def prompted_seq2seq(seed):
    model = seq2seq(seed)
    table = soft_prompts.soft_tokens(model)
    start = soft_prompts.random_start(table.weight, 2)
    return soft_prompts.PromptedSeq2Seq(model, table.add(soft_prompts.SoftPrompt(start)))


def half(T):
    """Lengths of the layers: half of the tokens."""
    return [max(T // 2, 1)]


def shorter(seed, lengths=half):
    return Classifier(LengthAdaptive(encoder(seed), lengths=lengths), 3, seed=seed)


def gpt(change, **options):
    return lambda seed: change(decoder(seed), **options)


def tagger_with_forms(seed):
    kinds = PartVectors, CharacterCNN
    forms = [kind(FORMS, 16, seed, dtype=np.float64) for kind in kinds]
    return TokenClassifier(encoder(seed), 3, seed=seed, forms=forms)


# Name -> model made from a seed, changed but not trained yet. Answers: see answers().
MADE = {
    "lora": gpt(lora, r=2),
    "lora of queries": lambda seed: lora(decoder(seed), "qkv", parts="q", r=2),
    "lora with dropout": gpt(lora, r=2, dropout=0.3),
    "lora of a quantized base": quantized,
    "lora of another kind": lambda seed: quantized(seed, "Q4_1"),
    "lora of 8 bits": lambda seed: quantized(seed, "Q8_0"),
    "lora of an encoder": lambda seed: Classifier(lora(encoder(seed), r=2), 3, seed=seed),
    "ia3": gpt(ia3),
    "houlsby": gpt(houlsby, r=3),
    "pfeiffer": gpt(pfeiffer, r=3),
    "ia3 of an encoder-decoder": lambda seed: ia3(seq2seq(seed)),
    "keys and values": gpt(key_value_prefix, n=2),
    "made keys and values": gpt(key_value_prefix, n=2, d_hidden=4),
    "states": gpt(hidden_prefix, n=2),
    "states as keys and values": lambda seed: as_key_values(hidden_prefix(decoder(seed), 2)),
    "prompt": prompted,
    "prompt of a network": lambda seed: prompted(seed, prompt_encoder.MLP),
    "prompt of two networks": lambda seed: prompted(seed, prompt_encoder.BidirectionalLSTM),
    "hybrid": hybrid,
    "prompt of an encoder-decoder": prompted_seq2seq,
    "biases alone": lambda seed: only(decoder(seed), "*.bias"),
    "pruned": pruned,
    "by movement": lambda seed: movement(decoder(seed), 0.5),
    "rounded": rounded,
    "rounded, activations too": lambda seed: rounded(seed, 4, 6),
    "layers dropped": lambda seed: with_layer_drop(decoder(seed), 0.3),
    "student": lambda seed: Student(decoder(seed), 1, 16, 8, Random(seed, "maps"), np.float64),
    "exits": lambda seed: EarlyExit(encoder(seed), 3, seed),
    "exits of a decoder": lambda seed: TokenExit(decoder(seed)),
    "shorter": shorter,
    "classifier": lambda seed: Classifier(encoder(seed), 3, seed=seed),
    "regressor": lambda seed: Regressor(encoder(seed), seed=seed),
    "many heads": lambda seed: ManyHeads(encoder(seed), [2, 3], seed=seed),
    "spans": lambda seed: SpanPredictor(encoder(seed), seed),
    "tags": lambda seed: TokenClassifier(encoder(seed), 3, crf=True, seed=seed),
    "tags by forms": tagger_with_forms,
    "spans behind a prompt": lambda seed: SpanPredictor(prompted_encoder(seed), seed),
    "tags behind states": lambda seed: TokenClassifier(hidden_prefix(encoder(seed), 2), 3),
    "classes behind keys": lambda seed: Classifier(key_value_prefix(decoder(seed), 2), 3),
    "many behind a prompt": lambda seed: ManyHeads(prompted_encoder(seed), [2, 3], seed=seed),
    "tags of a changed encoder": lambda seed: TokenClassifier(houlsby(encoder(seed), 2), 3),
    "exits of a changed encoder": lambda seed: EarlyExit(lora(encoder(seed), r=2), 3, seed),
    "lora behind a prompt": lambda seed: lora(prompted(seed), r=2),
    "adapters over lora": lambda seed: houlsby(lora(decoder(seed), r=2), 2),
    "grafted": lambda seed: Grafted(encoder(seed), seq2seq(seed).config, "linear", seed=seed),
    "probe": lambda seed: Probe(4, 3, seed=seed, dtype=np.float64),
    "chain": lambda seed: LinearChain(3, np.float64),
    "gist": lambda seed: GistCompressor(decoder(seed), 2, seed),
    "auto-compressor": lambda seed: AutoCompressor(decoder(seed), 2, seed=seed),
    "soft context": lambda seed: SoftContext(decoder(seed), np.ones((2, 16)) * (1 + seed)),
}


def trained(name, seed=0):
    """The model after some training: everything that is trained has moved."""
    model, rng = MADE[name](seed).eval(), np.random.default_rng(seed)
    for p in model.parameters():
        if p.requires_grad:
            p.assign_(p.data + 0.3 * rng.normal(size=p.shape).astype(p.dtype))
    return model


def answers(model):
    """What a model says to fixed inputs, a list of arrays."""
    with no_grad():
        if isinstance(model, Student):
            return [model.model(IDS).data, *(m.data for m in model.maps)]
        if isinstance(model, Probe):
            return [model(Tensor(np.linspace(-1, 1, 8).reshape(2, 4))).data]
        if isinstance(model, LinearChain):
            return [p.data for p in model.parameters()]
        if isinstance(model, (GistCompressor, AutoCompressor, SoftContext)):
            return [model.model(IDS).data, *(p.data for p in model.parameters())]
        if isinstance(model, ManyHeads):
            return [each(IDS).data for each in model.classifiers]
        if isinstance(model, (SpanPredictor, TokenClassifier)):
            return [model(WORDS).data, *(p.data for p in model.parameters()[-5:])]
        two = hasattr(model, "decode") or hasattr(getattr(model, "model", None), "decode")
        said = model(IDS, IDS[:, :2]) if two else model(IDS)
    return [part.data for part in (said if isinstance(said, (tuple, list)) else [said])]


def assert_same(model, expected):
    for a, b in zip(answers(model), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def other_weights(name):
    """The model changed alike, over another base and with another start."""
    return trained(name, seed=1)


@pytest.mark.parametrize("name", MADE)
def test_a_state_dict_makes_a_model_that_was_changed_alike_the_same(name, tmp_path):
    model, other = trained(name), other_weights(name)
    expected = answers(model)
    assert any((a != b).any() for a, b in zip(answers(other), expected)), "the answers tell nothing"
    write_safetensors(tmp_path / "model.safetensors", model.state_dict())
    saved = read_safetensors(tmp_path / "model.safetensors")
    other.load_state_dict({key: np.array(saved[key]) for key in saved})
    assert_same(other, expected)


@pytest.mark.parametrize("name", MADE)
def test_what_was_trained_is_enough_over_the_same_base(name, tmp_path):
    model, fresh = trained(name), MADE[name](0).eval()
    save_trained(model, tmp_path / "trained.safetensors")
    read_trained(fresh, tmp_path / "trained.safetensors")
    assert_same(fresh, answers(model))


def trainer_of(model):
    flat = FlatParameters(trainable(model))
    rows = np.array([[1, 5, 2, 7], [3, 3, 9, 0]])
    return Trainer(model, CausalLM(), AdamW(flat), lambda step, a, b: rows[a:b], 2, 1e-2)


@pytest.mark.parametrize(
    "name",
    [
        "lora",
        "lora with dropout",
        "lora of a quantized base",
        "ia3",
        "houlsby",
        "keys and values",
        "states",
        "prompt",
        "biases alone",
        "pruned",
        "by movement",
        "rounded",
    ],
)
def test_a_trainer_goes_on_from_its_state_as_if_it_had_never_stopped(name):
    whole, first, again = (trainer_of(trained(name)) for _ in range(3))
    again.model.load_state_dict(other_weights(name).state_dict())
    whole.run(4)
    first.run(2)
    arrays, state = first.state()
    again.load_state(arrays, json.loads(json.dumps(state)))
    again.run(4)
    assert_same(again.model.eval(), answers(whole.model.eval()))


def test_every_module_of_fine_tuning_is_among_them():
    for found in pkgutil.walk_packages(tinylm.finetune.__path__, "tinylm.finetune."):
        importlib.import_module(found.name)
    here = {type(part) for make in MADE.values() for part in make(0).modules()}
    waiting, theirs = [Module], set()
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        waiting += subclasses
        theirs |= {
            each
            for each in subclasses
            if each.__module__.startswith("tinylm.finetune.")
            and not each.__module__.endswith(".cases")
        }
    assert not theirs - here, f"add to MADE: {sorted(each.__name__ for each in theirs - here)}"


MERGEABLE = ["lora", "lora of queries", "ia3", "lora of an encoder", "ia3 of an encoder-decoder"]


@pytest.mark.parametrize("name", MERGEABLE)
def test_merged_it_refuses_and_unmerged_or_baked_it_is_saved(name, tmp_path):
    model, state = trained(name), trained(name).state_dict()
    expected = answers(model)
    merge(model)
    for refused in (
        model.state_dict,
        lambda: model.load_state_dict(state),
        lambda: trained_state(model),
        lambda: load_trained(model, {}),
        lambda: save_trained(model, tmp_path / "file"),
    ):
        with pytest.raises(CheckpointError, match="unmerge|bake"):
            refused()
    assert not (tmp_path / "file").exists()
    unmerge(model)
    assert_same(model, expected)
    fresh = other_weights(name)
    fresh.load_state_dict(model.state_dict())
    assert_same(fresh, expected)
    merged = answers(bake(model))
    plain = bake(other_weights(name))
    plain.load_state_dict(model.state_dict())
    assert_same(plain, merged)


@pytest.mark.parametrize(
    "name, bake_it",
    [
        ("pruned", reweight.bake),
        ("by movement", reweight.bake),
        ("rounded", reweight.bake),
        ("layers dropped", without_layer_drop),
        ("houlsby", None),
    ],
)
def test_a_changed_model_and_a_plain_one_are_not_taken_for_each_other(name, bake_it):
    model, plain = trained(name), decoder(1)
    for one, other in (model, plain), (plain, model):
        with pytest.raises(CheckpointError, match="missing|unknown"):
            one.load_state_dict(other.state_dict())
    if bake_it is not None:
        baked = bake_it(model)
        plain.load_state_dict(baked.state_dict())
        assert_same(plain, answers(baked))


@pytest.mark.parametrize(
    "here, there",
    [
        (lambda: rounded(0), lambda: rounded(0, bits=5)),
        (lambda: rounded(0), lambda: rounded(0, 4, 6)),
        (lambda: rounded(0), lambda: rounded(0, make=quantize.asymmetric)),
        (lambda: rounded(0, 4, 6), lambda: rounded(0, 4, 7)),
        (
            lambda: lora(decoder(0), "qkv", parts="q", r=2),
            lambda: lora(decoder(0), "qkv", parts="k", r=2),
        ),
        (lambda: hybrid(0), lambda: hybrid(0, (4, 3))),
        (lambda: hybrid(0), lambda: hybrid(0, (4,))),
        (lambda: shorter(0), lambda: shorter(0, None)),
        (lambda: shorter(0), lambda: shorter(0, lambda T: [max(T // 3, 1)])),
        (lambda: quantized(0, "Q4_0"), lambda: quantized(0, "Q4_1")),
        (lambda: quantized(0, "Q4_0"), lambda: quantized(0, "Q8_0")),
    ],
)
def test_models_changed_in_another_way_are_refused_and_stay_as_they_were(here, there):
    model, state = here().eval(), there().state_dict()
    before = answers(model)
    with pytest.raises(CheckpointError, match="another|missing|unknown"):
        model.load_state_dict(state)
    assert_same(model, before)


def test_scales_sparsities_and_masks_come_from_what_is_saved():
    for here, there in (
        (lora(decoder(0), r=2, alpha=4), lora(decoder(1), r=2, alpha=32)),
        (movement(decoder(0), 0.7), movement(decoder(1), 0.2)),
        (pruned(0, 0.7), pruned(1, 0.2)),
    ):
        for p in here.parameters():
            p.assign_(p.data + 0.1)
        there.load_state_dict(here.state_dict())
        assert_same(there, answers(here))


def test_a_run_is_not_written_of_a_model_that_could_not_be_opened(tmp_path):
    for model in lora(decoder(), r=2), pruned(0), houlsby(decoder(), 2), rounded(0):
        with pytest.raises(CheckpointError, match="no plain GPT.*bake"):
            save_tuned(tmp_path / "run", model, ByteTokenizer())
    assert not (tmp_path / "run").exists()


def test_what_was_saved_without_its_settings_is_refused_with_the_way_to_go_on():
    model = lora(decoder(), r=2)
    state = trained_state(model)
    old = {name: array for name, array in state.items() if not name.endswith(("scale", "columns"))}
    with pytest.raises(CheckpointError, match="not the settings.*older versions: add those"):
        load_trained(model, old)
    load_trained(model, {**trained_state(model), **old})


@pytest.mark.parametrize(
    "change",
    [
        lambda model: lora(model, r=2),
        lambda model: merge(lora(model, r=2)),
        lambda model: ia3(model),
        lambda model: houlsby(model, 2),
        lambda model: with_layer_drop(model, 0.2),
        lambda model: movement(model, 0.5),
        lambda model: hidden_prefix(model, 2),
        lambda model: quantize.quantization_aware(model, quantize.symmetric),
        lambda model: [prune(model, 0.5), model][1],
    ],
)
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_published_layouts_are_written_of_plain_models_alone(kind, change, tmp_path):
    folder = tmp_path / "out"
    if kind == "decoder":
        model = GPT(decoders.tiny("llama3-8b"))
        write = functools.partial(save_pretrained, model, folder)
    else:
        model = encoders.build(encoders.tiny("bert-base-uncased"))
        write = functools.partial(save_pretrained, model, folder, described={"model_type": "bert"})
    write()
    shutil.rmtree(folder)
    change(model)
    with pytest.raises(CheckpointError, match="bake|unmerge"):
        write()
    assert not folder.exists()
