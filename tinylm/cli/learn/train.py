"""`tinylm train`: train a small model and show what it has learnt. Without settings it trains a GPT
on the English of Python's own documentation.

`--objective NAME` trains any objective that `tinylm corrupt --list` names, with the model that
belongs to it. `--resume RUN` continues a run and gives the same bits as if it had never stopped.
Ctrl-C and SIGTERM save the run and print the command that continues it.
"""

# From here to the arithmetic of the loss, each calls the next:
#   cli/learn/train.py           main: prepare_run, then train_run in every worker
#   train/run/run.py             prepare_run: tokenizer, tokens, rows, objective; train_run: model
#   train/trainer.py             Trainer.run -> advance -> train_step -> accumulate
#   pretrain/objectives.py       the objective's row: its class, its model, its rows
#   pretrain/language/causal.py  CausalLM.loss: the cross-entropy of the next token

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
    """Train; print the progress, examples, and commands to continue with. Returns the exit code."""
    from tinylm.backend import backend
    from tinylm.cli.learn.showcase import closing
    from tinylm.machine import endings
    from tinylm.parallel.launcher import launch
    from tinylm.train import TrainConfig, prepare_run, train_run

    given = {}
    config = parse(argv, TrainConfig, verb="train", about=__doc__, examples=EXAMPLES, given=given)
    backend(config.device)  # raises here if the device is missing, before anything is made
    run = prepare_run(config, report, given)
    try:
        summary = launch(lambda comm: train_run(run, comm, report), workers_for(run.config, report))
    except WorkerError as error:
        signals = {number.name: number for number in endings()}
        ended = signals.get(getattr(error, "type", None))
        if ended is None:
            raise
        run.undo()
        report(f"{error}; what is saved is in {run.directory}")
        return 128 + ended  # a signal ended a worker before it trained
    except KeyboardInterrupt:  # and other signals, before anything is trained
        run.undo()
        raise
    finally:
        run.lock.close()
    if summary["interrupted"]:
        return 128 + summary["signal"]  # 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP
    report(closing(run, summary))


def workers_for(config, report):
    """The number of processes to train with: `config.workers`, or as many as the cores and the
    batch allow.
    """
    from tinylm.machine import cores
    from tinylm.parallel.launcher import default_workers, obstacle

    if config.workers:
        return config.workers
    if config.device != "cpu":
        return 1
    workers = default_workers(config.batch_size)
    chosen = f"chosen for {cores()} cores and a batch of {config.batch_size}; --workers N sets it"
    report(f"workers: {workers} ({obstacle() or chosen})")
    return workers
