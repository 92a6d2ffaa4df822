"""Workers start together and end together: results, failures, kills, Ctrl-C, and nothing left
behind.
"""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from tinylm.errors import ConfigError, WorkerError
from tinylm.machine import blas_threads, cores
from tinylm.parallel import default_workers, launch
from tinylm.parallel import launch as launch_function

SMALL = {"capacity": 1 << 16, "mailbox": 4096}
launch_module = sys.modules[launch_function.__module__]


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """After every test: no child more of this process, no open descriptor, no name in /dev/shm."""

    def traces():
        names = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
        return {n for n in names if n.startswith("sem.") or "mp-" in n}, len(os.listdir("/dev/fd"))

    def children():
        """Living ones and zombies, as Linux lists them."""
        found = set()
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # one that ended meanwhile
                # after the name in brackets: the state and the parent
                if int(file.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    found.add(file.parent.name)
        return found

    before, own = traces(), children()
    yield
    # The browser that tests of pages share stays: it was there before.
    assert children() <= own
    if not own:
        with pytest.raises(ChildProcessError):  # waitpid's way of saying: no child, not a zombie
            os.waitpid(-1, os.WNOHANG)
    names, descriptors = traces()
    # Other processes make semaphores too, and have them a moment longer.
    deadline = time.monotonic() + 2
    while names - before[0] and time.monotonic() < deadline:
        time.sleep(0.01)
        names, _ = traces()
    assert not names - before[0]
    assert descriptors == before[1]


def test_rank_0s_result_is_returned_and_arguments_need_no_pickling():
    local = np.arange(4)

    def body(comm, f):
        return f(comm.rank), comm.size, comm.all_reduce(local + comm.rank)

    result = launch(body, 3, lambda r: r - 10, **SMALL)
    assert result[:2] == (-10, 3)
    np.testing.assert_array_equal(
        result[2], 3 * local + 3
    )  # local three times over, plus 0 + 1 + 2


def test_a_result_longer_than_a_pipe_holds_is_returned():
    assert launch(lambda comm: b"x" * 300_000, 2, **SMALL) == b"x" * 300_000  # a pipe holds 64 KiB


def test_one_worker_runs_right_here():
    assert launch(lambda comm: (os.getpid(), comm.size), 1) == (os.getpid(), 1)


@pytest.mark.skipif(blas_threads() is None, reason="the number of BLAS threads cannot be read here")
def test_workers_use_one_blas_thread_and_the_parent_keeps_its_own():
    before = blas_threads()
    assert launch(lambda comm: blas_threads(), 2, **SMALL) == 1
    assert blas_threads() == before


def fail_on(comm, rank):
    if comm.rank == rank:
        raise ValueError("a reason")
    comm.barrier()  # the others wait for what never comes


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_first_failure_is_reported_with_its_traceback(rank):
    with pytest.raises(
        WorkerError, match=f"worker {rank} of 3 failed: ValueError: a reason"
    ) as caught:
        launch(fail_on, 3, rank, **SMALL)
    assert (caught.value.rank, caught.value.type, caught.value.message) == (
        rank,
        "ValueError",
        "a reason",
    )
    assert "in fail_on" in caught.value.traceback and "in fail_on" in str(caught.value.__cause__)


def test_a_result_that_cannot_be_pickled_is_a_failure():
    with pytest.raises(WorkerError, match="worker 0 of 2 failed"):
        launch(lambda comm: lambda: None, 2, **SMALL)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGHUP", "SIGTERM"])
def test_a_killed_worker_ends_the_others_and_is_named(name):
    if name != "SIGKILL" and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as under nohup")

    def body(comm):
        if comm.rank == 1:
            os.kill(os.getpid(), getattr(signal, name))
        comm.barrier()

    with pytest.raises(WorkerError, match=f"worker 1 of 3 failed: {name}: the process was killed"):
        launch(body, 3, **SMALL)


def test_a_worker_that_exits_behind_our_back_is_a_failure():
    with pytest.raises(WorkerError, match="worker 1 of 2 failed: exit: .* exit status 3"):
        launch(lambda comm: os._exit(3) if comm.rank else comm.barrier(), 2, **SMALL)


def test_a_worker_that_ignores_sigterm_is_killed():
    def body(comm):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        comm.barrier()
        fail_on(comm, 0)

    with pytest.raises(WorkerError, match="worker 0 of 2 failed: ValueError"):
        launch(body, 2, **SMALL)


def test_too_little_address_space_and_no_workers_are_refused():
    with pytest.raises(ConfigError, match="smaller capacity"):
        launch(fail_on, 2, 0, capacity=1 << 62)
    with pytest.raises(ConfigError, match="0 workers"):
        launch(fail_on, 0, 0)


def test_without_fork_the_message_says_what_to_do_instead(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(WorkerError, match="cannot fork; use one process"):
        launch(fail_on, 2, 0)
    assert default_workers(12) == 1


def test_default_workers_divide_the_batch_and_fit_the_cores(monkeypatch):
    assert default_workers(12) <= cores() and 12 % default_workers(12) == 0
    for available, batch, expected in ((2, 12, 2), (4, 6, 3), (8, 7, 7), (4, 1, 1), (3, 4, 2)):
        monkeypatch.setattr(launch_module, "cores", lambda n=available: n)
        assert default_workers(batch) == expected


def program(body):
    """A Python process that runs `body` with two workers at hand; its output ends when it and they
    have ended.
    """
    text = (
        "import os, signal, sys\nimport numpy as np\nfrom tinylm.parallel import launch, launcher\n"
        + textwrap.dedent(body)
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(launch_module.__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


WAITING = """
    {extra}
    def body(comm):
        comm.barrier()
        if comm.rank == 0:
            print("ready", flush=True)
            signal.pause()
        comm.barrier()
    launch(body, 3, capacity=4096)
"""


@pytest.mark.parametrize(
    "extra", ["", "import ctypes; ctypes.CDLL = lambda name: object()"], ids=["prctl", "pipe"]
)
def test_workers_end_when_their_parent_is_killed(extra):
    with program(WAITING.format(extra=extra)) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        assert parent.stdout.read() == ""  # end of file: the last worker has let go of the pipe


def test_ctrl_c_is_for_the_workers_to_finish_by_themselves():
    body = """
        def body(comm):
            pressed = []
            signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
            comm.barrier()
            if comm.rank == 0:
                print("ready", flush=True)
            while not comm.all_reduce(np.array(len(pressed)), "min"):
                pass
            return "saved"
        print(launch(body, 2, capacity=4096))
    """
    with program(body) as parent:
        assert parent.stdout.readline() == "ready\n"
        os.killpg(parent.pid, signal.SIGINT)  # what a terminal does
        assert parent.stdout.read() == "saved\n"


def test_ctrl_c_that_workers_let_through_is_a_keyboard_interrupt():
    with program(WAITING.format(extra="")) as parent:
        assert parent.stdout.readline() == "ready\n"
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.read() == "" and "KeyboardInterrupt" in parent.stderr.read()


def test_a_second_ctrl_c_ends_workers_that_do_not_listen():
    body = """
        def body(comm):
            signal.signal(signal.SIGINT, lambda *_: os.write(1, b"again\\n"))
            comm.barrier()
            if comm.rank == 0:
                os.write(1, b"ready\\n")
            while True:
                signal.pause()
        launcher.ONE_PRESS = 0                                   # each press counts, however soon it comes
        launch(body, 2, capacity=4096)
    """
    with program(body) as parent:
        while parent.stdout.readline():  # one press for each answer, in case two became one,
            os.killpg(parent.pid, signal.SIGINT)  # until nobody is left to answer
        assert "KeyboardInterrupt" in parent.stderr.read()


def test_sigint_to_the_parent_alone_is_handed_to_the_workers_once():
    body = """
        def body(comm):
            came = []
            signal.signal(signal.SIGINT, lambda *_: came.append(1))
            comm.barrier()
            if comm.rank == 0:
                print("ready", flush=True)
            while not comm.all_reduce(np.array(len(came)), "min"):
                pass
            return f"saved {len(came)}"
        print(launch(body, 2, capacity=4096))
    """
    with program(body) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.send_signal(signal.SIGINT)  # what `kill -INT` and process managers do
        parent.send_signal(signal.SIGINT)  # `timeout -s INT` sends two: one Ctrl-C
        assert parent.stdout.read() == "saved 1\n"


def test_sigterm_to_the_parent_alone_is_handed_to_the_workers():
    body = """
        def body(comm):
            came = []
            signal.signal(signal.SIGTERM, lambda *_: came.append(1))
            comm.barrier()
            if comm.rank == 0:
                print("ready", flush=True)
            while not comm.all_reduce(np.array(len(came)), "min"):
                pass
            return "saved"
        print(launch(body, 2, capacity=4096))
    """
    with program(body) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.terminate()  # what a scheduler does: one process, not the group
        assert parent.stdout.read() == "saved\n"


def test_sigterm_that_workers_do_not_handle_is_terminated():
    with program(WAITING.format(extra="")) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.terminate()
        assert parent.stdout.read() == "" and "Terminated" in parent.stderr.read()
