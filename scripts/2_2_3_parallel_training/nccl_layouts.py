"""NCCL on the GPUs of this machine: collectives timed, and layouts against one GPU.

Book section 2.2.3. A process for every GPU, and claims that hold or not:

    1. an all-reduce of n GPUs is the sum; its bus bandwidth, 2 (n-1)/n S / seconds, for S of 64 KB
       to 64 MB; the same by a ring of this project over NCCL's messages
    2. a decoder trained by every layout of n ranks has the losses and gradient norms of one GPU

Without CuPy, NCCL or a GPU it says so and ends; with one GPU the layouts are those of one rank.
About half a minute. `python scripts/2_2_3_parallel_training/nccl_layouts.py [--gpus N]`. Read next:
tinylm/parallel/communicate/nccl.py.

Not measured yet: this project has had no machine with several GPUs. Where it has run, it prints
what goes here.
"""

import argparse
import subprocess
import sys
import time

import numpy as np

from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.parallel import SingleProcess, launch
from tinylm.parallel.communicate.nccl import Nccl
from tinylm.parallel.communicate.rings import ring_all_reduce
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.together import Together
from tinylm.pretrain import CausalLM

CONFIG = GPTConfig(256, 64, 4, 8, 64, n_kv_head=8, positions="rope")
ROWS, STEPS, RATE = 16, 3, 1e-3


def gpus():
    """How many GPUs there are, and why none. Asked in another process: CUDA survives no fork."""
    ask = "import cupy; from cupy.cuda import nccl; assert nccl.available, 'no NCCL'; "
    ask += "print(cupy.cuda.runtime.getDeviceCount())"
    found = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    if found.returncode:
        return 0, found.stderr.strip().splitlines()[-1]
    return int(found.stdout), "CuPy finds no GPU"


def bandwidths(comm):
    """Check and time an all-reduce, NCCL's and a ring of messages: lines of text."""
    found, n = [], comm.size
    for numbers in (1 << 14, 1 << 19, 1 << 24):
        for name, route in (("native", None), ("ring", ring_all_reduce)):
            array = comm.empty((numbers,), np.float32)
            seconds = []
            for _ in range(6):  # the first makes connections
                array[...] = comm.rank + 1
                comm.barrier()
                start = time.perf_counter()
                comm.all_reduce(array) if route is None else route(comm, array)
                seconds.append(time.perf_counter() - start)
            right = float(abs(array - n * (n + 1) // 2).max()) == 0
            rate = 2 * (n - 1) / n * array.nbytes / min(seconds[1:]) / 1e9
            found.append(f"   {name:<7}{array.nbytes >> 10:>7} KB  sum {right}  {rate:8.2f} GB/s")
    return found


def steps(comm, layout):
    """(loss, gradient norm) of some steps of a layout."""

    def batch(step, start, stop):
        ids = np.random.default_rng([step, 3]).integers(0, CONFIG.vocab_size, (ROWS, 65))
        return ids[start:stop]

    together = Together(GPT(CONFIG, 0).to("gpu"), Mesh(comm, layout))
    trainer = ParallelTrainer(together, CausalLM(), AdamW, batch, ROWS, RATE, 1.0)
    found = [trainer.advance() for _ in range(STEPS)]
    return np.array([(step.loss, step.grad_norm) for step in found])


def layouts(n):
    """Every kind of layout that n ranks can have."""
    found = [Layout(dp=n), Layout(tp=n), Layout(tp=n, sequence=True), Layout(cp=n)]
    found.append(Layout(cp=n, heads=True))
    if n <= CONFIG.n_layer:
        found.append(Layout(pp=n))
    if n % 2 == 0 and n > 2:
        found.append(Layout(dp=n // 2, tp=2))
    return list(dict.fromkeys(found))


def body(control):
    """One process: its lines of text, those of rank 0 count."""
    comm = Nccl(control)
    found = ["1. all-reduce: bus bandwidth", *bandwidths(comm)]
    found.append("2. layouts: largest relative difference of loss and norm from one GPU")
    alone = steps(SingleProcess(), Layout())
    for layout in layouts(comm.size):
        apart = np.abs(steps(comm, layout) / alone - 1).max()
        verdict = "the same" if apart < 1e-3 else "NOT THE SAME"
        found.append(f"   {str(layout):<16}{apart:9.1e}  {verdict}")
    return found


def main(argv=None):
    """Run on all GPUs, or on --gpus of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, help="how many to use; all unless given")
    options = parser.parse_args(argv)
    count, reason = gpus()
    if not count:
        print(f"skipped: {reason}")
        return
    n = min(options.gpus or count, count)
    print(f"{n} GPUs, one process each")
    print("\n".join(launch(body, n)))


if __name__ == "__main__":
    main()
