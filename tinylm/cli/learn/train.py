"""`tinylm train`: train a small model and end with what it can do. Without a setting: a GPT, on
Python's own English.

`--objective NAME` trains any objective that `tinylm corrupt --list` names, with the model that
belongs to it. `--resume RUN` goes on with a run, to the same bits as if it had never stopped.
Ctrl-C and SIGTERM save and say how to go on.
"""

from tinylm.cli.options import parse, report
from tinylm.errors import WorkerError

EXAMPLES = (
    "tinylm train",
    "tinylm train --data book.txt --tokenizer chars",
    "tinylm train --objective masked",
    "tinylm train --objective translation --data pairs.tsv",
    "tinylm train --resume RUN",
)


def main(argv):
    """Train; print what becomes of it, examples, and the commands that go on from here."""
    from tinylm.backend import backend
    from tinylm.cli.learn.showcase import closing
    from tinylm.machine import endings
    from tinylm.parallel.launcher import launch
    from tinylm.train import TrainConfig, prepare_run, train_run

    given = {}
    config = parse(argv, TrainConfig, verb="train", about=__doc__, examples=EXAMPLES, given=given)
    backend(config.device)  # a missing device is told before anything is made
    run = prepare_run(config, report, given)
    try:
        summary = launch(lambda comm: train_run(run, comm, report), workers_for(run.config, report))
    except WorkerError as error:
        ended = {number.name: number for number in endings()}.get(getattr(error, "type", None))
        if ended is None:
            raise
        run.undo()
        report(f"{error}; what is saved is in {run.directory}")
        return 128 + ended  # somebody ended a worker before it trained
    except KeyboardInterrupt:  # and others signals, before anything is trained
        run.undo()
        raise
    finally:
        run.lock.close()
    if summary["interrupted"]:
        return 128 + summary["signal"]  # 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP
    report(closing(run, summary))


def workers_for(config, report):
    """How many processes to train with: those asked for, else as many as the cores and the batch
    allow.
    """
    from tinylm.machine import cores
    from tinylm.parallel.launcher import default_workers, obstacle

    if config.workers or config.device != "cpu":
        return config.workers or 1
    workers = default_workers(config.batch_size)
    why = (
        obstacle()
        or f"chosen for {cores()} cores and a batch of {config.batch_size}; --workers N sets it"
    )
    report(f"workers: {workers} ({why})")
    return workers
