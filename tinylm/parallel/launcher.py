"""Start workers, watch them, and end them all together.

`launch` forks one process per worker and waits beside them. Whatever happens to one happens to all:
the first error ends the others and is raised here; if this process dies, they die. One worker per
core with one BLAS thread each beats one process with BLAS threads on small models, because
everything between the matrix products runs in parallel too (DESIGN.md has the figures). Read next:
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
from dataclasses import dataclass, field
from typing import Any

from tinylm.errors import ConfigError, WorkerError
from tinylm.machine import ONE_PRESS, Terminated, blas_threads, cores, endings
from tinylm.parallel.communicate.communicator import SingleProcess
from tinylm.parallel.communicate.memory import Memory
from tinylm.parallel.communicate.shared import SharedMemory

GRACE = 5.0  # seconds that workers have to end by themselves once Ctrl-C has ended one of them
HAND_ON = 0.3  # seconds after which workers get a Ctrl-C that this process alone may have had
POLL = 0.05  # seconds between looks at the workers while no pipe stirs


def obstacle():
    """Why processes cannot share memory here, as a sentence, or None if they can."""
    if not hasattr(os, "fork") or sys.platform in ("emscripten", "wasi"):
        return "this system cannot fork; use one process, whose matrix products use all cores by BLAS threads"
    if sys.platform == "darwin" and blas_threads() is None:
        return (
            "NumPy is built on Apple's Accelerate here, which does not survive a fork; use one process, whose "
            "matrix products use all cores by themselves"
        )
    return None


def default_workers(batch_size):
    """The largest number of workers, up to one per core, that divides `batch_size`; 1 where there
    is an obstacle.
    """
    limit = 1 if obstacle() else min(cores(), batch_size)
    return max([w for w in range(1, limit + 1) if batch_size % w == 0], default=1)


@dataclass
class Worker:
    """What the parent knows of one worker. `status` is None while it runs; `report` is what came
    through its pipe.
    """

    pid: int
    pipe: int
    status: Any = None
    report: bytearray = field(default_factory=bytearray)

    def read(self):
        """Take what is in the pipe. Returns False once nothing more will come."""
        try:
            while data := os.read(self.pipe, 1 << 16):
                self.report += data
            return False
        except BlockingIOError:
            return True

    def ended(self):
        """True if the process is gone; it is reaped and its report read to the end."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.read()
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def outcome(self):
        """(failure, result) of an ended worker; failure is None or (time, type name, message,
        traceback text).
        """
        if self.status < 0:
            known = -self.status in set(signal.Signals)
            name = signal.Signals(-self.status).name if known else f"signal {-self.status}"
            return (time.monotonic(), name, "the process was killed", ""), None
        try:
            return pickle.loads(self.report)
        except (EOFError, pickle.UnpicklingError):
            message = f"the process ended without a result, exit status {self.status}"
            return (time.monotonic(), "exit", message, ""), None


def launch(function, workers, *args, capacity=16 << 30, mailbox=1 << 20):
    """Run function(communicator, *args) in `workers` processes on this machine and return what rank
    0 returns.

    function   any callable; forked, not pickled, so a closure will do, and what it reads is already
               in memory
    workers    1: called right here with a SingleProcess communicator, BLAS threads left as they are
    capacity   bytes of shared memory each worker may get from `empty`; reserved, only taken when
               used
    mailbox    bytes through which other arrays pass at a time, and of messages that wait unreceived
               for each pair
    returns    rank 0's result, pickled through a pipe: keep it small; large arrays belong in files
    raises     WorkerError, with .rank, .type, .message and .traceback of the first worker that
               failed or was killed, once all others have been ended. KeyboardInterrupt if a worker
               let Ctrl-C through, Terminated if SIGTERM or SIGHUP came to this process and ended
               one.

    A terminal's Ctrl-C reaches the workers as well as this process; `kill -INT` reaches one
    process, and this one hands it on. They may finish by themselves, and if all do, the result is
    returned; a second Ctrl-C ends them. SIGTERM is sent to one process only: this one hands it to
    the workers, and SIGHUP as well, unless it is ignored.
    """
    if workers == 1:
        return function(SingleProcess(), *args)
    if workers < 1:
        raise ConfigError(f"launch: {workers} workers, needs at least 1")
    if obstacle():
        raise WorkerError(f"launch: {workers} workers, but {obstacle()}")
    memory, interrupts, running = Memory(workers, capacity, mailbox), Interrupts(), []

    def terminated(number, frame):
        interrupts.terminated = signal.Signals(number)
        hand_on(number, running)

    restore = [on_signal(signal.SIGINT, lambda *_: interrupts.press())]
    restore += [on_signal(number, terminated) for number in endings()]
    threads = blas_threads()
    blas_threads(1)  # before the fork: a worker never starts BLAS threads
    lifeline, parent_end = os.pipe()  # reads end-of-file when this process is gone
    try:
        for rank in range(workers):
            running.append(fork_worker(function, args, memory, rank, lifeline, parent_end))
        if interrupts.terminated:  # it came while some were not there yet
            hand_on(interrupts.terminated, running)
        if threads:
            blas_threads(threads)
        first = supervise(running, interrupts)
        if first is None:
            return running[0].outcome()[1]
        raise_failure(first, workers, interrupts)
    finally:
        blas_threads(threads)
        end(running)
        for worker in running:
            os.close(worker.pipe)
        os.close(lifeline), os.close(parent_end)
        for put_back in restore:
            put_back()


class Interrupts(list):
    """The times at which Ctrl-C was pressed, and which of SIGTERM and SIGHUP came, or None.

    handed_on   whether the workers were sent the Ctrl-C too
    """

    terminated, handed_on = None, False

    def press(self):
        """A SIGINT came: a Ctrl-C, unless one came a moment ago."""
        now = time.monotonic()
        if not self or now - self[-1] >= ONE_PRESS:
            self.append(now)

    def due(self):
        """Whether the workers have had the time that a terminal takes to reach them, and now need
        the signal from here.
        """
        return bool(self) and not self.handed_on and time.monotonic() - self[0] >= HAND_ON


def hand_on(number, running):
    """Send a signal to the workers that are still there, rank 0 first: it is the one that answers
    for all.
    """
    for worker in running:
        if worker.status is None:  # not reaped, so the pid is still this worker's
            os.kill(worker.pid, number)


def on_signal(number, handler):
    """Let `handler` take a signal. Returns what puts the old handler back; does nothing outside the
    main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = signal.signal(number, handler)
    return lambda: signal.signal(number, before)


def flush():
    """Write what is buffered; where the terminal is gone, nothing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def fork_worker(function, args, memory, rank, lifeline, parent_end):
    """Start worker `rank`. Returns its Worker; in the new process it does not return."""
    flush()  # or both processes would write what is buffered
    parent = os.getpid()
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        os.set_blocking(read, False)
        return Worker(pid, read)
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in endings():
            signal.signal(number, signal.SIG_DFL)
        os.close(parent_end)
        die_with(parent, lifeline)
        report = run(function, args, memory.enter(rank))
        flush()
        with open(write, "wb") as pipe:
            pipe.write(report)
        status = 0
    finally:
        os._exit(status)  # none of the parent's clean-up is this process's business


def run(function, args, memory):
    """The worker's whole work. Returns its report: a pickled (failure, result)."""
    try:
        result = function(SharedMemory(memory), *args)
        report = pickle.dumps((None, result if memory.rank == 0 else None))
        memory.leave()
        return report
    except BaseException as error:
        failure = time.monotonic(), type(error).__name__, str(error), traceback.format_exc()
        return pickle.dumps((failure, None))


def die_with(parent, lifeline):
    """End this process when its parent ends, even by kill -9: by the kernel on Linux, elsewhere by
    a watched pipe.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    PR_SET_PDEATHSIG = 1  # linux/prctl.h
    if prctl is None or prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        threading.Thread(target=lambda: (os.read(lifeline, 1), os._exit(1)), daemon=True).start()
    if os.getppid() != parent:  # it was gone before we asked
        os._exit(1)


def supervise(running, interrupts):
    """Wait until all have ended, or one has failed. Returns None or the first failure, its rank in
    front.

    After a Ctrl-C the others get a while to end by themselves; at the second Ctrl-C there is no
    more waiting.
    """
    failures, deadline = [], float("inf")
    with selectors.DefaultSelector() as pipes:
        for worker in running:
            pipes.register(worker.pipe, selectors.EVENT_READ, worker)
        while not all([worker.ended() for worker in running]):
            # Once all pipes are closed the processes are about to be gone: look again soon.
            for key, _ in pipes.select(POLL if pipes.get_map() else 0.001):
                if not key.data.read():
                    pipes.unregister(key.fileobj)
            if interrupts.due():
                interrupts.handed_on = True
                hand_on(signal.SIGINT, running)
            failures = failed(running)
            stopped = failures and let_through(failures[0], interrupts)
            if stopped:
                deadline = min(deadline, time.monotonic() + GRACE)
            if (failures and not stopped) or len(interrupts) > 1 or time.monotonic() > deadline:
                break
    failures = failed(running)
    if not failures and len(interrupts) > 1:
        return 0, 0.0, "KeyboardInterrupt", "", ""
    if failures:
        return failures[0]
    return None


def let_through(failure, interrupts):
    """Whether a worker ended because it did not handle the signal that this process was sent too."""
    kind, came = failure[2], interrupts.terminated
    return (interrupts and kind == "KeyboardInterrupt") or (
        came and kind in (came.name, "Terminated")
    )


def failed(running):
    """(rank, time, type name, message, traceback) of the workers that have ended in failure, the
    earliest first.
    """
    outcomes = [
        (rank, worker.outcome()[0]) for rank, worker in enumerate(running) if worker.ended()
    ]
    return sorted([(rank, *failure) for rank, failure in outcomes if failure], key=lambda f: f[1])


def end(running):
    """End every worker still there, by SIGTERM and after half a second by SIGKILL, and reap it."""
    for name, patience in ((signal.SIGTERM, 0.5), (signal.SIGKILL, float("inf"))):
        left = [worker for worker in running if not worker.ended()]
        for worker in left:
            os.kill(worker.pid, name)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(0.001)
            left = [worker for worker in left if not worker.ended()]


def raise_failure(first, workers, interrupts):
    """Raise the first failure as this process's own."""
    rank, _, kind, message, trace = first
    if let_through(first, interrupts):
        raise (
            KeyboardInterrupt if kind == "KeyboardInterrupt" else Terminated(interrupts.terminated)
        )
    error = WorkerError(f"worker {rank} of {workers} failed: {kind}: {message}")
    error.rank, error.type, error.message, error.traceback = rank, kind, message, trace
    raise error from (RuntimeError(f"in worker {rank}:\n{trace}") if trace else None)
