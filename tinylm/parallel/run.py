"""`tinylm train --parallel LAYOUT`: the trainer of a run whose model many processes hold.

The configuration says the layout as text; the processes are forked here, or started by `mpiexec`,
on one machine or several that see the same files; of the latter each may have a GPU. With
`--elastic`, a run that has lost a process goes on from its last checkpoint with fewer: batches do
not depend on how many share them, so the curve of the loss is the one it would have had. Read
first: step.py; ../train/run/run.py.
"""

from dataclasses import replace
from typing import Any

from tinylm.errors import ConfigError, WorkerError
from tinylm.nn.promised import promised
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.communicate.nccl import Nccl
from tinylm.parallel.mesh import Layout, Mesh, parse_layout
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.together import Together
from tinylm.train import checkpoint, log
from tinylm.train.run.build import new_model
from tinylm.train.run.config import TrainConfig
from tinylm.train.run.run import Run, new_optimizer, new_trainer
from tinylm.train.trainer import Trainer


def check_ranks(config: TrainConfig, ranks: int) -> None:
    """Raise ConfigError unless a TrainConfig is for as many processes as mpiexec has started."""
    if config.parallel:
        Mesh.check(parse_layout(config.parallel), ranks)
    elif config.workers not in (0, ranks):
        raise ConfigError(
            f"--workers {config.workers}, but mpiexec has started {ranks}: leave out --workers, "
            "and say the number to mpiexec -n"
        )


def make_trainer(run: Run, comm: Communicator) -> Trainer:
    """The trainer of a run: with a layout ParallelTrainer, without one Trainer.

    run      Run;  comm  Communicator of all ranks
    raises   ConfigError for a layout that the ranks, the model or the batch cannot have
    """
    config = run.config
    if not config.parallel:
        return new_trainer(run, comm)
    if config.device == "cpu":
        with promised():  # weights of other ranks are never drawn
            model = new_model(config, run.special)
    else:
        if comm.size > 1:
            comm = Nccl(comm)  # which chooses this process's GPU, before anything is put there
        model = new_model(config, run.special).to(config.device)
    mesh = Mesh(comm, parse_layout(config.parallel))
    together = Together(model, mesh)
    return ParallelTrainer(
        together,
        run.objective,
        lambda flat: new_optimizer(config, flat),
        run.rows.batch,
        config.batch_size,
        config.learning_rate,
        config.clip,
        micro_batches(mesh.layout, config.batch_size // mesh.rows.size, config.micro_batch),
        config.seed,
    )


def with_fewer(run: Run, workers: int, error: Exception) -> Any:
    """A Run that goes on from its newest checkpoint after one of its processes was lost.

    run      Run;  workers  it had
    error    WorkerError that says who was lost
    returns  Run with one data rank or worker less
    raises   WorkerError if there is none to spare
    """
    config = run.config
    if config.parallel:
        layout = parse_layout(config.parallel)
        spare = layout.dp > 1
        changes = {"parallel": str(replace(layout, dp=max(layout.dp - 1, 1)))}
    else:
        spare = workers > 1
        changes = {"workers": workers - 1}
    if not spare:
        raise WorkerError(
            f"{error}; there is no data rank to spare: continue with --resume {run.directory}, "
            "with any layout"
        ) from error
    saved = checkpoint.latest(run.directory)
    if saved is None:
        (run.directory / log.NAME).unlink(missing_ok=True)  # all is done again
    return replace(run, config=replace(config, **changes), checkpoint=saved)


def micro_batches(layout: Layout, rows: int, most: int = 0) -> int:
    """How many micro-batches a data rank cuts its rows into.

    rows     it has;  most  of them in a micro-batch; 0: without a pipeline all, with p stages as
             many micro-batches as 2 p, so that at most a third of the time is idle
    """
    if most:
        return -(-rows // most)
    if layout.pp == 1:
        return 1
    wanted = max(min(rows, 2 * layout.pp), 1)
    if layout.chunks > 1:  # which go in groups of p
        wanted = max(wanted // layout.pp, 1) * layout.pp
    return wanted
