"""What generation does unless told otherwise: the defaults, and records that cannot be changed."""

import dataclasses
import importlib
import inspect
import math
import pkgutil

import numpy as np
import pytest

import tinylm.generate
from tinylm.generate import (
    RAG,
    ClusteredIndex,
    EnumerableLM,
    FastDecoder,
    InvertedIndex,
    KeyValueCache,
    ModelLM,
    beam_search,
    generate,
    generate_text,
    rescore_nbest,
    stream_text,
)
from tinylm.generate.measure.foresight import LinearProbe
from tinylm.generate.retrieval.knn_lm import KNNLM, ClusteredDatastore, knn_probabilities
from tinylm.generate.retrieval.neighbors import k_means
from tinylm.tokenizers import CharTokenizer

# Robertson and Zaragoza 2009 give k1 between 1.2 and 2 and b from 0.5 to 0.8; lambda = 0.25 is that
# of Khandelwal et al. 2020 on Wikitext-103; beams of 4 are Wu et al. 2016 and Vaswani et al. 2017.
# The others leave out what they set: no reward, no room, a temperature of 1, a single piece.
DEFAULTS = [
    (InvertedIndex, {"k1": 1.2, "b": 0.75}),
    (KNNLM, {"k": 8, "share": 0.25, "temperature": 1.0, "leave_out": False}),
    (knn_probabilities, {"temperature": 1.0}),
    (RAG, {"k": 1, "expand": None, "bos": None}),
    (ClusteredIndex, {"seed": 0, "metric": "l2"}),
    (ClusteredIndex.search, {"probes": 1}),
    (ClusteredDatastore, {"seed": 0}),
    (k_means, {"seed": 0, "steps": 25}),
    (beam_search, {"width": 4, "n_best": 1, "length_penalty": None, "stopping": "bound"}),
    (rescore_nbest, {"reward": 0.0}),
    (LinearProbe, {"ridge": 1e-6}),
    (KeyValueCache, {"dtype": np.float32, "capacity": 0, "padding": None}),
    (ModelLM.new_cache, {"capacity": 0}),
    (FastDecoder.new_cache, {"batch": 1}),
    (EnumerableLM.random, {"seed": 0, "spread": 1.0}),
]


@pytest.mark.parametrize(
    "made, expected", DEFAULTS, ids=lambda value: getattr(value, "__qualname__", "")
)
def test_defaults_are_those_of_the_papers(made, expected):
    parameters = inspect.signature(made).parameters
    assert {name: parameters[name].default for name in expected} == expected


def test_without_a_seed_the_seed_is_0(gpt):
    model, tokenizer = gpt(), CharTokenizer("abcde")
    assert list(generate(model, [0], 30)) == list(generate(model, [0], 30, seed=0))
    assert "".join(stream_text(model, tokenizer, "a", 30)) == generate_text(
        model, tokenizer, "a", 30, seed=0
    )


def test_x_0_is_token_0_unless_given():
    lm = EnumerableLM.random(3, 2, seed=1)
    first = lm.tables[0]
    assert math.isclose(lm.probability([2]), first[0, 2], rel_tol=1e-15)
    strings, probabilities = lm.all_strings()
    # The strings that begin with 2 have together the probability of that first token.
    assert math.isclose(probabilities[strings[:, 0] == 2].sum(), first[0, 2], rel_tol=1e-12)
    assert math.isclose(lm.expectation(lambda y: y[0] == 2), first[0, 2], rel_tol=1e-12)


def _dataclasses():
    """Every dataclass defined in a module of tinylm.generate."""
    found = set()
    for info in pkgutil.walk_packages(tinylm.generate.__path__, "tinylm.generate."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if dataclasses.is_dataclass(value) and value.__module__ == module.__name__:
                found.add(value)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


@pytest.mark.parametrize("cls", _dataclasses(), ids=lambda cls: cls.__name__)
def test_results_and_options_cannot_be_changed_afterwards(cls):
    some = object.__new__(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(some, dataclasses.fields(cls)[0].name, 1)
