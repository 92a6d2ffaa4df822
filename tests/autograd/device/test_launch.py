"""The kernels' source: compiled for a GPU where nvcc is installed, and how it runs as C++."""

import importlib
import pkgutil
import shutil
import subprocess

import numpy as np
import pytest

from tests import cuda_on_cpu
from tests.strict import strict_module, to_numpy
from tinylm.autograd import device
from tinylm.autograd.device.launch import PRELUDE, Source, blocks_for, can_launch, threads_for
from tinylm.backend import backend

SOURCES = {
    module.name: importlib.import_module(f"{device.__name__}.{module.name}").SOURCE
    for module in pkgutil.iter_modules(device.__path__)
    if module.name != "launch"
}


@pytest.fixture(autouse=True)
def strict_device():
    """Its arrays are known from its first use on."""
    return backend("strict")


needs_compiler = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")


@pytest.mark.slow  # the compiler takes seconds
@pytest.mark.skipif(not shutil.which("nvcc"), reason="needs nvcc, the CUDA compiler; no GPU")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_kernels_compile_for_a_gpu(tmp_path, dtype):
    """In one file, to compile the prelude once; so no two kernels may have one name."""
    texts = [source.texts[dtype] for source in SOURCES.values()]
    prelude = texts[0][: texts[0].index("template")]
    common = PRELUDE[PRELUDE.index("template") :]
    whole = prelude + common + "".join(t[len(prelude) + len(common) :] for t in texts)
    (tmp_path / "all.cu").write_text(whole)
    done = subprocess.run(
        ["nvcc", "-arch=sm_80", "-Werror", "all-warnings", "-ptx", "all.cu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names = [name for text in texts for name in cuda_on_cpu.parameters(text)]
    written = (tmp_path / "all.ptx").read_text()
    assert names and all(f".entry {name}(" in written for name in names)


def test_kernels_take_pointers_whole_numbers_and_doubles():
    for module, source in SOURCES.items():
        for name, types in cuda_on_cpu.parameters(source.texts["float32"]).items():
            assert all(t.endswith("*") or t in ("long long", "double") for t in types), (
                module,
                name,
            )


def test_no_kernel_adds_without_an_order():
    for module, source in SOURCES.items():
        assert "atomic" not in source.texts["float32"], module


def test_sizes_of_launches():
    assert [threads_for(n) for n in (1, 33, 200, 5000)] == [32, 64, 256, 256]
    assert [blocks_for(n) for n in (0, 1, 256, 257)] == [1, 1, 1, 2] and blocks_for(10**9, 7) == 7


def test_arrays_that_kernels_do_not_take():
    x = strict_module.asarray(np.ones(3))
    assert can_launch(x, None, x) == cuda_on_cpu.available()
    assert not can_launch(np.ones(3)) and not can_launch(x, np.ones(3))
    assert not can_launch(x.astype(np.float16)) and not can_launch(x, x.astype(np.float32))
    assert not can_launch(x[:0])


FAULTY = Source(
    r"""
extern "C" __global__ void races(const real *x, real *y) {
    __shared__ real shared[256];
    shared[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];  // without a barrier before
}
extern "C" __global__ void some_wait(const real *x, real *y) {
    if (threadIdx.x == 0) __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}
"""
)


@needs_compiler
def test_a_missing_barrier_gives_two_results_and_a_barrier_of_some_is_an_error():
    x, found = strict_module.asarray(np.arange(64.0)), []
    for backwards in False, True:
        y = strict_module.zeros(64)
        with cuda_on_cpu.all_threads(backwards):
            FAULTY.launch("races", x, 1, 64, x, y)
        found.append(to_numpy(y))
    assert (found[0] != found[1]).any()
    with cuda_on_cpu.all_threads(), pytest.raises(AssertionError, match="only some threads"):
        FAULTY.launch("some_wait", x, 1, 64, x, y)


@needs_compiler
def test_a_launch_that_a_gpu_would_misread_is_refused():
    x = strict_module.asarray(np.ones((4, 4)))
    with pytest.raises(AssertionError, match="row-major"):
        FAULTY.launch("races", x, 1, 1, x.T, x)
    with pytest.raises(AssertionError, match="double"):
        FAULTY.launch("races", x, 1, 1, strict_module.asarray(np.ones(2, np.int64)), x)
    with pytest.raises(AssertionError, match="takes"):
        FAULTY.launch("races", x, 1, 1, x)
