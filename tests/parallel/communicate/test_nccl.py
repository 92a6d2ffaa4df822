"""The engine over NCCL: what it tells NCCL, by a stand-in; and NCCL itself on one rank, where there
is a GPU.
"""

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest

from tests.parallel.communicate import test_communicator as bodies
from tests.parallel.communicate import test_rings as rings
from tests.parallel.communicate.nccl_stand_in import BESIDE, STREAM, NcclError, StandIn
from tests.parallel.experts.test_layer import RICH as EXPERTS
from tests.parallel.layouts import CLIP, RATE, SEED, STEPS, alone, batches
from tests.parallel.test_layouts import LONG, with_layout
from tinylm import backend as devices
from tinylm.cli import main
from tinylm.errors import ConfigError, DeadlockError, DtypeError, MissingExtra, WorkerError
from tinylm.models import GPT
from tinylm.optim import AdamW
from tinylm.parallel import SingleProcess, run
from tinylm.parallel.communicate import cupy_nccl
from tinylm.parallel.communicate import nccl as engine
from tinylm.parallel.communicate.cupy_nccl import local_rank, packed_id, unpacked_id
from tinylm.parallel.communicate.nccl import Nccl
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.together import Together
from tinylm.train import TrainConfig, prepare_run
from tinylm.train.run.run import new_trainer

DTYPES = np.float32, np.float64, np.float16, np.int64, np.int8, np.bool_


def on_stand_in(body, size, *args, ids=tuple, **options):
    """The body on `size` ranks, each with an Nccl whose GPU and NCCL are stand-ins: results."""
    networks = {}

    def program(comm):
        library = StandIn(comm.split(0), networks, ids)
        return body(Nccl(comm, library=library, **options), *args)

    return simulate(program, size).results


def host(array):
    if devices.is_array(array):
        return devices.to_cpu(array)
    return np.asarray(array)


@pytest.fixture
def on_the_gpu(monkeypatch):
    """Bodies of test_communicator.py with their arrays on the device of the stand-in."""

    def place(comm, array, where):
        array = devices.to_device(host(array), "strict")
        if where == "window":
            copy = comm.empty(array.shape, array.dtype)
        elif where == "strided":
            copy = np.zeros_like(array, shape=(*array.shape, 2))[..., 0]
        else:
            copy = np.empty_like(array)
        copy[...] = array
        return copy

    equal = bodies.same
    monkeypatch.setattr(bodies, "place", place)
    monkeypatch.setattr(bodies, "same", lambda got, expected: equal(host(got), host(expected)))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("where", ["window", "ordinary", "strided"])
def test_collectives_of_arrays_on_the_gpu_equal_numpy(on_the_gpu, size, where):
    def body(comm):
        for dtype in DTYPES:
            for seed, shape in enumerate([(), (0,), (5,), (17, 3), (2, 1, 40)]):
                bodies.every_collective(comm, seed, shape, dtype, where)
        for n in (0, 1, 15, 16, 17, 33, 1025):
            bodies.sharded(comm, n, where if where != "strided" else "window")
        bodies.mixed(comm)

    on_stand_in(body, size, ids=bytes if size == 3 else tuple)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_arrays_in_host_memory_go_by_the_other_engine(size):
    def body(comm):
        bodies.every_collective(comm, 3, (5, 2), np.float64, "ordinary")
        bodies.transpose_back(comm, 3)
        bodies.ring(comm, 256)
        bodies.long_message(comm)
        bodies.to_oneself(comm)
        bodies.groups(comm)
        bodies.disagree(comm)
        bodies.one_process_errors(comm)

    def counted(comm):
        bodies.counted(comm)

    on_stand_in(body, size)
    on_stand_in(counted, size)


def test_bytes_of_the_gpu_are_counted_like_those_of_the_host():
    """Each operation once, on an array of either: the counters are equal."""

    def body(comm):
        found = []
        for device in ("cpu", "strict"):
            array = devices.to_device(np.zeros(64 * comm.size, np.float32), device)
            before = comm.bytes_sent.copy()
            comm.all_reduce(array), comm.all_gather(array), comm.reduce_scatter(array)
            comm.reduce_scatter_(array), comm.all_gather_(array), comm.broadcast(array, 1)
            comm.all_to_all([array] * comm.size)
            comm.sendrecv(array, (comm.rank + 1) % comm.size, array, (comm.rank - 1) % comm.size)
            found.append(comm.bytes_sent - before)
        assert found[0] == found[1] and found[0]["all_reduce"] == 2 * 2 * 64 * 4

    on_stand_in(body, 3)


@pytest.mark.parametrize("width", [0, 1, 7])
def test_parcels_on_the_gpu_arrive_at_their_ranks(width):
    def body(comm):
        rank, size = comm.rank, comm.size
        give = [np.full((rank + 2 * j, width), 10 * rank + j, np.int16) for j in range(size)]
        got = comm.all_to_all([devices.to_device(array, "strict") for array in give])
        for i in range(size):
            bodies.same(host(got[i]), np.full((i + 2 * rank, width), 10 * i + rank, np.int16))
        for first, again in zip(give, comm.all_to_all(got)):
            bodies.same(host(again), first)

    on_stand_in(body, 4)


def test_parcels_that_are_not_contiguous_arrive_row_by_row():
    """Transposed parcels, whose likes NumPy and CuPy would lay out as they are."""

    def body(comm):
        whole = np.arange(24.0).reshape(2, 3, 4) + 100 * comm.rank
        mine = devices.to_device(whole, "strict").transpose(2, 1, 0)  # (4, 3, 2)
        for source, got in enumerate(comm.all_to_all([mine] * comm.size)):
            expected = np.arange(24.0).reshape(2, 3, 4).transpose(2, 1, 0) + 100 * source
            np.testing.assert_array_equal(host(got), expected)

    on_stand_in(body, 2)


@pytest.mark.parametrize("route", rings.ROUTES)
def test_routes_of_messages_between_gpus_end_in_the_sum(route):
    """Arrays beyond what passes through host memory, and below."""

    def body(comm):
        for n in (30, engine.EAGER // 4 + 1000):
            array = devices.to_device(np.arange(float(n)) * (comm.rank + 1), "strict")
            route(comm, array)
            np.testing.assert_array_equal(host(array), np.arange(float(n)) * 6)

    on_stand_in(body, 3)


def test_messages_arrive_in_order_whatever_way_they_come():
    """Small and large, on the GPU and not, sent at once and waiting, in a reversed group."""
    large = engine.EAGER + 8

    def body(comm):
        group = comm.split(0, key=-comm.rank)
        sizes = [3, large, 5, large]
        if group.rank == 0:
            for k, n in enumerate(sizes):
                device = "cpu" if k == 3 else "strict"
                group.send(devices.to_device(np.full(n, k, np.uint8), device), 2)
            group.isend(devices.to_device(np.full(large, 9, np.uint8), "strict"), 2)
            group.flush()
        elif group.rank == 2:
            for k, n in enumerate(sizes):
                came = group.recv(np.empty(n, np.uint8), 0)
                assert devices.device_of(came) == ("cpu" if k == 3 else "strict")
                np.testing.assert_array_equal(host(came), k)
            assert host(group.recv(np.empty(large, np.uint8), 0))[0] == 9

    on_stand_in(body, 3)


def test_two_ranks_that_send_each_other_large_arrays_use_sendrecv():
    def array(comm):
        return devices.to_device(np.full(engine.EAGER, comm.rank, np.int64), "strict")

    def swap(comm):
        came = comm.sendrecv(array(comm), 1 - comm.rank, array(comm), 1 - comm.rank)
        assert (host(came) == 1 - comm.rank).all()

    def both_send(comm):
        comm.send(array(comm), 1 - comm.rank)
        comm.recv(array(comm), 1 - comm.rank)

    on_stand_in(swap, 2)
    with pytest.raises(DeadlockError):
        on_stand_in(both_send, 2)


def test_a_message_of_another_shape_is_refused_after_it_has_come():
    def body(comm):
        for n in (4, engine.EAGER):
            sent = devices.to_device(np.zeros(n), "strict")
            if comm.rank == 0:
                comm.send(sent, 1)
            else:
                with pytest.raises(Exception, match=r"expects float32 \(2,\).*sent float64"):
                    comm.recv(np.zeros(2, np.float32), 0)

    on_stand_in(body, 2)


def test_reductions_say_their_type_count_and_root():
    """In elements of the array's type; what is only moved, in bytes."""

    def body(comm):
        log = comm._library.log
        for dtype in (np.float32, np.complex128, np.bool_):
            array = devices.to_device(np.ones((2, 3), dtype), "strict")
            comm.all_reduce(array)
        comm.broadcast(array, 1)
        comm.all_gather(devices.to_device(np.ones(3, np.int16), "strict"))
        comm.reduce_scatter_(devices.to_device(np.ones(20, np.int64), "strict"))
        return log

    # float32 is type 7 and float64 8, uint8 1 and int64 4; a sum is 0 and a maximum 2
    assert on_stand_in(body, 2)[0] == [
        ("allReduce", 6, 7, 0), ("allReduce", 12, 8, 0), ("allReduce", 6, 1, 2),
        ("broadcast", 6, 1, 1), ("allGather", 6, 1), ("reduceScatter", 16, 4, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("dtype, op", [(np.int16, "sum"), (np.complex64, "max")])
def test_what_nccl_cannot_combine_is_refused(dtype, op):
    def body(comm):
        with pytest.raises(DtypeError, match=f"NCCL has no {op} of {np.dtype(dtype)}"):
            comm.all_reduce(devices.to_device(np.ones(3, dtype), "strict"), op)

    on_stand_in(body, 2)


def test_ranks_that_disagree_are_told_before_nccl_is_called():
    def body(comm):
        array = devices.to_device(np.zeros(3 + (comm.rank == 1)), "strict")
        words = r"rank 0 calls all_reduce sum of float64 \(3,\) on the GPU; rank 1 calls .* \(4,\)"
        with pytest.raises(Exception, match=words):
            comm.all_reduce(array)
        assert comm._library.log == []
        array = devices.to_device(np.ones(2), "strict")
        assert host(comm.all_reduce(array))[0] == comm.size  # it goes on

    on_stand_in(body, 3)
    # Without the check NCCL itself gets them.
    unequal = lambda comm: comm.all_reduce(  # noqa: E731
        devices.to_device(np.zeros(3 + (comm.rank == 1)), "strict")
    )
    with pytest.raises(WorkerError, match="failed in NCCL|expects"):
        on_stand_in(unequal, 2, check=False)


def test_groups_have_communicators_of_their_own_made_when_needed():
    def body(comm):
        pairs, alone = comm.split(comm.rank // 2), comm.split(comm.rank)
        networks = comm._library.nccl.networks
        comm.barrier()
        before = len(networks)
        comm.barrier()
        total = pairs.all_reduce(devices.to_device(np.array([comm.rank]), "strict"))
        assert host(total)[0] == (1 if comm.rank < 2 else 5)
        comm.barrier()
        after = len(networks)
        comm.barrier()
        assert before == 1 and after == 3  # all ranks, and two pairs
        assert host(alone.all_gather(total)).shape == (1,)
        return comm._library.chosen

    assert on_stand_in(body, 4) == [0, 1, 2, 3]  # a GPU each


def test_errors_of_nccl_end_the_communicator():
    def asynchronous(comm):
        comm._library.hangs = True  # the GPU is never done
        comm._library.nccl.error = NcclError("NCCL_ERROR_SYSTEM_ERROR: a cable")
        with pytest.raises(WorkerError, match=r"rank \d of 2: all_reduce .* failed .* a cable"):
            comm.all_reduce(devices.to_device(np.zeros(3), "strict"))
        assert comm._own is None

    def waits_too_long(comm):
        comm._library.hangs = True
        nccl = comm._connected()
        with pytest.raises(WorkerError, match=r"has waited 0.01 s in all_reduce sum of float64"):
            comm.all_reduce(devices.to_device(np.zeros(3), "strict"))
        assert nccl.aborted

    on_stand_in(asynchronous, 2)
    on_stand_in(waits_too_long, 2, patience=0.01)


def test_sums_beside_the_work_have_a_stream_of_their_own():
    def body(comm):
        arrays = [devices.to_device(np.full((2, n), comm.rank + 1.0), "strict") for n in (3, 0, 5)]
        strided = arrays[2].transpose()
        waits = [comm.iall_reduce(array) for array in (*arrays[:2], strided)]
        small = np.array(comm.rank)
        waits.append(comm.iall_reduce(small, "max"))
        found = [wait() for wait in waits]
        assert found[0] is arrays[0] and found[2] is strided and found[3] is small
        assert (host(arrays[0]) == 3).all() and (host(arrays[2]) == 3).all() and small == 1
        assert comm._library.nccl.streams == [BESIDE, BESIDE]
        assert comm.bytes_sent["iall_reduce"] == 6 * 8 + 10 * 8 + 8
        comm.all_reduce(arrays[0])
        assert comm._library.nccl.streams[2] == STREAM

    def late(comm):
        comm._library.hangs = True
        wait = comm.iall_reduce(devices.to_device(np.ones(3), "strict"))
        with pytest.raises(
            WorkerError, match=r"waited 0.01 s in iall_reduce sum of float64 \(3,\)"
        ):
            wait()

    on_stand_in(body, 2)
    on_stand_in(late, 2, patience=0.01)


def test_unique_ids_of_both_kinds_survive_the_way():
    for unique in (bytes(range(128, 256)), tuple(range(-64, 64))):
        assert unpacked_id(packed_id(unique)) == unique


def test_a_machine_with_fewer_gpus_and_cupy_without_nccl_are_named(monkeypatch):
    """The few lines that touch CuPy, with something in its place: two GPUs, and no NCCL."""
    used, asked = [], []
    runtime = SimpleNamespace(getDeviceCount=lambda: 2)
    device = lambda number: SimpleNamespace(use=lambda: used.append(number))  # noqa: E731
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=device))
    nccl = SimpleNamespace(available=True)

    def loaded(name):
        asked.append(name)
        return nccl

    monkeypatch.setattr(cupy_nccl, "backend", lambda name: SimpleNamespace(module=cupy))
    monkeypatch.setattr(cupy_nccl.importlib, "import_module", loaded)
    library = cupy_nccl.CuPy()
    assert asked == ["cupy.cuda.nccl"] and library.nccl is nccl
    library.choose(1)
    assert used == [1]
    with pytest.raises(
        ConfigError, match="this is process 3 of its machine, which has 2; start at"
    ):
        library.choose(2)
    nccl.available = False
    with pytest.raises(MissingExtra, match="CuPy finds no NCCL here"):
        cupy_nccl.CuPy()


def test_processes_are_counted_on_each_machine(monkeypatch):
    def body(comm):
        monkeypatch.setattr(cupy_nccl.socket, "gethostname", lambda: "ab"[comm.rank % 2])
        return local_rank(comm)

    assert simulate(body, 5).results == [0, 0, 1, 1, 2]


def test_without_cupy_it_says_what_to_install():
    try:
        import cupy  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match=re.escape("pip install 'tinylm[gpu]'")):
            Nccl(SingleProcess())


ON_DEVICES = [Layout(dp=2), Layout(tp=2, sequence=True), Layout(pp=2), Layout(cp=2)]
ON_DEVICES += [Layout(cp=2, heads=True), Layout(dp=2, zero=2), Layout(dp=2, zero=3)]


DRAWS = [with_layout(config=LONG, layout=layout, micros=2) for layout in ON_DEVICES]
DRAWS.append(dataclasses.replace(EXPERTS, layout=Layout(ep=2), micros=1))


@pytest.mark.parametrize("found", DRAWS, ids=lambda found: str(found.layout))
def test_layouts_on_the_stand_in_are_the_single_process(found):
    """A decoder on the device that keeps CuPy's rules; activations, gradients by the stand-in."""

    def shared(comm):
        model = GPT(found.config, SEED, np.float64).to("strict")
        together = Together(model, Mesh(comm, found.layout))
        trainer = ParallelTrainer(
            together, found.objective, AdamW, batches(found), found.rows, RATE, CLIP,
            found.micros, seed=SEED,
        )  # fmt: skip
        return [trainer.advance() for _ in range(STEPS)]

    expected = alone(found)[0]
    for steps in on_stand_in(shared, found.layout.size):
        for got, own in zip(steps, expected):
            np.testing.assert_allclose(got.loss, own.loss, rtol=1e-9)
            np.testing.assert_allclose(got.grad_norm, own.grad_norm, rtol=1e-9)


def test_a_run_with_a_layout_and_a_device_exchanges_by_nccl(book, tmp_path, monkeypatch):
    """The trainer that `tinylm train --device gpu --parallel tp=2` makes, on the stand-in."""
    small = {"data": str(book), "tokenizer": "chars", "n_layer": 1, "n_head": 2, "d_model": 8}
    small |= {"context": 8, "batch_size": 4, "dtype": "float64", "eval_every": 0}

    def steps(trainer):
        return [(step.loss, step.grad_norm) for step in (trainer.advance(), trainer.advance())]

    alone = prepare_run(TrainConfig(out=str(tmp_path / "a"), **small), lambda text: None)
    expected = steps(new_trainer(alone, SingleProcess()))
    alone.lock.close()
    given = {"parallel": "tp=2", "device": "strict", "out": str(tmp_path / "b")}
    together = prepare_run(TrainConfig(**small, **given), lambda text: None)
    networks, made = {}, []

    def nccl(comm):
        made.append(Nccl(comm, library=StandIn(comm.split(0), networks)))
        return made[-1]

    monkeypatch.setattr(run, "Nccl", nccl)
    for found in simulate(lambda comm: steps(run.make_trainer(together, comm)), 2).results:
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    together.lock.close()
    assert {call[0] for one in made for call in one._library.log} >= {"allReduce"}


def test_gpus_are_for_processes_that_mpiexec_starts(book, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tinylm.parallel.communicate.mpi.STARTED", ())
    argv = ["train", "--data", str(book), "--out", str(tmp_path / "run"), "--tokenizer", "chars"]
    assert main([*argv, "--parallel", "tp=2", "--device", "strict"]) == 1
    assert "start them by mpiexec -n 2 tinylm train" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# NCCL itself


def test_on_one_gpu_collectives_equal_numpy(on_the_gpu, monkeypatch):
    """Where there is a GPU: one rank, through NCCL."""
    cupy = pytest.importorskip("cupy")
    if not cupy.is_available():
        pytest.skip("CuPy finds no GPU")
    place = bodies.place
    assert place is not None
    monkeypatch.setattr(bodies, "place", lambda comm, array, where: cupy.asarray(array))
    comm = Nccl(SingleProcess())
    for dtype in DTYPES:
        for seed, shape in enumerate([(), (5,), (17, 3)]):
            bodies.every_collective(comm, seed, shape, dtype, "ordinary")
    bodies.sharded(comm, 1025, "ordinary")
    with pytest.raises(ConfigError, match="needs a GPU for every process"):
        comm._library.choose(cupy.cuda.runtime.getDeviceCount())
