"""`tinylm bench operations`: both libraries do the same work; figures are a matter of the
machine.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tinylm.cli import main
from tinylm.cli.measure import bench_operations as verb
from tinylm.cli.measure.operations import OPERATIONS, ids, normal
from tinylm.errors import TinylmError
from tinylm.machine import blas_threads


def row(name, ratio, group="moves"):
    return {"group": group, "name": name, "ours": 2e-6, "theirs": 1e-6, "ratio": ratio}


def test_outputs_and_gradients_of_every_operation_agree_with_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for operation in OPERATIONS:
        arrays = [make(rng) for make in operation.inputs]
        found = verb.ours(operation, arrays)(), verb.theirs(operation, arrays, torch)()
        verb.same_work(operation.name, *found)
        # one gradient for every input of floats, and not only zeros
        floats = [x for x in arrays if x.dtype.kind == "f"]
        assert [np.shape(x) for x in found[0][1]] == [x.shape for x in floats]
        assert all(np.abs(np.asarray(x)).max() > 0 for x in found[0][1])


def test_about_sixty_operations_in_groups_with_names_of_their_own():
    names, groups = [o.name for o in OPERATIONS], [o.group for o in OPERATIONS]
    assert len(set(names)) == len(names) and 55 <= len(names) <= 70
    # a group is in one piece: lines() prints its name once
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index)


def test_without_torch_tinylm_alone_is_timed(monkeypatch):
    monkeypatch.setattr(verb.importlib.util, "find_spec", lambda name: None)
    tiny = [
        verb.OPERATIONS[0]._replace(inputs=(normal(2, 3), normal(2, 3))),
        verb.OPERATIONS[0]._replace(
            name="pick", inputs=(normal(4, 3), ids(4, 5)), ours=lambda lib, x, i: x[i]
        ),
    ]
    before = blas_threads()
    found = list(verb.bench(2, 1e-5, True, tiny))
    assert blas_threads() == before
    assert [r["name"] for r in found] == ["add", "pick"]
    assert all(r["ours"] > 0 and r["theirs"] is None and r["ratio"] is None for r in found)
    text = list(verb.lines(found))
    assert text[0] == "elementwise" and text[1].split()[0] == "add" and len(text) == 4
    assert "tinylm alone was timed" in text[-1]


def test_other_outputs_or_gradients_are_not_the_same_work():
    def found(y, g):
        return np.asarray(y), [np.asarray(g)]

    def of_torch(y, g):
        arrays = [SimpleNamespace(numpy=lambda x=x: np.asarray(x)) for x in (y, g)]
        return arrays[0], arrays[1:]

    verb.same_work("add", found([1.0, 2.0], [3.0]), of_torch([1.0, 2.00001], [3.0]))
    for other in (([1.0, 2.1], [3.0]), ([1.0, 2.0], [3.1]), ([1.0, 2.0], [[3.0]])):
        with pytest.raises(TinylmError, match="add: tinylm and torch did not do the same work"):
            verb.same_work("add", found([1.0, 2.0], [3.0]), of_torch(*other))
    with pytest.raises(TinylmError, match="add"):
        verb.same_work("add", found([np.nan, 2.0], [3.0]), of_torch([1.0, 2.0], [3.0]))


def test_an_operation_is_run_forward_and_backward_with_new_gradients_each_time():
    calls = []

    def twice(lib, x):
        calls.append(x)
        return lib.mul(x, 2.0)

    x = np.ones((2, 2), np.float32)
    once = verb.ours(SimpleNamespace(ours=twice), [x])
    y, (g,) = once()
    first = g.data.copy()
    assert np.all(y == 2) and np.array_equal(first, 2 * verb._cotangent(y))
    assert np.array_equal(once()[1][0].data, first)  # not added to those of the first call
    assert len(calls) == 3  # one for the shape of the cotangent


def test_the_ratio_is_the_median_of_those_within_a_round(monkeypatch):
    # Seconds of tinylm and of torch: the second round is ten times as slow for both.
    clock = iter([1.0, 1.0, 3.0, 1.0, 30.0, 20.0, 8.0, 2.0])
    monkeypatch.setattr(verb, "seconds_of", lambda once, times: next(clock))
    monkeypatch.setattr(verb, "theirs", lambda operation, arrays, torch: lambda: None)
    monkeypatch.setattr(verb, "ours", lambda operation, arrays: lambda: None)
    monkeypatch.setattr(verb, "same_work", lambda *given: None)
    operation = verb.OPERATIONS[0]._replace(inputs=(normal(2, 3), normal(2, 3)))
    found = verb.measured(operation, 3, 0.01, torch="here")
    assert found == {
        "group": "elementwise", "name": "add", "ours": 8.0, "theirs": 2.0, "ratio": 3.0,
    }  # fmt: skip


def test_groups_means_and_what_lies_above_two():
    rows = [row("pad", 0.5), row("roll", 2.0), row("repeat", 8.0, "more"), row("tril", 2.0, "more")]
    text = list(verb.lines(rows))
    assert text[0] == "moves" and text[3] == "more"
    assert text[1].split() == ["pad", "2.0", "1.0", "0.50"]
    assert text[2].split()[-1] == "2.00"  # not above 2
    assert text[4].split() == ["repeat", "2.0", "1.0", "8.00", "above", "2"]
    # sqrt(0.5 * 2) = 1, sqrt(8 * 2) = 4, and the fourth root of 16 is 2
    means = [t.split() for t in text[-4:-1]]
    assert means == [["moves", "1.00"], ["more", "4.00"], ["all", "4", "2.00"]]
    assert text[-1] == "  above 2: repeat 8.0"
    assert list(verb.verdict(rows[:2]))[-1] == "  above 2: none"


def test_the_head_names_the_processor_and_says_when_others_work(monkeypatch):
    monkeypatch.setattr(verb, "processor", lambda: "Z80")
    for beside, words in ((0.1, "load of the last minute 0.1"), (4.0, "not a quiet machine")):
        monkeypatch.setattr(verb, "load", lambda beside=beside: beside)
        text = verb.head()
        assert text.startswith("Z80, one thread") and words in text
        assert ("not a quiet" in text) == (beside > 1)
    monkeypatch.setattr(verb, "load", lambda: None)
    assert verb.head().startswith("Z80, one thread\n")


def test_the_verb_prints_them(monkeypatch, capsys):
    asked = []

    def bench(rounds, seconds, peers):
        asked.append((rounds, seconds, peers))
        yield row("pad", 3.0)

    monkeypatch.setattr(verb, "bench", bench)
    assert main(["bench", "operations", "--rounds", "3", "--seconds", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert "one thread" in printed and "above 2: pad 3.0" in printed
    assert main(["bench", "operations", "--no-peers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "pad"
    assert asked == [(3, 0.5 * verb.TURN, True), (7, verb.TURN, False)]
