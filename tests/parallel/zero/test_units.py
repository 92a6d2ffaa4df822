"""Parts of a stage: what is there while a part runs, and when its gradients are reduced."""

import numpy as np
import pytest

from tinylm.autograd import Tensor, no_grad, tanh
from tinylm.parallel.zero.units import GatheredUnits, ReducedUnits, Units


class Spy:
    """A bucket of one parameter that writes down what is done to it."""

    def __init__(self, name, log):
        self.name, self.log = name, log
        self.p = Tensor(np.full(3, 0.5), requires_grad=True)
        self.kept, self.there = self.p.data, True

    def gather(self):
        self.log.append(f"gather {self.name}")
        self.p.data = self.kept

    def release(self):
        self.log.append(f"release {self.name}")

    def open(self):
        self.log.append(f"open {self.name}")

    def close(self):
        self.log.append(f"reduce {self.name}")


def three_parts(kind, late=()):
    """A chain of parts a, b, c, of which a and c read the table t too: (log, names to Spies)."""
    log = []
    spies = {name: Spy(name, log) for name in "abct"}
    readers = {"a": "at", "b": "b", "c": "ct"}
    buckets = {unit: [spies[name] for name in names] for unit, names in readers.items()}
    units = kind(buckets, [spies[name] for name in late]) if kind is not Units else Units()
    return log, spies, units, readers


def run(units, spies, readers, x):
    for unit, names in readers.items():

        def part(y, *rest, names=names):
            for name in names:
                y = tanh(y * spies[name].p)
            return y

        x = units.run(unit, part, x)
    return x


def gradients(kind, late="t"):
    log, spies, units, readers = three_parts(kind, late)
    y = run(units, spies, readers, Tensor([1.0, 2.0, 3.0]))
    forward = list(log)
    log.clear()
    y.backward(np.array([1.0, -1.0, 2.0]))
    units.finish()
    return {n: s.p.grad.data for n, s in spies.items()}, forward, log


@pytest.mark.parametrize("kind", [ReducedUnits, GatheredUnits])
def test_gradients_are_those_without(kind):
    expected, _, _ = gradients(Units)
    found, _, _ = gradients(kind)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12)


def without(log, *words):
    return [line for line in log if line.split()[0] not in words]


def test_stage_2_reduces_a_part_before_it_comes_to_the_next_and_what_two_read_last():
    _, forward, log = gradients(ReducedUnits)
    assert forward == []
    assert without(log, "release") == [
        *("open c", "open t", "reduce c"),
        *("open b", "reduce b"),
        *("open a", "open t", "reduce a", "reduce t"),
    ]


def test_stage_3_gathers_a_part_for_each_pass_and_drops_it_before_the_next():
    _, forward, log = gradients(GatheredUnits)
    assert forward == [
        *("gather a", "gather t", "release a", "release t"),
        *("gather b", "release b"),
        *("gather c", "gather t", "release c", "release t"),
    ]
    there, most = set(), 0
    for line in log:
        what, name = line.split()
        if what == "gather":
            there.add(name)
        elif what == "release":
            there.discard(name)
        most = max(most, len(there))
    assert most == 2 and not there  # a part and the table
    assert without(log, "open", "release") == [
        *("gather c", "gather t", "reduce c"),
        *("gather b", "reduce b"),
        *("gather a", "gather t", "reduce a", "reduce t"),
    ]


def test_every_pass_reduces_every_bucket_once_also_one_that_nothing_flows_to():
    log, spies, units, readers = three_parts(ReducedUnits)
    for _ in range(2):
        y = run(units, spies, {"a": "at"}, Tensor([1.0, 2.0, 3.0]))  # not b and c
        y.backward(np.ones(3))
        units.finish()
        reduced = sorted(line for line in log if line.startswith("reduce"))
        assert reduced == ["reduce a", "reduce b", "reduce c", "reduce t"]
        log.clear()


@pytest.mark.parametrize("kind", [ReducedUnits, GatheredUnits])
def test_a_pass_without_gradients_reduces_nothing(kind):
    log, spies, units, readers = three_parts(kind)
    with no_grad():
        y = run(units, spies, readers, Tensor([1.0, 2.0, 3.0]))
    plain, others, _, _ = three_parts(Units)
    np.testing.assert_array_equal(
        y.data, run(Units(), others, readers, Tensor([1.0, 2.0, 3.0])).data
    )
    assert without(log, "gather", "release") == []
