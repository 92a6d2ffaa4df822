"""The engine over MPI, on processes that `mpiexec` starts; skipped without mpi4py.

Ranks of MPI spin while they wait, so these tests are few and small.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mpi4py")
ROOT = Path(__file__).parents[3]
BODIES = Path(__file__).with_name("mpi_bodies.py")
BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")

pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")


def run(name, ranks):
    """`mpiexec -n ranks python mpi_bodies.py name`: the finished process."""
    return by_mpiexec(ranks, str(BODIES), name)


def by_mpiexec(ranks, *words):
    """`mpiexec -n ranks python WORDS`: the finished process."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *words]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    given = os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=given)


def check_done(found, name, ranks):
    assert f"{name} by {ranks} ranks: done" in found.stdout, found.stderr
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_it_does_what_every_engine_does(ranks):
    found = run("communicator", ranks)
    check_done(found, "communicator", ranks)


def test_bytes_are_counted_as_by_every_engine():
    found = run("counted", 3)
    check_done(found, "counted", 3)


def test_a_message_arrives_whose_sender_has_nothing_else_to_do():
    found = run("sends_last", 2)
    check_done(found, "sends_last", 2)


@pytest.mark.parametrize("ranks", [2, 4])
def test_layouts_are_the_single_process(ranks):
    found = run("training", ranks)
    check_done(found, "training", ranks)


def test_a_rank_that_fails_ends_all_with_its_traceback():
    found = run("one_fails", 3)
    assert found.returncode != 0 and "done" not in found.stdout
    assert "rank 1 of 3 failed:" in found.stderr
    assert "ValueError: lost its way" in found.stderr


def test_who_is_missing_is_named():
    found = run("one_is_missing", 3)
    assert found.returncode != 0
    assert "has waited 1 s in all_reduce sum of float64 (3,); missing: rank 1" in found.stderr
