"""Runs whose processes `mpiexec` starts; skipped without mpi4py."""

from tests.parallel.communicate.by_mpi import by_mpiexec, needs_mpi
from tests.parallel.runs import SETTINGS, assert_same

pytestmark = needs_mpi


def test_started_by_mpiexec_it_trains_the_same(book, single_run, tmp_path):
    out = tmp_path / "run"
    words = ["-m", "tinylm", "train", "--data", str(book), "--out", str(out), *SETTINGS]
    found = by_mpiexec(2, *words, "--parallel", "tp=2")
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("2 workers as tp=2") == 1
    assert_same(out, single_run)
    refused = by_mpiexec(2, *words[:-1], "4", "--parallel", "tp=3", "--out", f"{out}-2")
    assert refused.returncode != 0
    assert "tinylm train: layout tp=3: needs 3 ranks, there are 2; tp=2 fits" in refused.stderr
    assert "Traceback" not in refused.stderr
