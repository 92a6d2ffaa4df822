"""The engine over MPI, on processes that `mpiexec` starts; skipped without mpi4py.

Ranks of MPI spin while they wait, so these tests are few and small.
"""

from pathlib import Path

import pytest

from tests.parallel.communicate.by_mpi import by_mpiexec, needs_mpi

BODIES = Path(__file__).with_name("mpi_bodies.py")
pytestmark = needs_mpi


def run(name, ranks):
    """`mpiexec -n ranks python mpi_bodies.py name`: the finished process."""
    return by_mpiexec(ranks, str(BODIES), name)


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
