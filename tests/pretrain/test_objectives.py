"""What every objective has in common: pure batches, rows on their own, losses that can be cut and
put together.
"""

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import tinylm as tl
import tinylm.pretrain
from tests.pretrain.tiny import made, model_for, text_for
from tinylm.autograd import log_softmax
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import MORE, SPECIAL
from tinylm.pretrain.denoising import noise
from tinylm.pretrain.denoising.sentinels import Sentinels
from tinylm.pretrain.denoising.seq2seq import Denoise, Fragment, Masked, Seq2SeqLM
from tinylm.pretrain.discriminative.contrastive import SentenceEmbedding
from tinylm.pretrain.discriminative.pairs import NextSentence, SentenceOrder, SentencePairs
from tinylm.pretrain.discriminative.replaced import ReplacedTokens
from tinylm.pretrain.early.co_training import co_training
from tinylm.pretrain.early.decision_list import decision_list, yarowsky
from tinylm.pretrain.early.layerwise import (
    Autoencoder,
    StackedAutoencoder,
    minimize,
    pretrain_layers,
)
from tinylm.pretrain.early.naive_bayes import naive_bayes
from tinylm.pretrain.early.self_training import self_training
from tinylm.pretrain.language.causal import CausalLM
from tinylm.pretrain.language.fim import FillInMiddle
from tinylm.pretrain.language.multi_token import MultiTokenLM
from tinylm.pretrain.language.prefix import PrefixLM, PrefixTask
from tinylm.pretrain.languages import CodeSwitched, TranslationLM
from tinylm.pretrain.masked.choose import WholeWords, choose_tokens
from tinylm.pretrain.masked.masked import MaskedLM, StaticMasks, corrupt_chosen
from tinylm.pretrain.masked.permuted import PermutedLM
from tinylm.pretrain.masked.span_boundary import SpanBoundaryLM, spanbert
from tinylm.pretrain.masked.spans import GeometricSpans
from tinylm.pretrain.objectives import OBJECTIVES, TASK_FAMILIES, objective
from tinylm.train.trainer import Trainer

every = pytest.mark.parametrize("name", OBJECTIVES)


def fields(batch):
    return {
        f.name: getattr(batch, f.name)
        for f in dataclasses.fields(batch)
        if getattr(batch, f.name) is not None
    }


@every
def test_the_same_seed_gives_the_same_bits(name):
    one, two = (fields(made(name).make_batch(text_for(name), Random(3, "x"))) for _ in range(2))
    assert one.keys() == two.keys() and all(np.array_equal(one[field], two[field]) for field in one)


@every
def test_a_worker_draws_its_rows_of_the_whole_batch(name):
    whole = fields(made(name).make_batch(text_for(name), Random(3, "x")))
    for row in range(2):
        rng = Random(3, "x")
        with rng.rows(row, 2):
            alone = fields(made(name).make_batch(text_for(name)[row : row + 1], rng))
        for field, values in alone.items():
            width = values.shape[1:2]  # a worker pads to its own longest row
            cut = whole[field][row, : width[0]] if width else whole[field][row]
            np.testing.assert_array_equal(
                cut[..., : values.shape[-1]] if values.ndim > 2 else cut, values[0]
            )


@every
def test_nothing_is_written_into_the_text(name):
    text = text_for(name)
    before = [np.array(part) for row in text for part in (row if name == "translation" else [row])]
    made(name).make_batch(text, Random(0))
    after = [np.array(part) for row in text for part in (row if name == "translation" else [row])]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


@every
def test_a_batch_trains_its_model(name):
    """Real models take these batches, and a step against the gradient lowers the loss."""
    model, batch = model_for(name), made(name).make_batch(text_for(name), Random(1))
    loss, metrics = made(name).loss(model, batch)
    assert loss.shape == () and np.isfinite(loss.item()) and metrics["tokens"] == batch.tokens > 0
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-12)
    parameters = model.parameters()
    gradients = [g for g in tl.grad(loss, parameters)]
    square = sum((g.numpy() ** 2).sum() for g in gradients if g is not None)
    step = 1e-3 / np.sqrt(square)
    for parameter, g in zip(parameters, gradients):
        if g is not None:
            parameter.data[...] -= step * g.numpy()
    # The length of the step is 1e-3, so the loss falls by 1e-3 |g| up to the second order.
    assert made(name).loss(model, batch)[0].item() < loss.item()


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "contrastive"])
def test_micro_batches_add_up_to_the_batch(name):
    """sum_k (n_k / n) M_k = M, as train/step.py needs it; contrastive losses say themselves that
    they do not.
    """
    model, batch = model_for(name), made(name).make_batch(text_for(name), Random(2))
    whole, parts = made(name).loss(model, batch)[0].item(), [batch.rows(0, 1), batch.rows(1, 2)]
    added = sum(
        part.tokens / batch.tokens * made(name).loss(model, part)[0].item() for part in parts
    )
    assert added == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", ["masked", "bert", "replaced", "sentinels", "span-boundary"])
def test_the_trainer_trains_it_in_any_cut(name):
    """Whole batches or one row at a time: the same parameters after three steps, dropout included."""
    trained = []
    for micro_batch in (0, 1):
        model = model_for(name)
        optimizer = AdamW(FlatParameters(model.named_parameters()), lr=1e-2)
        trainer = Trainer(
            model,
            made(name),
            optimizer,
            lambda step, start, stop: text_for(name)[start:stop],
            2,
            1e-2,
            micro_batch=micro_batch,
        )
        assert trainer.run(3)
        trained.append(np.concatenate([p.data.ravel() for p in model.parameters()]))
    # AdamW divides by the root of tiny second moments: rounding of 1e-16 in a gradient grows where
    # that gradient is 0.
    np.testing.assert_allclose(trained[0], trained[1], rtol=0, atol=1e-6)
    assert (
        np.abs(
            trained[0] - np.concatenate([p.data.ravel() for p in model_for(name).parameters()])
        ).max()
        > 1e-3
    )


@every
def test_it_runs_on_every_device(name, device):
    model, batch = model_for(name), made(name).make_batch(text_for(name), Random(2))
    here = made(name).loss(model, batch)[0].item()
    there = made(name).loss(model.to(device), batch.to(device))[0].item()
    assert there == pytest.approx(here, rel=1e-10)  # the same sums, in another order


ENCODERS = [
    name
    for name, kind in OBJECTIVES.items()
    if kind.trains[0] == "encoder" and name != "contrastive"
]


@pytest.mark.parametrize("name", ENCODERS)
def test_special_tokens_are_never_predicted_by_an_encoder(name):
    for seed in range(20):
        batch = made(name).make_batch(text_for(name), Random(seed))
        assert not SPECIAL.among(batch.targets[batch.targets != IGNORE]).any()


def test_every_objective_has_a_family_and_an_architecture():
    assert {kind.family for kind in OBJECTIVES.values()} == set(TASK_FAMILIES) and len(
        TASK_FAMILIES
    ) == 5
    assert all(
        set(kind.trains) <= {"encoder", "decoder", "seq2seq"} and kind.trains
        for kind in OBJECTIVES.values()
    )


# The class of every objective, and the part that tells it apart; the families of Table 1.1.
MADE = {
    "causal": (CausalLM, "language modeling"),
    "prefix": (PrefixLM, "language modeling"),
    "prefix-seq2seq": ((Seq2SeqLM, PrefixTask), "language modeling"),
    "fim": (FillInMiddle, "language modeling"),
    "multi-token": (MultiTokenLM, "language modeling"),
    "masked": (MaskedLM, "masked LM"),
    "whole-word": ((MaskedLM, WholeWords), "masked LM"),
    "spans": ((MaskedLM, GeometricSpans), "masked LM"),
    "span-boundary": (SpanBoundaryLM, "masked LM"),
    "mass": ((Seq2SeqLM, Fragment), "masked LM"),
    "bert-style": ((Seq2SeqLM, Masked), "masked LM"),
    "translation": (TranslationLM, "masked LM"),
    "code-switching": (CodeSwitched, "masked LM"),
    "permuted": (PermutedLM, "permuted LM"),
    "next-sentence": ((SentencePairs, NextSentence), "discriminative training"),
    "sentence-order": ((SentencePairs, SentenceOrder), "discriminative training"),
    "bert": ((SentencePairs, NextSentence), "masked LM"),
    "replaced": (ReplacedTokens, "discriminative training"),
    "contrastive": (SentenceEmbedding, "discriminative training"),
    **{
        name: ((Seq2SeqLM, Denoise), "denoising")
        for name in (
            "token-masking",
            "token-deletion",
            "text-infilling",
            "sentence-permutation",
            "document-rotation",
            "token-permutation",
            "token-replacement",
            "bart",
        )
    },
    "sentinels": ((Seq2SeqLM, Sentinels), "denoising"),
    "ul2": (Seq2SeqLM, "denoising"),
}


@every
def test_a_name_makes_its_own_objective_of_its_own_family(name):
    wanted, family = MADE[name]
    assert OBJECTIVES[name].family == family
    found = made(name)
    if isinstance(wanted, tuple):  # and the part in it that tells it apart
        wanted, part = wanted
        parts = [getattr(found, field, None) for field in ("task", "choose", "pairs")]
        assert any(type(one) is part for one in parts), parts
    assert type(found) is wanted
    if name in ("bert", "next-sentence", "sentence-order"):
        assert (type(found.masked) is MaskedLM) == (name == "bert")
    if name == "masked":
        assert found.choose is choose_tokens


@every
def test_an_objective_and_its_parts_cannot_be_changed_after_they_were_made(name):
    found = made(name)
    parts = [getattr(found, field, None) for field in ("task", "pairs", "masked")]
    parts += [getattr(part, "noise", None) for part in parts]
    for one in [found, *(part for part in parts if dataclasses.is_dataclass(part))]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.rate = 0.5


def test_what_is_missing_is_said():
    with pytest.raises(ConfigError, match="did you mean masked"):
        objective("maskd", SPECIAL)
    with pytest.raises(ConfigError, match="needs corpus: the ids of a text"):
        objective("bert", SPECIAL)
    assert objective("bert", SPECIAL, **MORE)


def test_a_part_of_a_name_gets_the_three_nearest_and_anything_else_the_whole_list():
    with pytest.raises(ConfigError) as told:
        objective("token", SPECIAL)  # of five corruptions of tokens
    three = "multi-token or token-masking or token-deletion"
    assert str(told.value) == f"no objective 'token': did you mean {three}?"
    with pytest.raises(ConfigError) as told:
        objective("xyz", SPECIAL)
    assert str(told.value) == f"no objective 'xyz': there are {', '.join(OBJECTIVES)}"


def test_the_reader_of_the_gradient_checks_gives_probabilities():
    from tinylm.pretrain.cases import TEXT, Reader

    logits = Reader(np.random.default_rng(0))(TEXT)
    np.testing.assert_allclose(np.exp(log_softmax(logits).numpy()).sum(-1), 1, rtol=1e-12)


def _dataclasses():
    """Every dataclass that a module of pretrain/ defines."""
    found = set()
    for info in pkgutil.walk_packages(tinylm.pretrain.__path__, "tinylm.pretrain."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            own = getattr(value, "__module__", "") == info.name
            if isinstance(value, type) and own and dataclasses.is_dataclass(value):
                found.add(value)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


@pytest.mark.parametrize("cls", _dataclasses(), ids=lambda cls: cls.__name__)
def test_objectives_and_batches_cannot_be_changed_after_their_checks(cls):
    some = object.__new__(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(some, dataclasses.fields(cls)[0].name if dataclasses.fields(cls) else "new", 1)


# What the papers use, by argument: Devlin et al. 2019 (masked), Joshi et al. 2020 (spans), Lewis et
# al. 2020 (infilling), Raffel et al. 2020 (sentinels), Song et al. 2019 (MASS), Clark et al. 2020.
DEFAULTS = [
    (MaskedLM, {"rate": 0.15, "shares": (0.8, 0.1, 0.1)}),
    (corrupt_chosen, {"shares": (0.8, 0.1, 0.1)}),
    (choose_tokens, {"rate": 0.15}),
    (GeometricSpans, {"p": 0.2, "longest": 10}),
    (GeometricSpans.__call__, {"rate": 0.15}),
    (WholeWords.__call__, {"rate": 0.15}),
    (StaticMasks, {"seed": 0}),
    (spanbert, {"rate": 0.15}),
    (SpanBoundaryLM, {"longest": 10}),
    (noise.TokenMasking, {"rate": 0.15}),
    (noise.TokenDeletion, {"rate": 0.15}),
    (noise.TokenReplacement, {"rate": 0.15}),
    (noise.TextInfilling, {"rate": 0.3, "mean": 3.0}),
    (Sentinels, {"rate": 0.15, "mean": 3.0, "lengths": "partition", "close": True, "mode": None}),
    (Masked, {"rate": 0.15}),
    (Fragment, {"rate": 0.5}),
    (PrefixLM, {"shortest": 0.0, "longest": 1.0}),
    (PrefixTask, {"shortest": 0.0, "longest": 1.0}),
    (PermutedLM, {"share": 1.0}),
    (ReplacedTokens, {"weight": 50.0, "masked": None}),
    (CodeSwitched, {"rate": 0.2}),
    (FillInMiddle, {"rate": 0.9, "suffix_first": 0.5}),
    (SentenceEmbedding, {"temperature": 0.05}),
    # Blum & Mitchell 1998: 30 rounds, a pool of 75; Laplace adds 1 to every count.
    (co_training, {"per_class": 1, "rounds": 30, "pool": 75, "seed": 0}),
    (naive_bayes, {"smoothing": 1.0}),
    (minimize, {"batch_size": 32, "lr": 0.01, "seed": 0}),
    (pretrain_layers, {"batch_size": 32, "lr": 0.01, "seed": 0}),
    (Autoencoder, {"tied": True, "noise": 0.0}),
    (StackedAutoencoder, {"seed": 0}),
    (self_training, {"threshold": 0.9, "rounds": 10}),
    (decision_list, {"smoothing": 0.1}),
    (yarowsky, {"discourses": None, "threshold": 1.0, "rounds": 20, "smoothing": 0.1}),
]


@pytest.mark.parametrize(
    "made, expected", DEFAULTS, ids=lambda value: getattr(value, "__qualname__", "")
)
def test_defaults_are_those_of_the_papers(made, expected):
    parameters = inspect.signature(made).parameters
    assert {name: parameters[name].default for name in expected} == expected
