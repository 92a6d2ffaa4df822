"""What holds where nothing is said: defaults and their sources, seeds of 0, unchangeable tasks."""

import dataclasses
import importlib
import inspect
import pkgutil

import pytest

import tinylm.finetune
from tinylm.finetune.compress import (
    distill,
    distill_losses,
    early_exit,
    length_adaptive,
    prune,
    quantize,
    structured,
)
from tinylm.finetune.context import auto_compressor, sequence_distillation
from tinylm.finetune.continual import anchors, many_tasks
from tinylm.finetune.divergence import kl, reverse_kl
from tinylm.finetune.early_stopping import EarlyStopping
from tinylm.finetune.fitting import answers, evaluate, new_trainer
from tinylm.finetune.instruct import conversations, instructions, saved
from tinylm.finetune.metrics import f1
from tinylm.finetune.peft import adapters, counts, lora, soft_prompts
from tinylm.finetune.search import grid_search
from tinylm.finetune.settings import UpdateSettings
from tinylm.finetune.tasks import by_word, crf, heads, spans, tagging, text_to_text, word_forms

# Devlin et al. 2019, appendix A.3 and code: batches of 16, 3 epochs, a decay of 0.01, a warm-up
# over a tenth of the steps, gradients clipped at 1; the rate is one for small models. Sanh et al.
# 2019: temperature 2, teacher and labels alike. Jacob et al. 2018: 8 bits, a scale for each output.
# Kim & Cho 2021: a fifth of the tokens may go. Chevalier et al. 2023: gradients through two
# segments. Hu et al. 2022: rank 8, alpha twice that. Where there are two ways, the plain one is the
# default: answers alone are learnt, tags are independent, nothing is imitated, search is greedy.
DEFAULTS = [
    (
        new_trainer,
        {
            "epochs": 3,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "warmup": 0.1,
            "weight_decay": 0.01,
            "clip": 1.0,
            "micro_batch": 0,
        },
    ),
    (EarlyStopping, {"patience": 2}),
    (grid_search, {"seeds": (0,), "measure": "accuracy"}),
    (kl, {"temperature": 1.0}),
    (reverse_kl, {"temperature": 1.0}),
    (f1, {"positive": 1}),
    (distill_losses.soft_loss, {"temperature": 2.0}),
    (distill_losses.mixed_loss, {"temperature": 2.0, "alpha": 0.5}),
    (distill_losses.relation_loss, {"causal": False}),
    (
        distill.Distillation,
        {"temperature": 2.0, "alpha": 0.5, "beta": 0.0, "gamma": 0.0, "heads": 1},
    ),
    (early_exit.calibrate, {"allowed": 0.0}),
    (early_exit.EarlyExit, {"pool": "first"}),
    (length_adaptive.LengthAdaptive, {"drop": 0.2}),
    (length_adaptive.random_lengths, {"drop": 0.2}),
    (prune.Movement, {"sparsity": 0.0}),
    (prune.gradual_sparsity, {"initial": 0.0}),
    (prune.lottery_ticket, {"rounds": 1}),
    (quantize.symmetric, {"bits": 8, "share": "output"}),
    (quantize.asymmetric, {"bits": 8, "share": "output"}),
    (quantize.round_activations, {"bits": 8}),
    (structured.least_important, {"at_least": 1}),
    (auto_compressor.AutoCompressor, {"mode": "replace", "bptt": 2, "segment": 16}),
    (auto_compressor.AutoCompressor.segments, {"more": 0}),
    (sequence_distillation.hard_targets, {"width": 1}),
    (anchors.moved_apart, {"strength": 1.0}),
    (many_tasks.ManyTasks, {"imitate": 0.0}),
    (many_tasks.ManyTasks.of, {"imitate": 0.0}),
    (conversations.encode_conversation, {"turns": "all", "prompt_turns": 0}),
    (conversations.Encoded.targets, {"whole": False}),
    (instructions.InstructionTuning, {"whole": False, "max_tokens": 32}),
    (instructions.answer_loss, {"batch_size": 16}),
    (saved.save_tuned, {"step": 0}),
    (lora.lora, {"r": 8, "alpha": 16, "dropout": 0.0}),
    (adapters.Adapter, {"activation": "gelu"}),
    (soft_prompts.nearest_words, {"k": 5}),
    (counts.counts, {"r": 8, "n": 8}),
    (crf.viterbi, {"transitions": 0.0, "start": 0.0, "stop": 0.0}),
    (heads.Regressor, {"bounded": True}),
    (spans.SpanPrediction, {"kind": "softmax"}),
    (tagging.Tagging, {"constrained": False}),
    (tagging.TokenClassifier, {"crf": False, "forms": ()}),
    (word_forms.WordForms.of, {"least": 2, "longest": 20}),
    (by_word.NameDictionary, {"share": 0.5, "small": True}),
    (text_to_text.Answering, {"longest": 32, "framed": False}),
]


def _name(value):
    return getattr(value, "__qualname__", "")


@pytest.mark.parametrize("made, expected", DEFAULTS, ids=_name)
def test_defaults_are_those_of_the_papers(made, expected):
    parameters = inspect.signature(made).parameters
    assert {name: parameters[name].default for name in expected} == expected


def _own():
    """Public classes and functions that modules of finetune/ define, and methods of the classes."""
    for info in pkgutil.walk_packages(tinylm.finetune.__path__, "tinylm.finetune."):
        for name, value in vars(importlib.import_module(info.name)).items():
            if getattr(value, "__module__", "") != info.name or name.startswith("_"):
                continue
            yield value
            if isinstance(value, type):
                yield from (method for method in vars(value).values() if callable(method))


def _default(made, argument):
    """The default of an argument; None for what has no such argument, or no signature."""
    try:
        parameters = inspect.signature(made).parameters
    except (TypeError, ValueError):
        return None
    if argument not in parameters or parameters[argument].default is inspect.Parameter.empty:
        return None
    return parameters[argument].default


def test_every_seed_is_0_unless_it_is_given():
    # so that two people who say nothing compute the same; the commands have 1337, as `tinylm train`
    library = [made for made in _own() if "UpdateSettings" not in _name(made)]
    seeds = [_default(made, "seed") for made in library]
    assert _default(UpdateSettings, "seed") == 1337
    assert {seed for seed in seeds if seed is not None} == {0}
    assert sum(seed is not None for seed in seeds) > 20  # heads, samples, orders, prompts


def test_what_needs_no_gradient_is_read_64_examples_at_a_time():
    # one number for all that only evaluate; training has a batch size of its own
    sizes = {_name(made): _default(made, "batch_size") for made in _own()}
    training = {"new_trainer", "answer_loss", "UpdateSettings", "UpdateSettings.__init__"}
    found = {name: n for name, n in sizes.items() if n is not None and name not in training}
    assert set(found.values()) == {64} and {_name(answers), _name(evaluate)} < set(found)


def _dataclasses():
    found = {made for made in _own() if dataclasses.is_dataclass(made)}
    # whose attributes are switched between runs: a weight of its loss, the function of its outputs
    found.remove(distill.Distillation)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


@pytest.mark.parametrize("cls", _dataclasses(), ids=_name)
def test_tasks_and_batches_cannot_be_changed_after_their_checks(cls):
    some, fields = object.__new__(cls), dataclasses.fields(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(some, fields[0].name if fields else "new", 1)
