"""`tinylm train`: train a small model and show what it has learnt. Without settings it trains a GPT
on the English of Python's own documentation.

`--objective NAME` trains any objective that `tinylm corrupt --list` names, with the model that
belongs to it. `--resume RUN` continues a run and gives the same bits as if it had never stopped.
Ctrl-C and SIGTERM save the run and print the command that continues it.

`--parallel dp=2,tp=2` has four processes share batches and model. They are forked here; or started
by `mpiexec -n 4`, on machines that see the same files. A run may go on with another layout. With
`--device gpu` each process that mpiexec starts takes a GPU of its machine (by NCCL, which has not
run on several GPUs yet).
"""

# From here to the arithmetic of the loss, each calls the next:
#   cli/learn/train.py           main: prepare_run, then train_run in every worker
#   train/run/run.py             prepare_run: tokenizer, tokens, rows, objective; train_run: model
#   train/trainer.py             Trainer.run -> advance
#   train/step.py                train_step -> share_of_gradient -> accumulate
#   pretrain/objectives.py       the objective's row: its class, its model, its rows
#   pretrain/language/causal.py  CausalLM.loss: the cross-entropy of the next token

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tinylm.cli.learn.lr_range import RangeSettings, refuse_idle, try_rates
from tinylm.cli.options import parse, report
from tinylm.errors import ConfigError, WorkerError

if TYPE_CHECKING:
    from tinylm.train.run.config import TrainConfig


EXAMPLES = (
    "tinylm train",
    "tinylm train --data book.txt --tokenizer chars",
    "tinylm train --objective masked",
    "tinylm train --objective translation --data pairs.tsv",
    "tinylm train --config settings.json --steps 500",
    "tinylm train --config RUN",
    "tinylm train --depth 2 --show-config",
    "tinylm train --lr-range --plot rates.png",
    "tinylm train --resume RUN",
    "tinylm train --parallel dp=2,tp=2",
    "mpiexec -n 4 tinylm train --parallel tp=2,pp=2",
    "mpiexec -n 4 tinylm train --parallel tp=2,pp=2 --device gpu",
)


def main(argv: Sequence[str]) -> int:
    """Train; print the progress, examples, and commands to continue with. Returns the exit code."""
    from tinylm.backend import backend
    from tinylm.parallel.communicate.mpi import started_by_mpiexec
    from tinylm.parallel.mesh import parse_layout
    from tinylm.train import TrainConfig

    given = {}
    config, rates = parse(
        argv,
        TrainConfig,
        RangeSettings,
        verb="train",
        about=__doc__,
        examples=EXAMPLES,
        given=given,
    )
    refuse_idle(rates, given)
    backend(config.device)  # raises here if the device is missing, before anything is made
    parse_layout(config.parallel)  # and if the layout is none
    if rates.lr_range:
        return try_rates(config, rates)
    given = {name: value for name, value in given.items() if hasattr(config, name)}
    if started_by_mpiexec():
        return _as_rank(config, given)
    return _in_processes(config, given)


def _in_processes(config, given):
    """Train in processes that are forked here."""
    from tinylm.machine import endings
    from tinylm.parallel.launcher import obstacle
    from tinylm.parallel.mesh import parse_layout
    from tinylm.train import prepare_run

    wanted = max(config.workers, parse_layout(config.parallel).size if config.parallel else 1)
    if wanted > 1 and (reason := obstacle()):  # said before anything is made
        raise ConfigError(f"{wanted} processes are asked for, but {reason}")
    run = prepare_run(config, report, given)
    try:
        run, summary = _trained(run)
    except WorkerError as error:
        kind = getattr(error, "type", None)
        if kind == "ConfigError":  # a layout that this model cannot have
            run.undo()
            raise ConfigError(error.message) from None
        ended = {number.name: number for number in endings()}.get(kind)
        if ended is None:
            raise
        run.undo()
        report(f"{error}; what is saved is in {run.directory}")
        return 128 + ended  # a signal ended a worker before it trained
    except (ConfigError, KeyboardInterrupt):  # or other signals, before anything is trained
        run.undo()
        raise
    finally:
        run.lock.close()
    return _ended(run, summary)


def _trained(run):
    """Train a run to its end, with fewer processes after one is lost if it is elastic.

    returns  (Run with which it ended, summary of train_run)
    """
    from tinylm.parallel.launcher import launch, was_lost
    from tinylm.parallel.run import make_trainer, with_fewer
    from tinylm.train import train_run

    workers = workers_for(run.config, report)
    while True:
        current = run

        def work(comm):
            return train_run(current, comm, report, make_trainer)  # noqa: B023 (called at once)

        try:
            return run, launch(work, workers)
        except WorkerError as error:
            if not (run.config.elastic and was_lost(error)):
                raise
            run = with_fewer(run, workers, error)
            report(f"{error}; going on with fewer from {run.checkpoint or 'the start'}")
            workers = workers_for(run.config, report)


def _as_rank(config, given):
    """Train as one of the processes that mpiexec has started."""
    from tinylm.cli.terminal import one_line
    from tinylm.parallel.communicate.mpi import run_on_mpi
    from tinylm.parallel.run import check_ranks, make_trainer
    from tinylm.train import train_run
    from tinylm.train.run.run import prepare_together

    def work(comm):
        if config.elastic:
            raise ConfigError(
                "--elastic: MPI ends all processes when one is lost: leave it out, and continue "
                "with --resume RUN and fewer processes"
            )
        check_ranks(config, comm.size)
        run = prepare_together(config, comm, report, given)
        try:
            check_ranks(run.config, comm.size)  # of a resumed run
            summary = train_run(run, comm, report, make_trainer)
        except ConfigError:
            run.undo()
            raise
        return _ended(run, summary) if comm.rank == 0 else 0

    def say(error):
        print(f"tinylm train: {one_line(error)}", file=sys.stderr)

    return run_on_mpi(work, say=say)


def _ended(run, summary):
    """Print what the run has learnt; returns the exit code."""
    from tinylm.cli.learn.showcase import closing

    if summary["interrupted"]:
        return 128 + summary["signal"]  # 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP
    report(closing(run, summary))
    return 0


def workers_for(config: "TrainConfig", report: Callable) -> int:
    """The number of processes to train with: `config.workers`, or as many as the cores and the
    batch allow.
    """
    from tinylm.machine import cores
    from tinylm.parallel.launcher import default_workers, obstacle
    from tinylm.parallel.mesh import parse_layout

    if config.parallel:
        size = parse_layout(config.parallel).size
        if config.device != "cpu" and size > 1:
            raise ConfigError(
                f"--parallel {config.parallel} on the {config.device}: CUDA does not survive the "
                f"fork of a process, so start them by mpiexec -n {size} tinylm train .."
            )
        if size > (most := max(64, 8 * cores())):
            raise ConfigError(
                f"--parallel {config.parallel}: {size} processes are more than this machine bears "
                f"(up to {most}): use fewer, or several machines by mpiexec"
            )
        return size
    if config.workers:
        return config.workers
    if config.device != "cpu":
        return 1
    workers = default_workers(config.batch_size)
    chosen = f"chosen for {cores()} cores and a batch of {config.batch_size}; --workers N sets it"
    report(f"workers: {workers} ({obstacle() or chosen})")
    return workers
