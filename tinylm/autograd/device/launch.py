"""CUDA source for two dtypes, and its launch on the device where the arrays live.

A kernel is written for any number of threads in a block: every loop over elements starts at
threadIdx.x and goes on by blockDim.x, and what threads exchange goes through shared memory between
two __syncthreads(). So one thread a block computes the same, and the tests run the source as C++ on
a machine without a GPU. Kernels take pointers, `long long` and `double`, nothing else.
"""

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike

THREADS = 256  # of a block at most, a power of two; as many as `shared` arrays have room for

PRELUDE = r"""
typedef REAL real;
#define LARGEST ((real)LIMIT)  // the largest finite number

__device__ inline bool is_finite(double x) { return x - x == 0; }  // inf - inf is nan

// The sum over the threads of a block, the same in all of them. Their number is a power of two.
template <class T> __device__ T block_sum(T value, T *shared) {
    __syncthreads();  // what stands there may be read still
    shared[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    return shared[0];
}

// The largest value in a block; nan if there is one.
template <class T> __device__ T larger(T a, T b) { return a > b || a != a ? a : b; }
template <class T> __device__ T block_max(T value, T *shared) {
    __syncthreads();
    shared[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            shared[threadIdx.x] = larger(shared[threadIdx.x], shared[threadIdx.x + half]);
        __syncthreads();
    }
    return shared[0];
}

// Whether query t of head (b, h) sees key s; mask has these strides, in elements. A causal query
// sees keys up to t + ahead.
__device__ bool sees(const bool *mask, const long long *strides, const long long causal,
                     long long ahead, long long b, long long h, long long t, long long s) {
    if (causal && s > t + ahead) return false;
    return !mask || mask[b * strides[0] + h * strides[1] + t * strides[2] + s * strides[3]];
}
"""
# float of C, and the largest finite number of its kind
REALS = {"float32": ("float", "3.402823466e38f"), "float64": ("double", "1.797693134862315e308")}


class Source:
    """CUDA source of some kernels, for float32 and float64.

    text   without the prelude; `real` stands for the dtype
    """

    def __init__(self, text: str) -> None:
        self.texts = {}
        for dtype, (real, limit) in REALS.items():
            prelude = PRELUDE.replace("REAL", real).replace("LIMIT", limit)
            self.texts[dtype] = prelude + text

    def launch(
        self,
        name: str,
        like: np.ndarray,
        grid: int | tuple[int, ...],
        threads: int,
        *arguments: ArrayLike | None,
    ) -> None:
        """Run a kernel on the device of `like`, an array of its dtype.

        grid       blocks, a number or a tuple of up to three
        arguments  arrays in row-major order, whole numbers, floats, and None for no array
        """
        if isinstance(grid, int):
            grid = (grid,)
        plain = tuple([_argument(a) for a in arguments])
        backend.backend_of(like).launch(self.texts[like.dtype.name], name, grid, threads, plain)


def _argument(value):
    """A kernel's argument: numbers in the types that the sources have."""
    if value is None:
        return np.uint64(0)  # a null pointer
    if isinstance(value, (bool, int)):
        return np.int64(value)
    if isinstance(value, float):
        return np.float64(value)
    return value


def can_launch(*arrays: np.ndarray | None) -> bool:
    """True if the arrays live on a device with kernels, hold something, and are of one dtype that
    the sources have. None among them is passed over.
    """
    first = arrays[0]
    if type(first) is np.ndarray or not backend.is_array(first):
        return False
    if backend.backend_of(first).launch is None:
        return False
    kind, dtype = type(first), first.dtype
    same = all([a is None or (type(a) is kind and a.dtype == dtype and a.size) for a in arrays])
    return same and dtype.name in REALS


def contiguous(x: np.ndarray | None) -> np.ndarray | None:
    """The array in row-major order, no copy if it is; None stays None."""
    if x is None or x.flags.c_contiguous:
        return x
    return x.copy()  # in row-major order, here and in CuPy


def rows_of(x: np.ndarray) -> tuple[np.ndarray, np.uint64, list[int]]:
    """An array for a kernel that takes strides: (the array, its address, its strides in elements,
    of all axes but the last, which are contiguous). It must be held until the launch.
    """
    if x.strides[-1] != x.dtype.itemsize:
        x = x.copy()
    return x, np.uint64(x.data.ptr), [step // x.dtype.itemsize for step in x.strides[:-1]]


def threads_for(n: int) -> int:
    """Threads of a block that walks over n elements: a power of two."""
    threads = 32
    while threads < n and threads < THREADS:
        threads *= 2
    return threads


def blocks_for(n: int, most: int = 65535) -> int:
    """Blocks of THREADS threads for n elements, of which a thread takes one, or several in turn."""
    return max(1, min(-(-n // THREADS), most))
