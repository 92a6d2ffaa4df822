"""The processes that `tinylm bench` compares. Each reads numbers of steps from stdin, one a line,
and prints the seconds they took and their values (losses, or the largest logit of each token).

`tinylm` trains with the trainer's own step, with one process or several; `torch` is the same
architecture in torch's fastest eager form: fused scaled-dot-product attention, fused AdamW, all
cores. Of alignment each does one update again and again (align_works.py), of the collectives one on
a buffer as large as a model, of inference a prompt or a token (inference_works.py). With job["mpi"]
the processes are those that mpiexec has started. Read next: peer_torch.py; peer_trl.py.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS

try:
    import resource
except ImportError:  # Windows
    resource = None


def tinylm_training(job: dict[str, Any], data: Any, comm: Any) -> Callable:
    """A function that takes one training step on batch i and returns its loss."""
    from tinylm import backend
    from tinylm.optim import AdamW, FlatParameters
    from tinylm.parallel.data_parallel import share_rows
    from tinylm.train.step import random_streams, train_step

    backend.keep_freed_memory()
    work = WORKS[job["work"]]
    model = work.model()
    model.load_state_dict({name: array for name, array in data.items() if name != "batches"})
    optimizer = AdamW(FlatParameters(model.named_parameters(), comm.empty), **ADAMW)
    objective, rows = work.objective, share_rows(work.batch, comm.rank, comm.size)
    streams = random_streams(model)  # as Trainer, which looks for them once
    mine = []
    for drawn in data["batches"]:
        mine.append(work.batch_of(*[ids[slice(*rows)] for ids in work.examples(drawn)]))

    def step(i):
        return train_step(
            model,
            objective,
            optimizer,
            mine[i % len(mine)],
            rows[0],
            work.batch,
            ADAMW["lr"],
            CLIP,
            comm=comm,
            streams=streams,
        ).loss

    return step


def tinylm_decoding(job: dict[str, Any], data: Any, comm: Any) -> Callable:
    """A function that decodes one more token greedily and returns its logit.

    It starts again when the length of the work is reached.
    """
    from tinylm.generate.fast.folded import FastDecoder
    from tinylm.models import GPT

    work = WORKS[job["work"]]
    model = GPT(work.config(decoding=True))
    model.load_state_dict({name: array for name, array in data.items() if name != "batches"})
    decoder = FastDecoder(model)
    state = {}

    def step(i):
        if i % work.decode_tokens == 0:
            state["cache"], state["token"] = decoder.new_cache(1), 1
        logits = decoder.next_logits(np.array([[state["token"]]]), state["cache"])[0]
        state["token"] = int(np.argmax(logits))
        return logits[state["token"]]

    return step


def tinylm_alignment(job: dict[str, Any], data: Any, comm: Any) -> Callable:
    """A function that does one update of alignment and returns its loss, or draws responses."""
    from tinylm.cli.measure.align_works import DRAWING, SIZES, UPDATES, Drawing
    from tinylm.machine import blas_threads, keep_freed_memory

    blas_threads(job["threads"])
    keep_freed_memory()
    size = SIZES[job["work"]]
    if job["update"] == DRAWING:
        ours = Drawing(size)
    else:
        ours, _ = UPDATES[job["update"]](size)
    return lambda i: ours.step()


def tinylm_collective(job: dict[str, Any], data: Any, comm: Any) -> Callable:
    """A function that does one collective operation on as many float32 as a model has parameters,
    and returns an element of the result.
    """
    numbers = sum(array.size for name, array in data.items() if name != "batches")
    flat = comm.empty((numbers,), np.float32)
    flat[:] = 0
    if job["operation"] == "all_reduce":

        def step(i):
            flat[-1] = 1
            return comm.all_reduce(flat)[-1]  # the number of ranks

    else:

        def step(i):
            flat[comm.slice(numbers)[1] - 1] = i % 7  # the last of this rank's slice
            return comm.all_gather_(flat)[-1]

    return step


# Operations in which ranks of data parallelism exchange and wait.
EXCHANGES = "all_reduce", "reduce_scatter_", "all_gather_", "broadcast"


def timed(comm: Any) -> list[float]:
    """A list of one number: seconds that this rank has spent in the communicator's exchanges from
    now on, waiting for others among them.
    """
    spent = [0.0]

    def clocked(operation):
        def call(*args, **options):
            start = time.perf_counter()
            result = operation(*args, **options)
            spent[0] += time.perf_counter() - start
            return result

        return call

    for name in EXCHANGES:
        setattr(comm, name, clocked(getattr(comm, name)))
    return spent


def peak_bytes() -> float:
    """Peak resident memory of this process, in bytes; nan on Windows, which does not tell it."""
    try:
        # VmHWM is the peak of this program alone; getrusage includes the process that forked it.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        if resource is None:
            return math.nan
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if sys.platform == "darwin":
            return peak
        return 1024 * peak


def serve(make_step: Callable, job: dict[str, Any], data: Any, comm: Any) -> None:
    """Read numbers of steps and take them, until 0. Rank 0 reads and prints for all.

    With job["cpu"] seconds are those in which the processor worked for this process.
    """
    step, i, spent = make_step(job, data, comm), 0, timed(comm)
    clock = time.perf_counter
    if job.get("cpu"):
        clock = time.process_time
    while True:
        count = np.zeros(1, np.int64)
        if comm.rank == 0:
            count[0] = int(sys.stdin.readline() or 0)
        n = int(comm.broadcast(count)[0])
        if n == 0:
            break
        before, start = spent[0], clock()
        values = [step(i + k) for k in range(n)]
        seconds = clock() - start
        i += n
        if comm.rank == 0:
            answer = {"seconds": seconds, "values": [float(v) for v in values[:3]]}
            print(json.dumps(answer | {"communication": spent[0] - before}), flush=True)
    total = float(comm.all_reduce(np.array([float(peak_bytes())]))[0])
    if comm.rank == 0:
        print(json.dumps({"peak_bytes": total}), flush=True)


def main(job: dict[str, Any]) -> None:
    """Run one contestant to its end."""
    if job["kind"] == "inference":
        from tinylm.cli.measure.inference_works import tinylm_inference, transformers_inference
        from tinylm.parallel import SingleProcess

        make = tinylm_inference
        if job["library"] == "transformers":
            make = transformers_inference
        serve(make, job, None, SingleProcess())
        return
    if job["kind"] == "alignment":
        from tinylm.parallel import SingleProcess

        make = tinylm_alignment
        if job["library"] == "trl":
            from tinylm.cli.measure.peer_trl import trl_alignment as make
        serve(make, job, None, SingleProcess())
        return
    with np.load(job["file"]) as archive:
        data = dict(archive)  # read here: forked workers would share the file's position
    if job["library"] == "torch":
        from tinylm.cli.measure.peer_torch import torch_decoding, torch_training
        from tinylm.parallel import SingleProcess

        make = {"training": torch_training, "decoding": torch_decoding}[job["kind"]]
        serve(make, job, data, SingleProcess())
        return
    from tinylm.parallel.launcher import launch

    make = {
        "training": tinylm_training,
        "decoding": tinylm_decoding,
        "collective": tinylm_collective,
    }[job["kind"]]
    if job.get("mpi"):
        from tinylm.machine import blas_threads
        from tinylm.parallel.communicate.mpi import run_on_mpi

        blas_threads(1)
        run_on_mpi(lambda comm: serve(make, job, data, comm), native=job.get("native", False))
        return
    if make is tinylm_decoding:
        from tinylm.machine import blas_threads

        blas_threads(1)  # matrix-vector products gain nothing from a second thread
    launch(lambda comm: serve(make, job, data, comm), job["workers"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
