"""Devices for arrays, and random numbers that are the same on all of them.

tinylm calls `np.exp(x)` everywhere and relies on NumPy's dispatch protocol: given a CuPy array,
`np.exp` runs on the GPU and returns a CuPy array. This file holds what dispatch cannot do: naming
devices, moving arrays between them (never silently), and random streams that give the same numbers
on every device. It imports nothing of tinylm but errors and machine. Read next:
`autograd/engine/tensor.py`.
"""

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.errors import DeviceError, DtypeError, MissingExtra
from tinylm.machine import blas_threads, cores, keep_freed_memory  # noqa: F401  for tl.backend

# Two words of the type hints. An np.ndarray in a hint is an array of any device, or a NumPy scalar
# where there are no axes; int and float include NumPy's.
DType = np.dtype | type | str  # whatever np.dtype() takes: np.float32, "float32", float
ArrayLike = np.ndarray | np.generic | Sequence | float  # whatever np.asarray() makes an array of


@dataclass(frozen=True)
class Backend:
    """One kind of array.

    name        of the device
    module      with NumPy's names: numpy, cupy
    array_type  class of its arrays
    from_numpy  NumPy array -> array of this device
    to_numpy    the inverse
    philox      (key, first, count) -> random blocks, as philox_cpu
    launch      (source, name, grid, threads, arguments): run a kernel of CUDA source text;
                None for a device without: all is computed by functions with NumPy's names.
                autograd/device/ holds the kernels
    """

    name: str
    module: Any
    array_type: type
    from_numpy: Callable
    to_numpy: Callable
    philox: Callable
    launch: Callable | None = None


def philox_cpu(key: Sequence[int], first: int, count: int) -> np.ndarray:
    """Blocks first .. first+count-1 of the Philox4x64-10 stream of `key`, by NumPy's own generator.

    key      two integers below 2**64
    returns  (4 * count,) uint64. Block i is the cipher of the 256-bit counter value i + 1: NumPy
             advances the counter before the first block, and the other backends do the same.
    """
    stream = np.random.Philox(key=np.array(key, np.uint64), counter=int(first))
    return stream.random_raw(4 * int(count))


def philox_arrays(key: Sequence[int], first: int, count: int) -> np.ndarray:
    """The readable twin of `philox_cpu`: ten rounds of multiply, swap and xor (Salmon et al. 2011).

    It is a block cipher of a counter, so any block can be computed on its own, on any device, in
    any order.
    """
    low32, half = np.uint64(0xFFFFFFFF), np.uint64(32)

    def multiply(constant, x):
        """The 128-bit product of two 64-bit integers as (high 64 bits, low 64 bits)."""
        # Schoolbook multiplication with 32-bit digits: c = c1 2^32 + c0, x = x1 2^32 + x0.
        c1, c0 = constant >> half, constant & low32
        x1, x0 = x >> half, x & low32
        middle = c1 * x0 + (c0 * x0 >> half)  # cannot overflow: (2^32-1)^2 + 2^32 - 1 < 2^64
        high = c1 * x1 + (middle >> half) + ((middle & low32) + c0 * x1 >> half)
        return high, constant * x

    counter = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(first)
    # The block to encrypt, 256 bits as four words: the counter in the lowest, zeros above it.
    v = [counter, np.zeros_like(counter), np.zeros_like(counter), np.zeros_like(counter)]
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        high0, low0 = multiply(np.uint64(0xD2E7470EE14C6C93), v[0])
        high1, low1 = multiply(np.uint64(0xCA5A826395121157), v[2])
        v = [high1 ^ v[1] ^ np.uint64(k0), low1, high0 ^ v[3] ^ np.uint64(k1), low0]
        k0 = k0 + 0x9E3779B97F4A7C15 & 2**64 - 1  # Weyl sequence: golden ratio and sqrt(3) - 1
        k1 = k1 + 0xBB67AE8584CAA73B & 2**64 - 1
    return np.stack(v, axis=1).ravel()  # (count, 4) -> (4 count,)


# The same cipher for the GPU, one block a thread. tests/test_backend.py compiles it where nvcc is
# installed.
PHILOX_CUDA = r"""
extern "C" __global__
void philox(unsigned long long *out, const unsigned long long first, const unsigned long long count,
            unsigned long long k0, unsigned long long k1) {
    const unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x;
    if (i >= count) return;
    unsigned long long v0 = first + i + 1, v1 = 0, v2 = 0, v3 = 0;
    for (int round = 0; round < 10; ++round) {
        const unsigned long long m0 = 0xD2E7470EE14C6C93ULL, m1 = 0xCA5A826395121157ULL;
        const unsigned long long high0 = __umul64hi(m0, v0), low0 = m0 * v0;
        const unsigned long long high1 = __umul64hi(m1, v2), low1 = m1 * v2;
        v0 = high1 ^ v1 ^ k0;  v1 = low1;  v2 = high0 ^ v3 ^ k1;  v3 = low0;
        k0 += 0x9E3779B97F4A7C15ULL;  k1 += 0xBB67AE8584CAA73BULL;
    }
    out[4 * i] = v0;  out[4 * i + 1] = v1;  out[4 * i + 2] = v2;  out[4 * i + 3] = v3;
}
"""


def _gpu_backend():
    try:
        import cupy
    except ImportError:
        raise MissingExtra(
            "--device gpu needs CuPy: pip install 'tinylm[gpu]' "
            "(or cupy-cuda13x to match your CUDA)"
        ) from None
    if not cupy.is_available():
        raise DeviceError(
            "CuPy is installed but finds no GPU (cupy.is_available() is False): "
            "use --device cpu, or repair the driver"
        )
    kernel = cupy.RawKernel(PHILOX_CUDA, "philox")

    def philox_gpu(key, first, count):
        out = cupy.empty(4 * count, np.uint64)
        key = [np.uint64(k) for k in key]
        if count:  # CUDA refuses a launch of nothing
            kernel((-(-count // 256),), (256,), (out, np.uint64(first), np.uint64(count), *key))
        return out

    @functools.lru_cache(maxsize=None)
    def compiled(source, name):  # CuPy compiles a source once, and keeps the result on disk
        return cupy.RawKernel(source, name)

    def launch(source, name, grid, threads, arguments):
        compiled(source, name)(grid, (threads,), arguments)

    # Arrays come from CuPy's default memory pool: what is freed is kept for the next of its size,
    # as cudaMalloc and cudaFree would wait for the device.
    return Backend("gpu", cupy, cupy.ndarray, cupy.asarray, cupy.asnumpy, philox_gpu, launch)


_cpu = Backend("cpu", np, np.ndarray, lambda a: a, lambda a: a, philox_cpu)
_makers: dict[str, Callable[[], Backend]] = {"cpu": lambda: _cpu, "gpu": _gpu_backend}
_by_type: dict[type, Backend] = {np.ndarray: _cpu}


def register(name: str, maker: Callable[[], Backend]) -> None:
    """Add a device; `maker()` is called on first use and returns its Backend.

    The tests add a strict one: NumPy inside, CuPy's rules outside.
    """
    _makers[name] = maker
    backend.cache_clear()


@functools.lru_cache(maxsize=None)
def backend(device: str) -> Backend:
    """The Backend of a device name. Raises DeviceError, or MissingExtra with what to install."""
    if device not in _makers:
        hint = f"choose one of {', '.join(_makers)}"
        if str(device).startswith("cuda"):
            hint += " (cuda is called gpu here)"
        raise DeviceError(f"no device named {device!r}: {hint}")
    made = _makers[device]()
    _by_type[made.array_type] = made
    return made


def is_array(x: object) -> bool:
    """True for a NumPy array and for an array of any device in use."""
    return type(x) in _by_type or isinstance(x, np.ndarray)


def backend_of(array: np.ndarray) -> Backend:
    """The Backend an array lives on."""
    found = _by_type.get(type(array))
    if found is not None:
        return found
    if isinstance(array, np.ndarray):  # a subclass, such as np.memmap
        return _cpu
    raise DtypeError(
        f"not an array of a known device: {type(array).__name__}; "
        "move it with Tensor(x, device=...)"
    )


def device_of(array: np.ndarray) -> str:
    """The name of the device an array lives on: 'cpu', 'gpu', or one that was registered."""
    return backend_of(array).name


def to_device(array: np.ndarray, device: str) -> np.ndarray:
    """The array on `device`; no copy if it is there already."""
    here, there = backend_of(array), backend(device)
    if here is there:
        return array
    return there.from_numpy(here.to_numpy(array))


def to_cpu(array: np.ndarray) -> np.ndarray:
    """The array as a NumPy array; no copy if it is one."""
    if type(array) is np.ndarray:
        return array
    return backend_of(array).to_numpy(array)


class Random:
    """A random stream: the same seed and the same calls give the same numbers on every device.

    seed, *path   an integer and any names ("dropout", 3): together they select the stream, so a
                  child stream never overlaps its parent's
    device        of the arrays it returns

    The generator is Philox4x64-10 in counter mode: its whole state is `counter`, the number of
    256-bit blocks used so far, so it is saved as one integer and rewound by setting it. Integer and
    bit streams are equal on all devices; floats computed with log and cos agree to rounding.
    """

    def __init__(self, seed: int, *path: int | str, device: str = "cpu") -> None:
        seed = int(seed)
        path = tuple(_plain(name) for name in path)
        self.seed = seed
        self.path = path
        self.device = device
        digest = hashlib.blake2b(repr((seed, *path)).encode(), digest_size=16).digest()
        self.key = (int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"))
        self.counter = 0
        self._window = None  # (first row, rows of the whole batch), see rows()

    def child(self, *path: int | str) -> "Random":
        """An independent stream whose path continues this one's, on the same device."""
        return Random(self.seed, *self.path, *path, device=self.device)

    @contextlib.contextmanager
    def rows(self, first: int, total: int) -> "Iterator[Random]":
        """A context in which the stream draws as one worker of several.

        A draw of shape (b, ...) returns rows first .. first+b-1 of what a single process would draw
        with shape (total, ...), and the stream advances by all of it.
        """
        before = self._window
        self._window = first, total
        try:
            yield self
        finally:
            self._window = before

    def _draw(self, shape, lanes, dtype):
        """`lanes` random integers of `dtype` per element, as (*shape, lanes)."""
        for draws in _watchers.get():
            draws.setdefault(id(self), (self, self.counter, self._window))
        if isinstance(shape, (int, np.integer)):
            shape = (shape,)
        shape = tuple(shape)
        rows = shape[0] if shape else 1
        row = math.prod(shape[1:]) * lanes  # integers in a row
        first, total = self._window or (0, rows)

        # Integers start .. stop-1 of the draw are needed; blocks low .. high-1 contain them.
        start = first * row
        stop = (first + rows) * row
        per_block = 32 // np.dtype(dtype).itemsize  # integers in 256 bits
        low = start // per_block
        high = -(-stop // per_block)
        words = backend(self.device).philox(self.key, self.counter + low, high - low)
        self.counter += -(-total * row // per_block)  # the blocks of all rows
        integers = words.view(dtype)[start - low * per_block : stop - low * per_block]
        return integers.reshape(*shape, lanes)

    def uniform(self, shape: int | Sequence[int] = (), dtype: DType = np.float32) -> np.ndarray:
        """Numbers in [0, 1), with as many random bits as the dtype has digits.

        53 bits for float64, 24 for float32, 11 for float16; one more could round up to 1.
        """
        if np.dtype(dtype) == np.float64:
            return (self._draw(shape, 1, np.uint64)[..., 0] >> np.uint64(11)) * 2.0**-53
        kept = 24
        if np.dtype(dtype) == np.float16:
            kept = 11
        bits = self._draw(shape, 1, np.uint32)[..., 0] >> np.uint32(32 - kept)
        numbers = bits.astype(np.float32) * np.float32(2.0**-kept)
        return numbers.astype(dtype, copy=False)

    def normal(self, shape: int | Sequence[int] = (), dtype: DType = np.float32) -> np.ndarray:
        """Standard normal numbers, sqrt(-2 log u) cos(2 pi v)   (Box & Muller 1958)."""
        # Uniform pairs (*shape, 2) as in uniform(); float16 is computed in float32.
        if np.dtype(dtype) == np.float64:
            pair = (self._draw(shape, 2, np.uint64) >> np.uint64(11)) * 2.0**-53
        else:
            bits = self._draw(shape, 2, np.uint32) >> np.uint32(8)
            pair = bits.astype(np.float32) * np.float32(2.0**-24)
        radius = np.sqrt(-2 * np.log(1 - pair[..., 0]))  # 1 - u is never 0
        angle = (2 * math.pi) * pair[..., 1]
        return (radius * np.cos(angle)).astype(dtype, copy=False)

    def integers(self, low: int, high: int, shape: int | Sequence[int] = ()) -> np.ndarray:
        """Integers in [low, high), int64: floor(u (high - low)) + low.

        u has 53 random bits, so the probabilities are wrong by less than (high - low) / 2**53.
        """
        steps = np.floor(self.uniform(shape, np.float64) * (high - low))
        return steps.astype(np.int64) + low

    def bernoulli(self, p: float, shape: int | Sequence[int] = ()) -> np.ndarray:
        """True where uniform(shape) is below p, a probability to 24 bits. Returns a bool array."""
        # k 2^-24 < p for a whole number k where k < ceil(2^24 p): no number becomes a float.
        bits = self._draw(shape, 1, np.uint32)[..., 0] >> np.uint32(8)
        below = math.ceil(float(np.float32(p)) * 2**24)
        return bits < np.uint32(min(max(below, 0), 1 << 24))

    def permutation(self, n: int) -> np.ndarray:
        """A uniformly random order of 0 .. n-1, int64: the ranks of n random words."""
        return np.argsort(self._draw((n,), 1, np.uint64)[:, 0], kind="stable")

    def __repr__(self) -> str:
        return (
            f"Random(seed={self.seed}, path={self.path}, "
            f"counter={self.counter}, device={self.device!r})"
        )


def _plain(name):
    """A NumPy integer as a Python one, so that np.int64(3) and 3 name the same stream."""
    if isinstance(name, np.integer):
        return int(name)
    return name


# Of each open watch_draws() of this thread: id of a stream -> (stream, counter, window) before its
# first draw. Simulated ranks are threads, and must not replay each other's draws.
_watchers: ContextVar[tuple[dict, ...]] = ContextVar("watchers", default=())


@contextlib.contextmanager
def watch_draws() -> Iterator[dict]:
    """A context that collects every Random used inside, with its state before its first draw.

    yields  the collection, for replay_draws()
    """
    draws: dict = {}
    token = _watchers.set((*_watchers.get(), draws))
    try:
        yield draws
    finally:
        _watchers.reset(token)


@contextlib.contextmanager
def replay_draws(draws: dict) -> Iterator[None]:
    """A context in which the watched streams repeat their draws.

    Afterwards they continue from where they were.
    """
    streams = [rng for rng, _, _ in draws.values()]
    now = [(rng.counter, rng._window) for rng in streams]
    for rng, counter, window in draws.values():
        rng.counter, rng._window = counter, window
    try:
        yield
    finally:
        for rng, (counter, window) in zip(streams, now):
            rng.counter, rng._window = counter, window
