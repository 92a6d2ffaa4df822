"""Nothing differentiable is without an entry, and every entry reaches what it answers for."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from tinylm import autograd
from tinylm.autograd import registry
from tinylm.autograd.check.differences import Subject
from tinylm.autograd.check.gradcheck import TOLERANCE
from tinylm.autograd.check.mutants import own
from tinylm.autograd.engine import operation, tensor
from tinylm.errors import ConfigError

ENTRIES = registry.load_all()

# Public functions of tinylm.autograd that are no functions of Tensors to differentiate
NOT_DIFFERENTIABLE = {
    "grad": "the differentiation itself",
    "no_grad": "a context",
    "first_order_only": "a context",
    "is_recording": "returns a bool",
    "fused": "makes operations",
    "primitive": "makes operations",
    "checkpoint": "runs a given function; its gradient equality is in test_checkpoint.py",
    "gradcheck": "the check itself",
    "assert_gradients": "the check itself",
    "argmax": "returns integers",
    "argmin": "returns integers",
    "floor": "flat between its steps",
    "ceil": "flat between its steps",
    "round": "flat between its steps",
    "sign": "flat between its steps",
    "count_operations": "a context",
    "find_nonfinite": "a context",
}


def test_every_recorded_operation_has_an_entry_that_answers_for_it():
    covered = {name for entry in ENTRIES.values() for name in entry.covers}
    assert {*own(operation.primitives), *own(operation.fused_operations)} <= covered


def test_every_public_function_has_an_entry():
    public = {
        name
        for name, f in vars(autograd).items()
        if inspect.isfunction(f) and not name.startswith("_")
    }
    missing = public - set(ENTRIES) - set(NOT_DIFFERENTIABLE)
    assert not missing, f"register cases for {sorted(missing)}, or say in this file why not"
    assert set(NOT_DIFFERENTIABLE) <= public, "this list names functions that are gone"


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.covers])
def test_an_entry_runs_the_operations_that_it_answers_for(name):
    entry, ran = ENTRIES[name], set()
    watch = lambda label, *rest: ran.add(label)  # noqa: E731
    tensor.observers.append(watch)
    try:
        for drawn in entry.calls():
            with Subject(entry.function, drawn.args, drawn.options):
                pass
    finally:
        tensor.observers.remove(watch)
    known = {*operation.primitives, *operation.fused_operations}
    assert set(entry.covers) & known <= ran


def test_no_entry_loosens_a_tolerance_beyond_one_in_a_million():
    # the bound that every float64 derivative is held to, whatever its reason
    assert all((entry.tolerance or TOLERANCE["float64"]) <= 1e-6 for entry in ENTRIES.values())


def test_the_same_seed_draws_the_same_calls():
    for entry in ENTRIES.values():
        first, second = (
            Subject(entry.function, c.args, c.options)
            for c in (entry.calls(3)[0], entry.calls(3)[0])
        )
        with first, second:
            np.testing.assert_array_equal(first.values(), second.values())


def test_draws_keep_away_from_kinks():
    for entry in ENTRIES.values():
        for seed in range(20 if entry.avoid else 0):
            assert all(entry.avoid(*c.args, **c.options) >= entry.margin for c in entry.calls(seed))


def test_a_draw_that_cannot_keep_away_is_an_error():
    entry = registry.Entry(
        "always at a kink",
        abs,
        lambda rng: [registry.call(np.zeros(2))],
        avoid=lambda x: np.min(np.abs(x)),
    )
    with pytest.raises(ConfigError, match="1000 draws"):
        entry.calls()


def test_a_name_is_given_once():
    with pytest.raises(ConfigError, match="already an entry named 'softmax'"):
        registry.register("softmax", autograd.softmax, list)


@pytest.mark.parametrize("exception", [{"order": 1}, {"tolerance": 1e-6}])
def test_an_exception_to_the_rules_needs_a_reason(exception):
    with pytest.raises(ConfigError, match="give the reason"):
        registry.register("an exception", autograd.softmax, list, **exception)
    assert "an exception" not in ENTRIES


def test_every_check_that_a_docstring_names_exists():
    root = Path(registry.tinylm.__path__[0])
    named = [
        (path.name, name)
        for path in sorted(root.rglob("*.py"))
        for name in re.findall(r"Check: tinylm gradcheck ([^\s\"\\]+)", path.read_text("utf-8"))
    ]
    assert len(named) >= 60  # nearly one per public operation: the pattern still finds them
    # {check} stands in the table of elementwise operations, whose docstrings are made
    assert [pair for pair in named if pair[1] not in (*ENTRIES, "{check}")] == []


OPERATIONS = {**operation.primitives, **operation.fused_operations}


@pytest.mark.parametrize(
    "name", [n for n, op in OPERATIONS.items() if op.__module__.startswith("tinylm.autograd.")]
)
def test_the_docstring_of_every_operation_names_its_check(name):
    entry = {"pow": "power"}.get(name, name)
    public = getattr(autograd, entry, OPERATIONS[name])
    named = re.findall(r"Check: tinylm gradcheck (\S+)", public.__doc__)
    assert named == [entry]
