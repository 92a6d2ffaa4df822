"""Mutation testing of the index: small errors in a row's code, run against the row's own tests.

The repository is copied once for every worker; a mutant is written into the copy, the row's own
tests run there, and the file is put back. `survives` means that all of them still pass. Read first:
mutate.py, which makes the mutants. The idea: DeMillo, Lipton & Sayward 1978.
"""

import compileall
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tinylm.book import Row, check
from tinylm.book.mutate import sample
from tinylm.errors import DataError

NOT_COPIED = shutil.ignore_patterns(
    ".git", "runs", "venv", ".venv", ".hypothesis", ".*_cache", "*.egg-info", "build"
)


NONE_COLLECTED = 5  # the exit status of pytest


@dataclass
class Verdict:
    """The result of one row: how many of its mutants the tests noticed, and which survived."""

    row: object  # book.Row
    killed: int = 0
    survivors: list = field(default_factory=list)  # of Mutant
    trouble: str = ""  # why nothing was tried: no source, or no tests that pass unchanged
    skipped: tuple = ()  # files of tests that need what is not installed: the others are run


def audit(
    table: Sequence[Row],
    root: str | Path,
    per_row: int = 6,
    seed: int = 0,
    jobs: int = 1,
    seconds: int = 120,
    report: Callable | None = None,
) -> list[Verdict]:
    """Run mutants (programs with one small error) of every row against the row's own tests.

    table    list of book.Row
    root     the repository, with tests/ in it; it is copied and never written to
    per_row  about how many mutants of each row, drawn with `seed`
    jobs     how many copies work side by side
    seconds  limit for one run of a row's tests; a mutant that runs longer is killed
    report   called with every Verdict as it comes
    returns  list of Verdict, in the order of the table
    raises   DataError where processes cannot be forked (Windows), or pytest is not installed
    """
    if not hasattr(os, "fork"):
        raise DataError("mutants run in forked processes, which this system does not have")
    workers = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="tinylm-mutants-") as folder:
        for number in range(jobs):
            workers.put(_Worker(Path(root), Path(folder) / str(number)))

        def one(row):
            worker = workers.get()
            try:
                verdict = _judge(row, worker, per_row, seed, seconds)
            finally:
                workers.put(worker)
            if report:
                report(verdict)
            return verdict

        try:
            with ThreadPoolExecutor(jobs) as pool:
                return list(pool.map(one, table))
        finally:
            while not workers.empty():
                workers.get().close()


def _judge(row, worker, per_row, seed, seconds):
    tests = check.names(row.test)
    if not tests:
        return Verdict(row, trouble="it names no test")
    chosen = sample(check.names(row.symbol), per_row, seed)
    if not chosen:
        return Verdict(row, trouble="its symbols have no source to change")
    patience, skipped = max(60, 3 * seconds), ()
    if worker.run(tests, patience) != 0:
        skipped = _skipped_files(tests, worker, patience)
        tests = [test for test in tests if _file(test) not in skipped]
        if not tests:
            return Verdict(row, trouble="all of its tests are skipped here", skipped=skipped)
        if not skipped or worker.run(tests, patience) != 0:
            return Verdict(row, trouble="its tests do not pass unchanged", skipped=skipped)
    verdict = Verdict(row, skipped=skipped)
    for mutant in chosen:
        with worker.changed(mutant):
            status = worker.run(tests, seconds)
        if status == 0:
            verdict.survivors.append(mutant)
        else:
            verdict.killed += 1
    return verdict


def _file(test):
    return test.partition("::")[0]


def _skipped_files(tests, worker, seconds):
    """The files that skip themselves as a whole, without torch for example: pytest collects no test
    of them, and a test that is named is then not found.
    """
    files = dict.fromkeys(map(_file, tests))
    collect = "--collect-only"  # not run: a file has tests of other rows too
    return tuple(f for f in files if worker.run([collect, f], seconds) == NONE_COLLECTED)


class _Worker:
    """A copy of the repository and the warm interpreter that runs tests in it."""

    def __init__(self, root, tree):
        self.root, self.tree = root.resolve(), tree
        shutil.copytree(root, tree, ignore=NOT_COPIED)  # times are kept, so .pyc files stay valid
        compileall.compile_dir(tree, quiet=2)
        server = Path(__file__).with_name("warm.py").read_text(encoding="utf-8")
        self.server = subprocess.Popen(
            [sys.executable, "-c", server],
            cwd=tree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "ci"},
        )

    def run(self, tests, seconds):
        """The exit status of pytest: 0 if all tests pass; None if it took too long."""
        job = {"tree": str(self.tree), "tests": tests, "seconds": seconds}
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        if not answer:
            raise DataError('the tests cannot be run: pip install "tinylm[test]" first')
        return json.loads(answer)

    @contextmanager
    def changed(self, mutant):
        """The copy with one mutant in it."""
        target = self.tree / mutant.path.resolve().relative_to(self.root)
        original, times = target.read_bytes(), target.stat()
        target.write_text(mutant.text, encoding="utf-8")
        # The compiled file is valid only for the time and size of the original.
        os.utime(target, (times.st_atime, times.st_mtime + 10))
        try:
            yield
        finally:
            target.write_bytes(original)
            os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))

    def close(self):
        self.server.stdin.close()
        self.server.wait()


def summary(verdicts: Sequence[Verdict]) -> str:
    """One line: how many mutants the rows' own tests killed."""
    killed = sum(v.killed for v in verdicts)
    survive = sum(len(v.survivors) for v in verdicts)
    tried = sum(1 for v in verdicts if not v.trouble)
    share = 100 * killed / max(1, killed + survive)
    return (
        f"{killed} of {killed + survive} mutants killed by the row's own tests ({share:.0f} %), "
        f"{survive} survive; {tried} of {len(verdicts)} rows tried"
    )
