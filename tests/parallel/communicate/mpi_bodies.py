"""What every rank of `mpiexec` does in test_mpi.py: one of the programs below, named on the command
line.
"""

import sys
import threading
import time

import numpy as np

from tests.parallel.communicate import test_communicator as bodies
from tests.parallel.communicate import test_rings as rings
from tests.parallel.test_layouts import LONG, SMALL, with_layout
from tinylm.parallel.communicate.mpi import run_on_mpi
from tinylm.parallel.mesh import Layout
from tinylm.parallel.step import ParallelTrainer  # noqa: F401  (imported before ranks begin)

DTYPES, SHAPES = bodies.DTYPES, [(), (0,), (5,), (17, 3), (2, 1, 40)]


def communicator(comm):
    """All statements about communicators that the other engines satisfy."""
    for dtype in DTYPES:
        for where in ("ordinary", "strided"):
            for seed, shape in enumerate(SHAPES):
                bodies.every_collective(comm, seed, shape, dtype, where)
    for n in (0, 1, 17, 70_001):
        bodies.sharded(comm, n, "ordinary")
        bodies.ring(comm, n)
    bodies.beside_the_work(comm)
    bodies.mixed(comm)
    for width in (0, 1, 700):
        bodies.transpose_back(comm, width)
    bodies.long_message(comm)
    bodies.groups(comm)
    bodies.one_process_errors(comm)
    bodies.disagree(comm)
    bodies.wrong_message(comm)
    for route in rings.ROUTES:
        found, values = rings.summed(comm, route, 5000)
        np.testing.assert_allclose(found[0], values.sum(0), rtol=0, atol=4e-6)


def sends_last(comm):
    """A large message as a rank's last act, in a group that nobody keeps."""
    group = comm.split(0)
    message = np.arange(4_000_000, dtype=np.float64)
    if comm.rank == 0:
        group.send(message, comm.size - 1)
    elif comm.rank == comm.size - 1:
        np.testing.assert_array_equal(group.recv(message, 0), message)


def counted(comm):
    bodies.counted(comm)


def training(comm):
    """A layout of this many ranks, against the single process."""
    from tests.parallel.experts.test_layer import with_layout as with_experts
    from tests.parallel.layouts import alone, shared

    draws = [with_layout(config=LONG, layout=layout, micros=2) for layout in SMALL]
    draws += [with_experts(layout=Layout(ep=2)), with_experts(layout=Layout(tp=2, ep=2))]
    for found in draws:
        if found.layout.size != comm.size:
            continue
        steps, whole, *_ = shared(comm, found)
        expected, parameters, *_ = alone(found)
        for got, own in zip(steps, expected):
            np.testing.assert_allclose(got.loss, own.loss, rtol=1e-9)
            np.testing.assert_allclose(got.grad_norm, own.grad_norm, rtol=1e-9)
        for name, array in parameters.items() if comm.rank == 0 else ():
            np.testing.assert_allclose(whole[name], array, rtol=1e-7, atol=1e-9)


def one_fails(comm):
    """Rank 1 raises while the others wait, and while a thread of it lives on."""
    threading.Thread(target=time.sleep, args=(60,)).start()
    if comm.rank == 1:
        raise ValueError("lost its way")
    comm.barrier()


def one_is_missing(comm):
    """Rank 1 does something else, for longer than the others wait."""
    if comm.rank == 1:
        time.sleep(30)
    comm.all_reduce(np.zeros(3))


if __name__ == "__main__":
    name = sys.argv[1]
    patience = {"one_is_missing": 1.0}.get(name, 120.0)
    run_on_mpi(globals()[name], patience=patience)
    run_on_mpi(lambda comm: comm.rank or print(f"{name} by {comm.size} ranks: done"))
