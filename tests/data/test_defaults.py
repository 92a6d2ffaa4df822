"""What the tools for data do unless told otherwise, and records that cannot be changed."""

import dataclasses
import importlib
import inspect
import math
import pkgutil

import pytest

import tinylm.data
from tinylm.data.batches.serialize import number_tokens
from tinylm.data.clean import cleaning, quality, repetition
from tinylm.data.clean.classifier import QualityClassifier
from tinylm.data.clean.contamination import Contamination
from tinylm.data.clean.dedup import NearDuplicates
from tinylm.data.clean.language_id import LanguageId
from tinylm.data.clean.ngram import CharNGram
from tinylm.data.clean.pipeline import Pipeline, standard_steps
from tinylm.data.clean.toxicity import WordList
from tinylm.data.measure.collapse import generations
from tinylm.data.measure.memorization import canaries
from tinylm.data.mix.instruction_mixture import mix_datasets, mix_tasks, some_tasks, task_weights
from tinylm.data.mix.mixture import MixtureSampler, mixture_weights
from tinylm.data.read.shards import Shards
from tinylm.data.synthetic import long_kinds, long_tasks
from tinylm.data.synthetic.junk import labelled_corpus
from tinylm.data.synthetic.told_facts import FRAMES, TUNE, World

# From the papers: 8 symbols of length 10 (Arjovsky et al. 2016), overlaps of 13 words and alpha = 9
# (Brown et al. 2020), near duplicates by 5-grams of words (Lee et al. 2022). Mixtures go by size
# (T = 1), nothing is noisy or left out unless asked for, and every drawing begins with seed 0.
DEFAULTS = [
    (long_tasks.copy_memory, {"symbols": 8, "length": 10, "seed": 0}),
    (long_tasks.copy_memory_baseline, {"symbols": 8, "length": 10}),
    (long_tasks.selective_copy, {"symbols": 8, "length": 10, "seed": 0}),
    (long_tasks.pass_key, {"digits": 3, "seed": 0}),
    (long_tasks.gist, {"symbols": 4, "favor": 0.5, "seed": 0}),
    (long_tasks.repeated_passages, {"seed": 0}),
    (long_kinds.summarize, {"words": 8, "seed": 0}),
    (long_kinds.expand, {"words": 8, "seed": 0}),
    (long_kinds.translate, {"words": 8, "seed": 0}),
    (World.text, {"words": (0, 1, 2), "names": slice(0, 12)}),
    (World.instructions, {"frames": FRAMES[:3], "words": (0, 1), "noise": 0.0, "names": TUNE}),
    (labelled_corpus, {"pages": 200, "junk": 0.5, "seed": 0}),
    (generations, {"real": 0.0}),
    (canaries, {"digits": 6, "seed": 0}),
    (mixture_weights, {"temperature": 1.0}),
    (MixtureSampler, {"temperature": 1.0, "seed": 0}),
    (MixtureSampler.mix, {"first": 0}),
    (mix_datasets, {"seed": 0}),
    (mix_tasks, {"temperature": 1.0, "limit": math.inf, "seed": 0}),
    (some_tasks, {"seed": 0}),
    (task_weights, {"temperature": 1.0, "limit": math.inf}),
    (Shards.stream, {"seed": 0, "buffer": 0, "rank": 0, "size": 1, "skip": 0}),
    (number_tokens, {"squeezed": False}),
    (Contamination, {"n": 13, "most": 0.0}),
    (NearDuplicates, {"similarity": 0.8, "length": 128, "n": 5, "recall": 0.95, "seed": 0}),
    (QualityClassifier, {"size": 65536}),
    (QualityClassifier.fit, {"epochs": 10, "lr": 2.0, "seed": 0}),
    (QualityClassifier.keeps, {"least": 0.5}),
    (QualityClassifier.keeps_some, {"alpha": 9.0, "seed": 0}),
    (LanguageId, {"add": 0.5, "most": 1000}),
    (LanguageId.keeps, {"least": 0.5}),
    (CharNGram, {"order": 5, "alphabet": 65536}),
    # Raffel et al. 2020, section 2.2, and Rae et al. 2021, appendix A.1.1
    (cleaning.sentence_lines, {"least": 5}),
    (cleaning.at_least_sentences, {"least": 3}),
    (quality.word_count, {"least": 50, "most": 100_000}),
    (quality.mean_word_length, {"least": 3, "most": 10}),
    (quality.few_symbols, {"most": 0.1}),
    (quality.few_bullets, {"most": 0.9}),
    (quality.few_ellipses, {"most": 0.3}),
    (quality.alphabetic_words, {"least": 0.8}),
    (quality.has_stop_words, {"least": 2, "stop_words": quality.STOP_WORDS}),
    (quality.gopher_quality, {"least_words": 50}),
    (repetition.few_repeated_lines, {"items": 0.3, "characters": 0.2}),
    (repetition.few_repeated_paragraphs, {"items": 0.3, "characters": 0.2}),
    (repetition.few_repeated_ngrams, {"top": None, "repeated": None}),
    (Pipeline, {"show": 0}),
    (standard_steps, {"min_words": 50, "similarity": 0.8, "toxic_most": 0.01}),
    (WordList.clean, {"most": 0.01}),
]


@pytest.mark.parametrize(
    "made, expected", DEFAULTS, ids=lambda value: getattr(value, "__qualname__", "")
)
def test_defaults_are_those_of_the_papers(made, expected):
    parameters = inspect.signature(made).parameters
    assert {name: parameters[name].default for name in expected} == expected


def _dataclasses():
    """Every dataclass defined in a module of tinylm.data."""
    found = set()
    for info in pkgutil.walk_packages(tinylm.data.__path__, "tinylm.data."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if dataclasses.is_dataclass(value) and value.__module__ == module.__name__:
                found.add(value)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


# These three are filled as they go: the steps' counts, and what is found on the way.
GROWING = {"Step", "Found", "_Index"}


@pytest.mark.parametrize("cls", _dataclasses(), ids=lambda cls: cls.__name__)
def test_what_was_read_cannot_be_changed_afterwards(cls):
    if cls.__name__ in GROWING:
        return
    some = object.__new__(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(some, dataclasses.fields(cls)[0].name, 1)
