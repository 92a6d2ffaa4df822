"""`tinylm bench parallel`: contestants do the same work; figures are a matter of the machine."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tinylm.cli import main
from tinylm.cli.measure import bench_parallel as verb
from tinylm.cli.measure.bench import BenchSettings
from tinylm.cli.measure.contestants import timed, tinylm_collective
from tinylm.errors import TinylmError
from tinylm.parallel.communicate.simulator import simulate

QUICK = BenchSettings(rounds=1, seconds=0.01)


def row(label, seconds, **more):
    ratios = {f"ratio_{which}": 1.5 for which in ("min", "median", "max")}
    return {"label": label, "seconds": seconds, "communication": 0.25, "apart": 0.0} | ratios | more


@pytest.mark.slow
def test_processes_threads_and_engines_do_the_same_work(monkeypatch):
    monkeypatch.setattr(verb, "mpiexec", lambda: (None, "not here"))
    found = list(verb.bench(QUICK, ["W3"]))
    assert [result["kind"] for result in found] == ["training", "all_reduce", "all_gather"]
    training = found[0]["contestants"]
    assert [r["label"] for r in training] == ["1 process, BLAS threads", "2 processes, shared"]
    assert training[0]["communication"] < training[1]["communication"] < 1
    assert found[0]["skipped"] == {"MPI": "not here"}
    # 2 layers of 12 D^2 + 13 D, 65 D tokens, 32 D positions and a norm of 2 D, D = 64
    assert found[0]["numbers"] == 2 * (12 * 64 * 64 + 13 * 64) + (65 + 32 + 2) * 64


@pytest.mark.slow
def test_ranks_of_mpi_do_the_same_work():
    if verb.mpiexec()[0] is None:
        pytest.skip(verb.mpiexec()[1])
    labels = [[r["label"] for r in found["contestants"]] for found in verb.bench(QUICK, ["W3"])]
    assert [len(some) for some in labels] == [3, 3, 2]
    assert labels[0][2] == "2 processes, MPI" and labels[1][2] == "2 processes, MPI's own"


def test_contestants_by_kind_and_by_what_is_there(monkeypatch):
    monkeypatch.setattr(verb, "mpiexec", lambda: ("/bin/mpiexec", None))
    jobs = dict(verb.contestants("training", 3)[0])
    assert list(jobs) == ["1 process, BLAS threads", "3 processes, shared", "3 processes, MPI"]
    assert jobs["3 processes, MPI"]["command"][:3] == ["/bin/mpiexec", "-n", "3"]
    assert jobs["3 processes, MPI"]["mpi"] and "mpi" not in jobs["3 processes, shared"]
    assert len(verb.contestants("training", 2)[0]) == 3
    assert list(dict(verb.contestants("training", 1)[0])) == ["1 process, BLAS threads"]
    jobs = dict(verb.contestants("all_reduce", 2)[0])
    assert jobs["2 processes, MPI's own"]["native"] and "1 process, BLAS threads" not in jobs
    assert all(job["operation"] == "all_reduce" for job in jobs.values())
    monkeypatch.setattr(verb, "mpiexec", lambda: (None, "no mpi4py"))
    assert verb.contestants("all_gather", 2)[1] == "no mpi4py"


def test_results_that_differ_end_the_benchmark(monkeypatch):
    monkeypatch.setattr(
        verb, "measure",
        lambda *given: {"contestants": [row("one", 1.0), row("other", 1.0, apart=1e-3)]},
    )  # fmt: skip
    with pytest.raises(TinylmError, match="W3 training: the contestants did not do the same work"):
        next(verb.bench(QUICK, ["W3"]))


def test_a_collective_returns_what_it_should():
    """The number of ranks, and what the last of them has put in."""
    data = {"a": np.zeros(20), "b": np.zeros((3, 4)), "batches": np.zeros(9)}

    def program(comm):
        summed = tinylm_collective({"operation": "all_reduce"}, data, comm)
        gathered = tinylm_collective({"operation": "all_gather"}, data, comm)
        found = [float(summed(0)), float(summed(1)), float(gathered(3)), float(gathered(8))]
        return found, comm.bytes_sent["all_reduce"]

    # Twice 32 float32, of which a half goes there and a half comes back
    assert simulate(program, 2).results == [([2, 2, 3, 1], 2 * 32 * 4)] * 2


def test_time_in_exchanges_is_told_from_other_time(monkeypatch):
    now = iter([10.0, 12.0, 20.0, 20.5])
    monkeypatch.setattr(
        "tinylm.cli.measure.contestants.time", SimpleNamespace(perf_counter=lambda: next(now))
    )
    comm = SimpleNamespace(
        all_reduce=lambda array, op: (array, op), reduce_scatter_=None, all_gather_=abs,
        broadcast=None,
    )  # fmt: skip
    spent = timed(comm)
    assert comm.all_reduce(3, op="max") == (3, "max") and comm.all_gather_(-2) == 2
    assert spent == [2.5]


def test_the_head_asks_for_a_quiet_machine(monkeypatch):
    monkeypatch.setattr(verb, "processor", lambda: "Z80")
    for beside, words in ((0.2, "load of the last minute 0.2"), (3.0, "NOT A QUIET MACHINE")):
        monkeypatch.setattr(verb, "load", lambda beside=beside: beside)
        text = verb.head(QUICK)
        assert text.startswith("Z80, ") and words in text
        assert ("NOT A QUIET" in text) == (beside > 1)
    monkeypatch.setattr(verb, "load", lambda: None)
    assert verb.head(QUICK).endswith("measure on a quiet machine")


def test_lines_say_tokens_or_bytes_a_second():
    training = {"work": "W3", "kind": "training", "numbers": 1000, "skipped": {"MPI": "gone"}}
    lines = verb.lines(training | {"contestants": [row("one", 0.002)]})
    assert lines[2].split() == ["one", "2.000", "128,000", "1.50", "1.50", "1.50", "25.0%"]
    assert lines[3] == "  MPI: left out (gone)"
    exchange = {"work": "W3", "kind": "all_reduce", "numbers": 10**6, "skipped": {}}
    lines = verb.lines(exchange | {"contestants": [row("one", 0.003)]})
    assert "all_reduce of 1,000,000 float32" in lines[0] and lines[2].split()[2] == "1.333"


def test_the_verb_prints_them(monkeypatch, capsys):
    result = {"work": "W3", "kind": "training", "numbers": 5, "skipped": {}, "contestants": []}
    asked = []

    def bench(settings, words):
        asked.append(words)
        yield result

    monkeypatch.setattr(verb, "bench", bench)
    assert main(["bench", "parallel", "W3"]) == 0
    assert "W3 training" in capsys.readouterr().out
    assert main(["bench", "parallel", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["kind"] == "training"
    assert asked == [["W3"], ["W1", "W2"]]
    assert main(["bench", "parallel", "W9"]) == 1
    assert "no work 'W9'" in capsys.readouterr().err
