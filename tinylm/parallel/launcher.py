"""Start worker processes, watch them, and end them together.

`launch` forks one process per worker and waits for them. Workers live and die together: the first
error ends the others and is raised here; if this process dies, they die. On small models one worker
per core with one BLAS thread each is faster than one process with BLAS threads, because everything
between the matrix products runs in parallel too (figures in DESIGN.md). Read next:
`communicate/shared.py`.
"""

import contextlib
import ctypes
import os
import pickle
import selectors
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinylm.errors import ConfigError, WorkerError
from tinylm.machine import ONE_PRESS, Terminated, blas_threads, cores, endings
from tinylm.parallel.communicate.communicator import SingleProcess
from tinylm.parallel.communicate.memory import PATIENCE, WorkerMemory
from tinylm.parallel.communicate.nccl import Nccl
from tinylm.parallel.communicate.shared import SharedMemory

GRACE = 5.0  # seconds that workers have to end by themselves once Ctrl-C has ended one of them
HAND_ON = 0.3  # seconds until workers are sent a Ctrl-C that perhaps only this process received
POLL = 0.05  # seconds between checks of the workers while their pipes are silent


def obstacle() -> str | None:
    """The reason why processes cannot share memory here, as a sentence; None if they can."""
    if not hasattr(os, "fork") or sys.platform in ("emscripten", "wasi"):
        return (
            "this system cannot fork; use one process, "
            "whose matrix products use all cores by BLAS threads"
        )
    if sys.platform == "darwin" and blas_threads() is None:
        return (
            "NumPy is built on Apple's Accelerate here, which does not survive a fork; "
            "use one process, whose matrix products use all cores by themselves"
        )
    return None


def default_workers(batch_size: int) -> int:
    """The largest number of workers, up to one per core, that divides `batch_size`.

    It is 1 where processes cannot share memory.
    """
    if obstacle():
        return 1
    limit = min(cores(), batch_size)
    return max([w for w in range(1, limit + 1) if batch_size % w == 0], default=1)


@dataclass
class Worker:
    """A worker as seen by the parent.

    pid      of its process
    pipe     descriptor of the end that the parent reads
    status   exit status, negative for a signal; None while it runs
    report   bytes that have come through the pipe
    """

    pid: int
    pipe: int
    status: Any = None
    report: bytearray = field(default_factory=bytearray)

    def read(self) -> bool:
        """Read what is in the pipe. Returns False at its end, True if more may come."""
        try:
            while data := os.read(self.pipe, 1 << 16):
                self.report += data
            return False
        except BlockingIOError:  # the pipe does not block: it is empty, but not closed
            return True

    def ended(self) -> bool:
        """True if the process has ended; it is reaped, and its report read to the end."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)  # pid 0: it still runs
            if pid:
                self.read()
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def outcome(self) -> tuple:
        """(failure, result) of an ended worker.

        failure is None, or (time, type name, message, traceback text).
        """
        if self.status < 0:
            number = -self.status
            try:
                name = signal.Signals(number).name
            except ValueError:  # a real-time signal, without a name
                name = f"signal {number}"
            return (time.monotonic(), name, "the process was killed", ""), None
        try:
            return pickle.loads(self.report)
        except (EOFError, pickle.UnpicklingError):
            message = f"the process ended without a result, exit status {self.status}"
            return (time.monotonic(), "exit", message, ""), None


def launch(
    function: Callable,
    workers: int,
    *args: Any,
    capacity: int = 16 << 30,
    mailbox: int = 1 << 20,
    patience: float = PATIENCE,
) -> Any:
    """Run function(communicator, *args) in `workers` processes; returns the result of rank 0.

    function   any callable; forked, not pickled, so a closure will do, and what it reads is already
               in memory
    workers    1: called in this process with a SingleProcess communicator, BLAS threads unchanged
    capacity   bytes of shared memory that each worker may get from `empty`; reserved, allocated
               only when used
    mailbox    bytes through which other arrays pass at a time, and of messages that wait unreceived
               for each pair
    patience   seconds after which a worker that waits for others gives up and says who is missing
    returns    rank 0's result, pickled through a pipe: keep it small; large arrays belong in files
    raises     WorkerError, with .rank, .type, .message and .traceback of the first worker that
               failed or was killed, once all others have been ended. KeyboardInterrupt if a worker
               let Ctrl-C through, Terminated if SIGTERM or SIGHUP came to this process and ended
               one.

    A terminal's Ctrl-C reaches the workers as well as this process; `kill -INT` reaches one
    process, and this one forwards it. Workers may finish by themselves, and if all do, the result
    is returned; a second Ctrl-C ends them. SIGTERM is sent to one process only: this one forwards
    it to the workers, and SIGHUP as well, unless it is ignored.
    """
    if workers < 1:
        raise ConfigError(f"launch: {workers} workers, needs at least 1")
    if workers == 1:
        return function(SingleProcess(), *args)
    if obstacle():
        raise WorkerError(f"launch: {workers} workers, but {obstacle()}")
    memory = WorkerMemory(workers, capacity, mailbox, patience)
    interrupts, running = Interrupts(), []
    restore = _forwarding(interrupts, running)
    threads = blas_threads()
    blas_threads(1)  # before the fork: a worker never starts BLAS threads
    lifeline, parent_end = os.pipe()  # reads end-of-file when this process has ended
    try:
        for rank in range(workers):
            running.append(fork_worker(function, args, memory, rank, lifeline, parent_end))
        if interrupts.terminated:  # it came while some workers did not exist yet
            hand_on(interrupts.terminated, running)
        blas_threads(threads)
        first = supervise(running, interrupts)
        if first is None:
            return running[0].outcome()[1]
        raise_failure(first, workers, interrupts)
    finally:
        blas_threads(threads)
        end(running)  # also where an error ended the wait
        for worker in running:
            os.close(worker.pipe)
        os.close(lifeline)
        os.close(parent_end)
        for put_back in restore:
            put_back()


def _forwarding(interrupts, running):
    """Signals go to `interrupts`, and those that end a process to the workers `running` as well.
    Returns the functions that put the former handlers back.
    """

    def terminated(number, frame):
        interrupts.terminated = signal.Signals(number)
        hand_on(number, running)

    restore = [on_signal(signal.SIGINT, lambda *_: interrupts.press())]
    return restore + [on_signal(number, terminated) for number in endings()]


class Interrupts(list):
    """The times at which Ctrl-C was pressed.

    terminated   the signal that came, SIGTERM or SIGHUP; or None
    handed_on    whether the workers were sent the Ctrl-C too
    """

    terminated = None
    handed_on = False

    def press(self) -> None:
        """Record a SIGINT as a Ctrl-C, unless one came a moment ago."""
        now = time.monotonic()
        if not self or now - self[-1] >= ONE_PRESS:
            self.append(now)

    def due(self) -> bool:
        """Whether to send the workers the Ctrl-C: a terminal would have reached them by now."""
        return bool(self) and not self.handed_on and time.monotonic() - self[0] >= HAND_ON


def hand_on(number: Any, running: Sequence[Worker]) -> None:
    """Send a signal to the workers that still run, rank 0 first, whose result counts."""
    for worker in running:
        if worker.status is None:  # not reaped, so the pid cannot belong to another process
            os.kill(worker.pid, number)


def on_signal(number: Any, handler: Callable) -> Callable:
    """Install `handler` for a signal. Returns a function that restores the old handler.

    Outside the main thread Python allows no handlers: then both do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = signal.signal(number, handler)
    return lambda: signal.signal(number, before)


def flush() -> None:
    """Write buffered output; errors are ignored, because the terminal may be gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def fork_worker(
    function: Callable, args: tuple, memory: WorkerMemory, rank: int, lifeline: int, parent_end: int
) -> Worker:
    """Start worker `rank`. Returns its Worker; in the new process it never returns."""
    flush()  # or both processes would write what is buffered
    parent = os.getpid()
    read, write = os.pipe()
    pid = os.fork()
    if pid:  # in the parent
        os.close(write)
        os.set_blocking(read, False)
        return Worker(pid, read)
    status = 1  # unless the report is written
    try:
        # The parent's handlers, inherited by the fork, are not for a worker.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in endings():
            signal.signal(number, signal.SIG_DFL)
        # Only the parent may hold this end of the lifeline, or it would never read end-of-file.
        os.close(parent_end)
        die_with(parent, lifeline)
        report = run(function, args, memory.enter(rank))
        flush()
        with open(write, "wb") as pipe:
            pipe.write(report)
        status = 0
    finally:
        os._exit(status)  # without the parent's clean-up, which would run here a second time


def run(function: Callable, args: tuple, memory: WorkerMemory) -> bytes:
    """The work of a worker. Returns its report: a pickled (failure, result)."""
    try:
        result = function(SharedMemory(memory), *args)
        if memory.rank != 0:
            result = None
        report = pickle.dumps((None, result))
        memory.leave()
        return report
    except BaseException as error:
        failure = time.monotonic(), type(error).__name__, str(error), traceback.format_exc()
        return pickle.dumps((failure, None))


def die_with(parent: Nccl | None, lifeline: int) -> None:
    """Make this process end when its parent ends, even by kill -9.

    On Linux the kernel sends a signal; elsewhere a thread waits for the end of a pipe.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    PR_SET_PDEATHSIG = 1  # linux/prctl.h
    if prctl is None or prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:

        def wait_for_the_end():
            os.read(lifeline, 1)
            os._exit(1)

        threading.Thread(target=wait_for_the_end, daemon=True).start()
    if os.getppid() != parent:  # the parent ended before prctl was called
        os._exit(1)


def supervise(running: Sequence[Worker], interrupts: Interrupts) -> Any:
    """Wait until all workers have ended or one has failed.

    After a Ctrl-C the others have GRACE seconds to end by themselves; a second Ctrl-C ends the
    waiting.

    returns  None, or the first failure, as of failed()
    """
    failures = []
    deadline = float("inf")
    with selectors.DefaultSelector() as pipes:
        for worker in running:
            pipes.register(worker.pipe, selectors.EVENT_READ, worker)
        while not all([worker.ended() for worker in running]):
            pause = POLL
            if not pipes.get_map():  # all pipes are closed: the processes are about to end
                pause = 0.001
            for key, _ in pipes.select(pause):
                if not key.data.read():
                    pipes.unregister(key.fileobj)
            if interrupts.due():
                interrupts.handed_on = True
                hand_on(signal.SIGINT, running)
            failures = failed(running)
            # A worker that Ctrl-C has ended gives the others time; any other failure ends them.
            stopped = failures and let_through(failures[0], interrupts)
            if stopped:
                deadline = min(deadline, time.monotonic() + GRACE)
            if (failures and not stopped) or len(interrupts) > 1 or time.monotonic() > deadline:
                break
    failures = failed(running)
    if failures:
        return failures[0]
    if len(interrupts) > 1:
        return 0, 0.0, "KeyboardInterrupt", "", ""
    return None


def let_through(failure: Any, interrupts: Interrupts) -> bool:
    """Whether a worker ended by a signal that this process received too."""
    _, _, kind, _, _ = failure
    came = interrupts.terminated
    # A worker that handles SIGINT or SIGTERM raises; one with the default handler is killed by it.
    if interrupts and kind == "KeyboardInterrupt":
        return True
    return came and kind in (came.name, "Terminated")


def failed(running: Sequence[Worker]) -> list:
    """Failures of workers, (rank, time, type name, message, traceback), the earliest first."""
    failures = []
    for rank, worker in enumerate(running):
        if worker.ended():
            failure, _ = worker.outcome()
            if failure:
                failures.append((rank, *failure))
    return sorted(failures, key=lambda failure: failure[1])


def end(running: Sequence[Worker]) -> None:
    """End all workers that still run, by SIGTERM, after half a second by SIGKILL, and reap them."""
    for number, patience in ((signal.SIGTERM, 0.5), (signal.SIGKILL, float("inf"))):
        left = [worker for worker in running if not worker.ended()]
        for worker in left:
            os.kill(worker.pid, number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(0.001)
            left = [worker for worker in left if not worker.ended()]


def was_lost(error: Exception) -> bool:
    """Whether a WorkerError says that a process died, by a signal or without a word, rather than
    raised an error of its program.
    """
    kind = getattr(error, "type", None) or ""
    return kind == "exit" or kind.startswith(("SIG", "signal "))


def raise_failure(first: int, workers: int, interrupts: Interrupts) -> None:
    """Raise the failure of a worker, as of failed(), in this process."""
    rank, _, kind, message, trace = first
    if let_through(first, interrupts):
        if kind == "KeyboardInterrupt":
            raise KeyboardInterrupt
        raise Terminated(interrupts.terminated)
    error = WorkerError(f"worker {rank} of {workers} failed: {kind}: {message}")
    error.rank = rank
    error.type = kind
    error.message = message
    error.traceback = trace
    if trace:
        raise error from RuntimeError(f"in worker {rank}:\n{trace}")
    raise error from None
