"""Devices, moves between them, and the Philox streams (Salmon et al. 2011, Random123)."""

import shutil
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strict_array import StrictArray, synchronizations
from tinylm import backend as devices
from tinylm.backend import (
    PHILOX_CUDA,
    Random,
    backend,
    device_of,
    philox_arrays,
    philox_cpu,
    to_cpu,
    to_device,
)
from tinylm.errors import DeviceError, DtypeError, MissingExtra

WORD = st.integers(0, 2**64 - 1)
ONES = 2**64 - 1
PI = [
    0x243F6A8885A308D3,
    0x13198A2E03707344,
    0xA4093822299F31D0,
    0x082EFA98EC4E6C89,
    0x452821E638D01377,
    0xBE5466CF34E90C6C,
]


@pytest.mark.parametrize(
    "counter, key, answer",
    [  # philox4x64-10 in Random123's kat_vectors
        (
            [0] * 4,
            [0] * 2,
            [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B],
        ),
        (
            [ONES] * 4,
            [ONES] * 2,
            [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
        ),
        (
            PI[:4],
            PI[4:],
            [0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6],
        ),
    ],
)
def test_philox_gives_the_published_answers(counter, key, answer):
    value = sum(word << 64 * i for i, word in enumerate(counter))
    assert (
        philox_cpu(key, (value - 1) % 2**256, 1).tolist() == answer
    )  # block i is the cipher of i + 1


@given(WORD, WORD, st.integers(0, 2**63), st.integers(0, 70))
def test_the_readable_philox_equals_numpys(k0, k1, first, count):
    np.testing.assert_array_equal(
        philox_arrays((k0, k1), first, count), philox_cpu((k0, k1), first, count)
    )


@pytest.mark.skipif(not shutil.which("nvcc"), reason="needs nvcc, the CUDA compiler; no GPU")
def test_the_gpu_kernel_compiles(tmp_path):
    (tmp_path / "philox.cu").write_text(PHILOX_CUDA)
    done = subprocess.run(
        ["nvcc", "-arch=sm_80", "-Werror", "all-warnings", "-ptx", "philox.cu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert ".entry philox" in (tmp_path / "philox.ptx").read_text()


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_the_gpu_kernel_run_as_plain_c_gives_the_same_stream(tmp_path):
    main = (
        """
    #include <cstdio>
    #define __global__
    struct { unsigned x; } blockIdx, blockDim, threadIdx;
    unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned __int128)a * b >> 64; }
    """
        + PHILOX_CUDA
        + """
    int main() {
        unsigned long long out[4 * 300];
        blockDim.x = 256;
        for (blockIdx.x = 0; blockIdx.x < 2; ++blockIdx.x)
            for (threadIdx.x = 0; threadIdx.x < 256; ++threadIdx.x) philox(out, 5, 300, 0x123456789abcdefULL, ~7ULL);
        for (int i = 0; i < 4 * 300; ++i) printf("%llu ", out[i]);
    }
    """
    )
    (tmp_path / "philox.cpp").write_text(main)
    subprocess.run(["g++", "-o", "philox", "philox.cpp"], cwd=tmp_path, check=True)
    words = subprocess.run(
        [tmp_path / "philox"], capture_output=True, text=True, check=True
    ).stdout.split()
    np.testing.assert_array_equal(
        np.array(words, np.uint64), philox_cpu((0x123456789ABCDEF, 2**64 - 8), 5, 300)
    )


def test_every_device_draws_the_same_stream(device):
    def draws(on):
        rng = Random(7, "dropout", 3, device=on)
        return [
            rng.uniform((5, 3)),
            rng.uniform((2,), np.float64),
            rng.bernoulli(0.3, (11,)),
            rng.integers(-5, 9, (7,)),
            rng.permutation(13),
            rng.uniform(),
            rng.uniform((0, 4)),
            rng.normal((9,)),
            rng.normal((9,), np.float64),
        ]

    for here, there in zip(draws("cpu"), draws(device)):
        assert there.dtype == here.dtype and there.shape == here.shape
        if here.shape == ():  # one number: NumPy's arithmetic makes it a scalar, CuPy's an array
            here, there = np.asarray(here), there if devices.is_array(there) else np.asarray(there)
        assert device_of(there) == device
        if here.shape == (9,):  # log and cos may differ in the last bits: 4 ulp at |x| < 8.6
            np.testing.assert_allclose(
                to_cpu(there), here, rtol=0, atol=64 * np.finfo(here.dtype).eps
            )
        else:
            np.testing.assert_array_equal(to_cpu(there), here)


def test_streams_draw_without_waiting_for_the_device():
    before = synchronizations.copy()
    rng = Random(0, device="strict")
    (
        rng.uniform((4,)),
        rng.normal((4,)),
        rng.integers(0, 9, (4,)),
        rng.bernoulli(0.5, (4,)),
        rng.permutation(4),
    )
    assert synchronizations == before


@given(
    st.integers(0, 9),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.integers(1, 7),
    st.sampled_from(["uniform", "uniform64", "normal", "integers", "bernoulli"]),
)
def test_rows_of_all_workers_concatenate_to_the_whole_draw(seed, parts, width, kind):
    def draw(rng, rows):
        shape = (rows, width)  # rows rarely end on a block of 8 or 4 lanes: borders are uneven
        return {
            "uniform": lambda: rng.uniform(shape),
            "uniform64": lambda: rng.uniform(shape, np.float64),
            "normal": lambda: rng.normal(shape),
            "integers": lambda: rng.integers(0, 1000, shape),
            "bernoulli": lambda: rng.bernoulli(0.5, shape),
        }[kind]()

    total, whole = sum(parts), Random(seed)
    expected = [draw(whole, total), draw(whole, total)]
    firsts, pieces = np.cumsum([0, *parts]), [[], []]
    for first, rows in zip(firsts, parts):
        worker = Random(seed)
        with worker.rows(int(first), total):
            pieces[0].append(draw(worker, rows))
            pieces[1].append(draw(worker, rows))  # the stream has advanced by the whole batch
        assert worker.counter == whole.counter and worker._window is None
    for piece, want in zip(pieces, expected):
        np.testing.assert_array_equal(np.concatenate(piece), want)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uniform_has_the_moments_and_the_range_of_uniform(dtype):
    n = 200_000
    u = Random(1).uniform((n,), dtype).astype(np.float64)
    assert u.min() >= 0 and u.max() < 1
    # Moment k has mean 1/(k+1) and variance 1/(2k+1) - 1/(k+1)^2; 5 standard errors fail one honest
    # seed in 2 million.
    for k in 1, 2, 3, 4:
        grain = (
            2.0**-11 if dtype == np.float16 else 0
        )  # its 11 bits are rounded down, by half of this on average
        assert abs((u**k).mean() - 1 / (k + 1)) < grain + 5 * np.sqrt(
            (1 / (2 * k + 1) - 1 / (k + 1) ** 2) / n
        )
    # Neighbors are independent: their correlation has standard error 1/sqrt(n).
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_follows_the_normal_distribution(dtype):
    from math import erf

    n = 100_000
    x = np.sort(Random(2).normal((n,), dtype).astype(np.float64))
    # Kolmogorov-Smirnov: P(sqrt(n) * distance > 2.2) < 2 exp(-2 * 2.2^2) = 1.3e-4, and the seed is
    # fixed.
    cdf = np.array([0.5 * (1 + erf(v / 2**0.5)) for v in x])
    distance = max(
        np.abs(cdf - np.arange(n) / n).max(), np.abs(cdf - np.arange(1, n + 1) / n).max()
    )
    assert np.sqrt(n) * distance < 2.2
    assert np.isfinite(x).all()
    # Tails: fourth moment 3 with variance (105 - 9) / n.
    assert abs((x**4).mean() - 3) < 5 * np.sqrt(96 / n)


def test_integers_are_uniform_over_their_range():
    n, low, high = 60_000, -3, 9
    counts = np.bincount(Random(3).integers(low, high, (n,)) - low, minlength=high - low)
    assert counts.size == high - low
    # Chi-square with 11 degrees of freedom exceeds 37.4 with probability 1e-4.
    expected = n / (high - low)
    assert ((counts - expected) ** 2 / expected).sum() < 37.4


@given(st.integers(0, 99), st.integers(-(2**62), 2**62), st.integers(1, 50))
def test_integers_stay_in_their_range_however_large_it_begins(seed, low, span):
    drawn = Random(seed).integers(low, low + span, (20,))
    assert drawn.dtype == np.int64 and drawn.min() >= low and drawn.max() < low + span


@given(st.floats(0, 1))
def test_bernoulli_is_true_where_a_uniform_number_is_below_its_probability(p):
    for near in (p, round(p * 64) / 64, p * 2.0**-22):  # also exact ones, and below 24 bits
        expected = Random(7).uniform((50,)) < np.float32(near)
        np.testing.assert_array_equal(Random(7).bernoulli(near, (50,)), expected)


def test_bernoulli_has_its_probability_and_exact_ends():
    n, p = 100_000, 0.1
    assert abs(Random(4).bernoulli(p, (n,)).mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    assert not Random(4).bernoulli(0, (1000,)).any() and Random(4).bernoulli(1, (1000,)).all()


@given(st.integers(0, 99), st.integers(0, 40))
def test_permutation_holds_every_number_once(seed, n):
    assert sorted(Random(seed).permutation(n).tolist()) == list(range(n))


def test_permutations_are_equally_likely():
    rng, n = Random(5), 6000
    seen = {}
    for _ in range(n):
        order = tuple(rng.permutation(3).tolist())
        seen[order] = seen.get(order, 0) + 1
    # Six orders, expected 1000 each; chi-square with 5 degrees of freedom exceeds 25.7 with
    # probability 1e-4.
    assert len(seen) == 6 and sum((count - 1000) ** 2 / 1000 for count in seen.values()) < 25.7


def test_children_and_seeds_have_streams_of_their_own():
    parent = Random(0, "model")
    streams = [
        parent,
        parent.child("a"),
        parent.child("b"),
        parent.child("a", 1),
        Random(1, "model"),
        Random(0),
        Random(0, ""),
    ]
    words = np.concatenate([rng._draw((1000,), 1, np.uint64)[:, 0] for rng in streams])
    assert (
        np.unique(words).size == words.size
    )  # chance of one repeat among 7000 words of 64 bits: 1.3e-12
    assert Random(0, np.int64(3)).key == Random(0, 3).key
    assert parent.child("a").key == Random(0, "model", "a").key and parent.child("a").counter == 0


def test_the_counter_is_the_whole_state():
    rng = Random(6)
    rng.normal((3, 5))
    saved = rng.counter
    ahead = [rng.uniform((4,)), rng.permutation(5), rng.normal((2,))]
    fresh = Random(6)
    fresh.counter = saved
    for want, again in zip(ahead, [fresh.uniform((4,)), fresh.permutation(5), fresh.normal((2,))]):
        np.testing.assert_array_equal(want, again)
    assert isinstance(saved, int) and saved == 4  # 15 normals: 30 lanes of 32 bits, 8 to a block


def test_replayed_streams_repeat_and_then_go_on():
    one, other = Random(8, "one"), Random(8, "other")
    one.uniform((5,))
    with devices.watch_draws() as draws:
        first = [one.uniform((3,)), other.normal((2,)), one.bernoulli(0.5, (9,))]
    after = one.uniform((3,))
    counters = one.counter, other.counter
    with devices.replay_draws(draws):
        again = [one.uniform((3,)), other.normal((2,)), one.bernoulli(0.5, (9,))]
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)
    assert (one.counter, other.counter) == counters and (after != first[0]).any()


def test_nested_watchers_each_see_every_stream_used_inside_them():
    early, late = Random(9, "early"), Random(9, "late")
    with devices.watch_draws() as outer:
        with (
            devices.watch_draws() as inner
        ):  # at its end both hold the same: they must not be mixed up
            early.uniform()
        late.uniform()
    assert [rng for rng, _, _ in inner.values()] == [early]
    assert [rng for rng, _, _ in outer.values()] == [early, late]


def test_watchers_see_the_draws_of_their_own_thread_alone():
    mine, others = Random(9, "mine"), Random(9, "others")
    with devices.watch_draws() as draws:
        mine.uniform()
        thread = threading.Thread(target=others.uniform)
        thread.start()
        thread.join()
    assert [rng for rng, _, _ in draws.values()] == [mine]


def test_arrays_move_between_devices_and_back(device):
    host = np.arange(6, dtype=np.float32).reshape(2, 3).T
    there = to_device(host, device)
    assert device_of(there) == device and devices.is_array(there)
    assert to_device(there, device) is there  # no copy if it is there already
    np.testing.assert_array_equal(to_cpu(there), host)
    assert device_of(to_device(there, "cpu")) == "cpu"
    if device != "cpu":
        to_cpu(there)[...] = -1  # a move is a copy: the device array is not written through
        np.testing.assert_array_equal(to_cpu(there), host)


def test_a_thing_that_is_no_array_is_named(device):
    backend(device)
    assert not devices.is_array([1.0]) and not devices.is_array(np.float32(1))
    with pytest.raises(DtypeError, match="list"):
        device_of([1.0])


def test_an_unknown_device_is_named_beside_the_known_ones():
    with pytest.raises(DeviceError, match="'tpu'.*cpu, gpu"):
        backend("tpu")


@pytest.fixture
def fake_cupy(monkeypatch):
    """Put a module in CuPy's place; the tables of devices are as before at the end."""

    def put(module):
        monkeypatch.setitem(sys.modules, "cupy", module)
        backend.cache_clear()

    monkeypatch.setattr(devices, "_by_type", dict(devices._by_type))
    yield put
    backend.cache_clear()


def test_gpu_without_cupy_says_what_to_install_in_one_line(fake_cupy):
    fake_cupy(None)
    with pytest.raises(MissingExtra, match=r"pip install 'tinylm\[gpu\]'") as caught:
        backend("gpu")
    assert "\n" not in str(caught.value)


def test_gpu_without_a_gpu_is_one_clear_line(fake_cupy):
    fake_cupy(types.SimpleNamespace(is_available=lambda: False))
    with pytest.raises(DeviceError, match="no GPU") as caught:
        backend("gpu")
    assert "\n" not in str(caught.value)


def test_the_gpu_backend_launches_its_kernel_with_the_right_grid_and_arguments(fake_cupy):
    from tests.strict import strict_module, to_numpy

    class Kernel:
        def __init__(self, source, name):
            assert f"void {name}(" in source

        def __call__(self, grid, block, arguments):
            out, first, count, k0, k1 = arguments
            assert grid[0] >= 1 and grid[0] * block[0] >= count and out.size == 4 * count
            assert all(type(x) is np.uint64 for x in (first, count, k0, k1))
            out[...] = StrictArray(philox_arrays((k0, k1), first, count))

    fake_cupy(
        types.SimpleNamespace(
            is_available=lambda: True,
            RawKernel=Kernel,
            ndarray=StrictArray,
            asnumpy=to_numpy,
            empty=strict_module.empty,
            asarray=strict_module.asarray,
        )
    )
    for shape in (300, 5), (3,), (), (0, 2):
        drawn, expected = Random(0, device="gpu").uniform(shape), Random(0).uniform(shape)
        np.testing.assert_array_equal(to_cpu(drawn), expected)


def test_the_device_of_torch_is_pointed_to_ours():
    for name in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError, match=rf"'{name}': .*cpu, gpu.* \(cuda is called gpu"):
            backend(name)
