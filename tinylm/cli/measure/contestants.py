"""The processes that `tinylm bench` compares. Each reads numbers of steps from stdin, one a line,
and prints the seconds they took and their values (losses, or the largest logit of each token).

`tinylm` trains with the trainer's own step, with one process or several; `torch` is the same
architecture in torch's fastest eager form: fused scaled-dot-product attention, fused AdamW, all
cores. Of alignment each does one update again and again (align_works.py). Read next: peer_torch.py;
peer_trl.py.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS


def tinylm_training(job, data, comm):
    """A function that takes one training step on batch i and returns its loss."""
    from tinylm import backend
    from tinylm.models import GPT
    from tinylm.optim import AdamW, FlatParameters
    from tinylm.parallel.data_parallel import share_rows
    from tinylm.pretrain import CausalLM
    from tinylm.train.trainer import train_step

    backend.keep_freed_memory()
    model = GPT(WORKS[job["work"]].config())
    model.load_state_dict({name: array for name, array in data.items() if name != "batches"})
    optimizer = AdamW(FlatParameters(model.named_parameters(), comm.empty), **ADAMW)
    objective, rows = CausalLM(), share_rows(WORKS[job["work"]].batch, comm.rank, comm.size)
    mine = [objective.make_batch(batch[slice(*rows)], None) for batch in data["batches"]]
    total = len(data["batches"][0])

    def step(i):
        return train_step(
            model,
            objective,
            optimizer,
            mine[i % len(mine)],
            rows[0],
            total,
            ADAMW["lr"],
            CLIP,
            comm=comm,
        ).loss

    return step


def tinylm_decoding(job, data, comm):
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


def tinylm_alignment(job, data, comm):
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


def peak_bytes():
    """Peak resident memory of this process, in bytes."""
    try:
        # VmHWM is the peak of this program alone; getrusage includes the process that forked it.
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if sys.platform == "darwin":
            return peak
        return 1024 * peak


def serve(make_step, job, data, comm):
    """Read numbers of steps and take them, until 0. Rank 0 reads and prints for all.

    With job["cpu"] seconds are those in which the processor worked for this process.
    """
    step, i = make_step(job, data, comm), 0
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
        start = clock()
        values = [step(i + k) for k in range(n)]
        seconds = clock() - start
        i += n
        if comm.rank == 0:
            print(
                json.dumps({"seconds": seconds, "values": [float(v) for v in values[:3]]}),
                flush=True,
            )
    total = float(comm.all_reduce(np.array([float(peak_bytes())]))[0])
    if comm.rank == 0:
        print(json.dumps({"peak_bytes": total}), flush=True)


def main(job):
    """Run one contestant to its end."""
    if job["kind"] == "alignment":
        from tinylm.parallel import SingleProcess

        make = tinylm_alignment
        if job["library"] == "trl":
            from tinylm.cli.measure.peer_trl import trl_alignment as make
        return serve(make, job, None, SingleProcess())
    with np.load(job["file"]) as archive:
        data = dict(archive)  # read here: forked workers would share the file's position
    if job["library"] == "torch":
        from tinylm.cli.measure.peer_torch import torch_decoding, torch_training
        from tinylm.parallel import SingleProcess

        make = {"training": torch_training, "decoding": torch_decoding}[job["kind"]]
        return serve(make, job, data, SingleProcess())
    from tinylm.parallel.launcher import launch

    make = {"training": tinylm_training, "decoding": tinylm_decoding}[job["kind"]]
    if make is tinylm_decoding:
        from tinylm.machine import blas_threads

        blas_threads(1)  # matrix-vector products gain nothing from a second thread
    launch(lambda comm: serve(make, job, data, comm), job["workers"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
