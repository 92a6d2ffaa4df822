"""CUDA kernels run as C++: the source of tinylm/autograd/device/, compiled by g++.

The strict device runs every block with a single thread, fast enough for whole training steps. The
tests of kernels run all threads of a block as fibers, which take turns at __syncthreads(), forwards
and backwards: a missing barrier gives two results, and a barrier that only some threads reach is an
error. What this does not show is speed, and errors of nvcc. Read next: autograd/device/.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

SHIM = r"""
#include <cmath>
#include <vector>
#include <ucontext.h>
using namespace std;  // exp(float) and its like
struct Three { unsigned x, y, z; };
static Three blockIdx, blockDim, gridDim, threadIdx;
#define __global__
#define __device__
#define __shared__ static
static const size_t STACK = 64 << 10;
static ucontext_t turn;                // of the loop that gives each thread its turn
static vector<ucontext_t> fibers;
static vector<vector<char>> stacks;
static vector<char> ended;
static void (*kernel)();
static void **given;
static void __syncthreads() {
    if (blockDim.x > 1) swapcontext(&fibers[threadIdx.x], &turn);
}
static void fiber() {
    kernel();
    ended[threadIdx.x] = 1;
}
// One block: 0, or 1 if some threads ended while others waited at a barrier.
static int run_block(int backwards) {
    unsigned n = blockDim.x;
    threadIdx = {0, 0, 0};
    if (n == 1) { kernel(); return 0; }
    fibers.resize(n); ended.assign(n, 0);
    while (stacks.size() < n) stacks.emplace_back(STACK);
    for (unsigned t = 0; t < n; ++t) {
        getcontext(&fibers[t]);
        fibers[t].uc_stack.ss_sp = stacks[t].data();
        fibers[t].uc_stack.ss_size = STACK;
        fibers[t].uc_link = &turn;
        makecontext(&fibers[t], fiber, 0);
    }
    for (;;) {
        unsigned done = 0;
        for (unsigned i = 0; i < n; ++i) {
            threadIdx.x = backwards ? n - 1 - i : i;
            swapcontext(&turn, &fibers[threadIdx.x]);
            done += ended[threadIdx.x];
        }
        if (done == n) return 0;
        if (done) return 1;
    }
}
static int run_grid(const unsigned *grid, unsigned threads, int backwards, void **arguments) {
    given = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
                if (run_block(backwards)) return 1;
    return 0;
}
"""
KERNEL = re.compile(r'extern "C" __global__\s+void (\w+)\(([^)]*)\)')


def parameters(source):
    """Kernels of a source: {name: [C type of each parameter]}."""
    return {
        name: [
            re.sub(r"\w+$", "", p.strip()).replace("const ", "").strip() for p in given.split(",")
        ]
        for name, given in KERNEL.findall(source)
    }


def real_of(source):
    """The C type that `real` stands for."""
    return re.search(r"typedef (\w+) real;", source)[1]


def _entry(name, types):
    """C++ that unpacks a launch's arguments, as cuLaunchKernel does."""
    values = ", ".join(f"*({t}*)given[{i}]" for i, t in enumerate(types))
    return (
        f"static void body_{name}() {{ {name}({values}); }}\n"
        f'extern "C" int run_{name}(const unsigned *grid, unsigned threads, int backwards, '
        f"void **arguments) {{ kernel = body_{name}; "
        "return run_grid(grid, threads, backwards, arguments); }\n"
    )


@functools.lru_cache(maxsize=None)
def library(source):
    """The compiled source as a ctypes library. Kept in the folder for temporary files."""
    text = SHIM + source + "".join(_entry(*item) for item in parameters(source).items())
    folder = Path(tempfile.gettempdir()) / f"tinylm_cuda_on_cpu_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / (hashlib.sha256(text.encode()).hexdigest()[:32] + ".so")
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as own:
            (Path(own) / "source.cpp").write_text(text)
            command = "g++ -O2 -shared -fPIC -std=c++17 -w -o made.so source.cpp".split()
            subprocess.run(command, cwd=own, check=True)
            os.replace(Path(own) / "made.so", path)
    return ctypes.PyDLL(str(path))  # holds the interpreter's lock: shared memory is static


def _address(value):
    """(the address of an argument's value, what must stay alive until the launch is over)."""
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous, (
            "a kernel was given an array that is not in row-major order"
        )
        value = np.uint64(value.ctypes.data)
    kept = np.array(value)
    return kept.ctypes.data, kept


_threads = {"all": False, "backwards": False}  # how run() runs a block


@contextlib.contextmanager
def all_threads(backwards=False):
    """A context in which all threads of a block run, from the last to the first if backwards."""
    before = dict(_threads)
    _threads.update(all=True, backwards=backwards)
    try:
        yield
    finally:
        _threads.update(before)


def run(source, name, grid, threads, arguments):
    """Launch a kernel on NumPy arrays, with one thread a block, or all inside all_threads().

    Raises AssertionError for a call that a GPU would not take.
    """
    types = [t.replace("real", real_of(source)) for t in parameters(source)[name]]
    assert len(types) == len(arguments), f"{name} takes {types}"
    for kind, value in zip(types, arguments):
        if isinstance(value, np.ndarray):
            want = {"float": "f4", "double": "f8", "long long": "i8", "bool": "b1"}
            assert kind.endswith("*") and value.dtype == want[kind.rstrip("* ")], (
                name,
                kind,
                value,
            )
        else:
            want = {"long long": np.int64, "double": np.float64}.get(kind, np.uint64)
            assert type(value) is want, (name, kind, value)
    grid = (*grid, 1, 1)[:3]
    assert min(grid) > 0 and grid[0] < 2**31 and max(grid[1:]) < 2**16 and 0 < threads <= 1024
    pairs = [_address(value) for value in arguments]
    pointers = (ctypes.c_void_p * len(pairs))(*[address for address, _ in pairs])
    launch = getattr(library(source), f"run_{name}")
    if not _threads["all"]:
        threads = 1
    assert not launch((ctypes.c_uint * 3)(*grid), threads, int(_threads["backwards"]), pointers), (
        f"{name}: a barrier that only some threads reach"
    )


@functools.lru_cache(maxsize=None)
def available():
    """True where there is a compiler that takes the shim; elsewhere NumPy's names compute all."""
    if not shutil.which("g++"):
        return False
    try:
        library("")
    except (subprocess.CalledProcessError, OSError):
        return False
    return True
