"""What is named elsewhere than in torch says where; what it says is there."""

import importlib
import re

import numpy as np
import pytest

import tinylm as tl
from tinylm import nn, optim
from tinylm.autograd.engine import habits

TABLES = [habits.TENSOR, habits.TOP, habits.NN, habits.MODULE, habits.OPTIM, habits.OPTIMIZERS]
HINTS = sorted({hint for table in TABLES for hint in table.values()})
X = np.arange(6.0, dtype=np.float32).reshape(2, 3)
THINGS = {
    "x": tl.Tensor(X),
    "model": nn.Linear(3, 4),
    "optimizer": optim.AdamW(nn.Linear(3, 4).parameters()),
    "optim": optim,
    "nn": nn,
    "tl": tl,
    "np": np,
    "rng": tl.Random(0),
}


def resolve(dotted):
    """The thing that a dotted name means, importing modules on the way."""
    first, *rest = dotted.split(".")
    thing = THINGS[first] if first in THINGS else importlib.import_module(first)
    for name in rest:
        if not hasattr(thing, name) and hasattr(thing, "__path__"):
            importlib.import_module(f"{thing.__name__}.{name}")
        thing = getattr(thing, name)
    return thing


@pytest.mark.parametrize("hint", HINTS)
def test_every_name_in_a_hint_is_there(hint):
    for dotted in re.findall(r"\b(?:tl|np|nn|x|model|optim|optimizer|tinylm)(?:\.\w+)+", hint):
        resolve(dotted)


TAKING = {"axis": tl.sum, "keepdims": tl.sum, "axis1": tl.swapaxes, "axis2": tl.swapaxes}
TAKING |= {"min": tl.clip, "max": tl.clip, "ddof": tl.var}


@pytest.mark.parametrize("keyword, ours", habits.KEYWORDS.items())
def test_no_operation_has_a_keyword_that_is_pointed_elsewhere(keyword, ours):
    operation = TAKING[ours]
    with pytest.raises(TypeError, match=rf"takes no {keyword}=: use \w+\(..., {ours}=1"):
        operation(THINGS["x"], **{keyword: 1})


@pytest.mark.parametrize("options", [{"axis": 0}, {"dim": 1}, {"no": 1}])
def test_an_operation_without_options_names_its_arguments(options):
    (name,) = options
    with pytest.raises(TypeError, match=f"^sin takes no {name}=: its arguments are a$"):
        tl.sin(THINGS["x"], **options)


def test_no_name_that_is_pointed_elsewhere_exists():
    for table, thing in [
        (habits.TENSOR, THINGS["x"]),
        (habits.TOP, tl),
        (habits.NN, nn),
        (habits.MODULE, THINGS["model"]),
        (habits.OPTIM, THINGS["optimizer"]),
    ]:
        assert [name for name in table if hasattr(thing, name)] == []
    assert [name for name in [*habits.MAKERS, *habits.DTYPES] if hasattr(tl, name)] == []


def test_a_function_is_named_where_a_method_is_expected():
    with pytest.raises(AttributeError, match=r"no attribute 'softmax': use tl.softmax\(x, ...\)"):
        THINGS["x"].softmax(-1)
    with pytest.raises(AttributeError, match=r"use x.numpy\(\).nbytes, of the values"):
        THINGS["x"].nbytes  # noqa: B018
    with pytest.raises(AttributeError, match=r"use x.assign_\(values\)"):
        THINGS["x"].mul_(2)
    with pytest.raises(AttributeError, match="^a Tensor has no attribute 'frobnicate'$"):
        THINGS["x"].frobnicate  # noqa: B018


def test_a_missing_name_still_answers_hasattr_and_getattr():
    x = THINGS["x"]
    assert not hasattr(x, "cuda") and getattr(x, "cuda", None) is None
    with pytest.raises(AttributeError) as caught:
        x.cuda  # noqa: B018
    assert caught.value.name == "cuda" and caught.value.obj is x
