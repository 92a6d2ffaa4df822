"""One body of statements about collectives, run on every engine: one process, 2, 3 and 4 sharing
memory, and as many simulated ranks, in the order of their clocks and in any other.

The reference is NumPy on all ranks' arrays at once, which every rank can make because the data come
from a seed.
"""

import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.errors import ConfigError, DtypeError, ShapeError, WorkerError
from tinylm.parallel import launch
from tinylm.parallel.communicate.communicator import share
from tinylm.parallel.communicate.memory import SLEEP, WorkerMemory
from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.simulator import simulate

MAILBOX = 4096  # bytes, the least there is: more than 1,024 float32 go in several chunks
SIZES = (1, 2, 3, 4)
DTYPES = (np.float32, np.float64, np.float16, np.int64, np.int8, np.bool_)


ENGINES = [("workers", n) for n in SIZES] + [("simulated", n) for n in (1, 2, 3, 5)]
ENGINES += [("any order", 4)]


@pytest.fixture(params=ENGINES, ids="{0[0]}={0[1]}".format)
def run(request):
    """run(body, *args): the body on every rank of an engine; its result is rank 0's."""
    engine, size = request.param
    if engine == "workers":
        return lambda body, *args: launch(body, size, *args, capacity=1 << 24, mailbox=MAILBOX)
    order = None
    if engine == "any order":
        order = Random(0, "order")
    given = {"buffer": MAILBOX, "order": order, "network": Network(Link(1e-6, 1e9))}
    return lambda body, *args: simulate(body, size, *args, **given).results[0]


def arrays(seed, size, shape, dtype):
    """What each rank holds: (size, *shape). Integers of size 31 at most: sums of 4 are exact in
    every dtype.
    """
    return np.random.default_rng(seed).integers(-31, 32, (size, *shape)).astype(dtype)


def rough(seed, size, shape, dtype=np.float32):
    """What each rank holds, of very unequal magnitudes: the order of summing shows in the last
    bits.
    """
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((size, *shape)) * 10.0 ** rng.integers(-4, 5, (size, *shape))
    ).astype(dtype)


def in_order(parts):
    """((p0 + p1) + p2) + .. , the promised order."""
    total = parts[0].copy()
    for part in parts[1:]:
        total = total + part
    return total


def same(got, expected):
    """Equal in bits, shape and dtype."""
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def place(comm, array, where):
    """A copy of `array` in shared memory, in ordinary memory, or with gaps between its elements."""
    if where == "window":
        copy = comm.empty(array.shape, array.dtype)
    elif where == "strided":
        copy = np.zeros((*array.shape, 2), array.dtype)[..., 0]
    else:
        copy = np.empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def every_collective(comm, seed, shape, dtype, where):
    """All collectives on one shape, against NumPy."""
    rank, size = comm.rank, comm.size
    all_arrays = arrays(seed, size, shape, dtype)
    mine = place(comm, all_arrays[rank], where)
    for op, ufunc in (("sum", np.add), ("max", np.maximum), ("min", np.minimum)):
        copy = place(comm, mine, where)
        assert comm.all_reduce(copy, op) is copy
        same(copy, ufunc.reduce(all_arrays, axis=0, dtype=dtype))
    same(comm.all_gather(mine), all_arrays.reshape(size * (shape[0] if shape else 1), *shape[1:]))
    root = size - 1
    copy = place(comm, mine, where)
    assert comm.broadcast(copy, root) is copy
    same(copy, all_arrays[root])
    rows = arrays(seed + 1, size, (size * 2, *shape), dtype)
    total = np.add.reduce(rows, axis=0, dtype=dtype)
    same(comm.reduce_scatter(place(comm, rows[rank], where)), total[2 * rank : 2 * rank + 2])
    if rank % 2 == 0:  # some receive first, so any length can go round
        comm.send(mine, (rank + 1) % size)
    same(comm.recv(mine, (rank - 1) % size), all_arrays[rank - 1])
    if rank % 2 == 1:
        comm.send(mine, (rank + 1) % size)
    same(mine, all_arrays[rank])  # nothing but the in-place operations changed it


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**20),
    dtype=st.sampled_from(DTYPES),
    where=st.sampled_from(["window", "ordinary", "strided"]),
    shape=st.lists(st.sampled_from([0, 1, 2, 3, 5, 17, 40]), max_size=3).map(tuple),
)
def test_collectives_equal_numpy(run, seed, shape, dtype, where):
    run(every_collective, seed, shape, dtype, where)


def sharded(comm, n, where):
    """reduce_scatter_ then all_gather_, against the sum in rank order and against all_reduce."""
    values = rough(5, comm.size, (n,))
    flat, other = place(comm, values[comm.rank], where), place(comm, values[comm.rank], where)
    start, stop = comm.slice(n)
    same(comm.reduce_scatter_(flat), in_order(values)[start:stop])
    assert comm.all_gather_(flat) is flat
    same(flat, in_order(values))
    same(comm.all_reduce(other), flat)


def all_sharded(comm, where):
    """Lengths about a share, a mailbox, a chunk; in one group of processes, since to start one
    takes longer than what it does here.
    """
    for n in (0, 1, 15, 16, 17, 33, 1024, 1025, 70_001):
        sharded(comm, n, where)


@pytest.mark.parametrize("where", ["window", "ordinary"])
def test_reduce_scatter_then_all_gather_is_all_reduce_to_the_bit(run, where):
    run(all_sharded, where)


def beside_the_work(comm):
    """Sums that are begun one after another while the rank computes, small and in chunks."""
    shapes = [(3,), (40, 60), (1,), (5_000,)]
    parts = [rough(k, comm.size, shape) for k, shape in enumerate(shapes)]
    mine = [part[comm.rank].copy() for part in parts]

    def counted():
        return np.array([comm.calls["all_reduce"], comm.bytes_sent["all_reduce"]])

    before = counted()
    waits = [comm.iall_reduce(array) for array in mine]
    waits.append(comm.iall_reduce(np.array(comm.rank), "max"))
    work = sum(float(np.sin(k)) for k in range(2000))
    for wait, array, part in zip(waits, mine, parts):
        assert wait() is array
        same(array, in_order(part))
    assert int(waits[-1]()) == comm.size - 1 and np.isfinite(work)
    beside = counted() - before
    for array in mine:
        comm.all_reduce(array)
    comm.all_reduce(np.array(0))
    np.testing.assert_array_equal(counted() - before, 2 * beside)


def test_sums_beside_the_work_are_those_of_all_reduce(run):
    run(beside_the_work)


def mixed(comm):
    where = "window" if comm.rank % 2 else "ordinary"
    for n in (10, 3000):  # within and beyond one mailbox
        values = rough(6, comm.size, (n,))
        same(comm.all_reduce(place(comm, values[comm.rank], where)), in_order(values))
        same(comm.all_gather(place(comm, values[comm.rank], where)), values.reshape(-1))
        flat = place(comm, values[comm.rank], where)
        comm.reduce_scatter_(flat)
        same(comm.all_gather_(flat), in_order(values))


def test_ranks_may_keep_their_arrays_in_different_places(run):
    run(mixed)


def transpose_back(comm, width):
    """Rank i gives rank j an array of i + 2j rows, so all lengths differ and rank 0 gives itself
    none.
    """
    size, rank = comm.size, comm.rank
    give = [np.full((rank + 2 * j, width), 10 * rank + j, np.float32) for j in range(size)]
    got = comm.all_to_all(give)
    for i in range(size):
        same(got[i], np.full((i + 2 * rank, width), 10 * i + rank, np.float32))
    for first, again in zip(give, comm.all_to_all(got)):
        same(again, first)


@pytest.mark.parametrize(
    "width", [0, 1, 700]
)  # 700 columns of float32: one row is most of a mailbox
def test_all_to_all_twice_gives_back_what_was_put_in(run, width):
    run(transpose_back, width)


def ring(comm, n):
    """Everybody sends three messages to the right, then receives from the left, in the order sent."""
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
    for k in range(3):
        comm.send(np.full(n, 10 * comm.rank + k, np.int32), right)
    for k in range(3):
        same(comm.recv(np.empty(n, np.int32), left), np.full(n, 10 * left + k, np.int32))


@pytest.mark.parametrize("n", [0, 1, 256])  # 256 int32: one of the channel's four slots each
def test_a_ring_of_sends_no_larger_than_the_mailbox_does_not_deadlock(run, n):
    run(ring, n)


def long_message(comm):
    message = np.arange(50_000, dtype=np.float64)  # 400 kB: a hundred times the mailbox
    if comm.rank == 0:
        comm.send(message, comm.size - 1)
    if comm.rank == comm.size - 1:
        same(comm.recv(message, 0), message)


def to_oneself(comm):
    """A rank is its own neighbor: by send, isend and sendrecv."""
    mine = np.arange(5.0) + comm.rank
    for send in (comm.send, comm.isend):
        send(mine, comm.rank)
        same(comm.recv(mine, comm.rank), mine)
    same(comm.sendrecv(mine, comm.rank, mine, comm.rank), mine)


def test_a_rank_may_send_to_itself(run):
    run(to_oneself)


def test_a_message_longer_than_the_mailbox_arrives_in_parts(run):
    run(long_message)


def groups(comm):
    """Even and odd ranks apart, the order reversed by the key; then the whole again; then a group
    of rank 0 alone.
    """
    half = comm.split(comm.rank % 2, key=-comm.rank)
    members = [r for r in reversed(range(comm.size)) if r % 2 == comm.rank % 2]
    assert (half.size, half.rank) == (len(members), members.index(comm.rank))
    for n in (3, 20_000):
        total = half.all_reduce(np.full(n, comm.rank, np.float32))
        same(total, np.full(n, sum(members), np.float32))
        comm.barrier()
    same(half.all_gather(np.array(comm.rank)), np.array(members))
    half.send(np.array([comm.rank]), (half.rank + 1) % half.size)
    assert half.recv(np.array([0]), (half.rank - 1) % half.size)[0] == members[half.rank - 1]
    last = comm.split(0, key=1) if comm.rank == 0 else comm.split(0)  # others have the key 0
    same(last.all_gather(np.array(comm.rank)), np.array([*range(1, comm.size), 0]))
    alone = comm.split(7 if comm.rank == 0 else None)
    assert (alone is None) == (comm.rank != 0)
    same(comm.all_reduce(np.array(1)), np.array(comm.size))


def test_split_makes_groups_that_work_beside_the_whole(run):
    run(groups)


def counted(comm):
    size = comm.size
    rank = comm.rank
    n = 64 * comm.size  # divides evenly: every rank's share is 64 elements
    array = np.zeros(n, np.float32)
    (
        comm.reduce_scatter_(array),
        comm.all_gather_(array),
        comm.all_gather(array),
        comm.broadcast(array),
        comm.barrier(),
    )
    (
        comm.reduce_scatter(array),
        comm.all_to_all([np.zeros(5, np.float32)] * size),
        comm.send(array, (rank + 1) % size),
    )
    comm.recv(array, (rank - 1) % size)
    others = size - 1
    assert comm.bytes_sent == {
        "reduce_scatter_": 4 * 64 * others,
        "all_gather_": 4 * 64 * others,  # together 2 (n-1)/n of the array
        "reduce_scatter": 4 * 64 * others,
        "all_gather": 4 * n * others,
        "broadcast": 4 * n * others * (rank == 0),
        "all_to_all": 4 * 5 * others,
        "send": 4 * n * (size > 1),
        "recv": 0,
        "barrier": 0,
    }
    assert set(comm.calls.values()) == {1}


def test_bytes_sent_are_those_that_leave_the_rank(run):
    run(counted)


def reduced_in_shares(comm):
    n = 16 * 1024 * comm.size  # beyond what every rank adds up for itself
    comm.all_reduce(place(comm, np.zeros(n, np.float32), "window"))
    assert comm.bytes_sent["all_reduce"] == 2 * (comm.size - 1) * n * 4 // comm.size


def test_a_large_all_reduce_sends_as_little_as_a_ring(run):
    run(reduced_in_shares)


def test_shares_cover_every_element_once():
    for size in (1, 2, 3, 7):
        for n in (0, 1, 16, 17, 100, 1000):
            bounds = [share(n, r, size) for r in range(size)]
            assert [i for a, b in bounds for i in range(a, b)] == list(range(n))
            assert all(a % 16 == 0 or a == n for a, _ in bounds)


def one_process_errors(comm):
    size = comm.size
    with pytest.raises(ConfigError, match="no operation 'product'"):
        comm.all_reduce(np.zeros(2), "product")
    with pytest.raises(DtypeError, match="float"):
        comm.all_reduce(1.0)
    with pytest.raises(DtypeError, match="object"):
        comm.all_gather(np.array([None]))
    with pytest.raises(ShapeError, match="contiguous 1-D"):
        comm.reduce_scatter_(np.zeros((2, 2)))
    with pytest.raises(ShapeError, match=f"needs {size} arrays"):
        comm.all_to_all([np.zeros(2)] * (size + 1))
    with pytest.raises(ShapeError, match="reduce_scatter: the first axis"):
        comm.reduce_scatter(np.array(1.0))
    with pytest.raises(ConfigError, match=f"no rank {size}"):
        comm.send(np.zeros(2), size)
    with pytest.raises(ConfigError, match="has sent none"):
        comm.recv(np.zeros(2), comm.rank)
    comm.send(np.zeros(3), comm.rank)
    with pytest.raises(ShapeError, match=r"expects float64 \(2,\).*sent float64 \(3,\)"):
        comm.recv(np.zeros(2), comm.rank)


def test_wrong_arguments_are_named(run):
    run(one_process_errors)


def disagree(comm):
    """Shapes, dtypes and operations that differ between ranks: all ranks hear of it, and can go on."""
    if comm.size == 1:
        return
    odd = comm.rank == 1
    for mine in (np.zeros(3 + odd), np.zeros(3, np.float32 if odd else np.float64)):
        with pytest.raises(
            ShapeError, match=r"rank 0 calls all_reduce sum of float64 \(3,\); rank 1 calls"
        ):
            comm.all_reduce(mine)
    with pytest.raises(ShapeError, match="rank 0 calls barrier; rank 1 calls all_gather"):
        comm.all_gather(np.zeros(2)) if odd else comm.barrier()
    with pytest.raises(ShapeError, match="all_to_all"):
        comm.all_to_all([np.zeros((1, 2 + odd))] * comm.size)
    same(comm.all_reduce(np.array(1)), np.array(comm.size))


def test_ranks_that_disagree_are_told_who_called_what(run):
    run(disagree)


def wrong_message(comm):
    if comm.rank == 0 and comm.size > 1:
        comm.send(np.zeros(4, np.int32), 1)
    if comm.rank == 1:
        with pytest.raises(
            ShapeError,
            match=r"rank 1 expects float32 \(2, 2\) from rank 0, which sent int32 \(4,\)",
        ):
            comm.recv(np.zeros((2, 2), np.float32), 0)


def test_a_message_of_another_shape_is_refused(run):
    run(wrong_message)


def fill_window(comm):
    assert comm.empty((8, 128)).nbytes == 4096
    with pytest.raises(ConfigError, match="larger capacity"):
        comm.empty(1)


def test_an_exhausted_window_says_how_to_get_more():
    launch(fill_window, 2, capacity=4096, mailbox=MAILBOX)


def leave_early(comm):
    if comm.rank == 1:
        comm.barrier()


def test_waiting_for_a_worker_that_has_returned_is_an_error():
    with pytest.raises(WorkerError, match="waits for worker 0, which has returned"):
        launch(leave_early, 2, capacity=4096, mailbox=MAILBOX)


def two_are_late(comm):
    if comm.rank in (1, 3):
        signal.pause()  # never comes
    comm.all_reduce(np.zeros(3))


def never_sent(comm):
    if comm.rank == 1:
        signal.pause()  # never comes
    comm.recv(np.zeros(2), 1)


def never_received(comm):
    if comm.rank == 1:
        signal.pause()  # never comes
    comm.send(np.zeros(100_000), 1)


@pytest.mark.parametrize(
    "body, words",
    [
        (two_are_late, r"in all_reduce sum of float64 \(3,\); missing: worker 1, worker 3"),
        (never_sent, r"to receive float64 \(2,\); missing: worker 1"),
        (never_received, r"to send float64 \(100000,\) to worker 1; missing: worker 1"),
    ],
)
def test_a_worker_that_is_late_is_named(body, words):
    size = 4 if body is two_are_late else 2
    with pytest.raises(WorkerError, match=f"worker . of {size} has waited 0.5 s {words}"):
        launch(body, size, capacity=4096, mailbox=MAILBOX, patience=0.5)


def test_a_worker_that_is_slow_is_waited_for_until_patience_ends():
    memory = WorkerMemory(2, 4096, MAILBOX, patience=2 * SLEEP).enter(0)

    def comes_after(tries):
        """A semaphore that is released while its `tries`-th sleep goes on."""
        left = [tries]

        def acquire(block, timeout=None):
            if block:
                assert timeout == SLEEP
                left[0] -= 1
            return left[0] < 0

        return acquire

    memory.wait(comes_after(0), 1, "")
    memory.wait(comes_after(1), 1, "")
    with pytest.raises(WorkerError, match="worker 0 of 2 has waited 1 s for it; missing: worker 1"):
        memory.wait(comes_after(2), 1, "for it")
