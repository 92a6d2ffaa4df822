"""`tinylm eval RUN --task NAME --data FILE`: accuracy on multiple-choice questions. Read first:
eval.py.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinylm.cli.terminal import bare, visible
from tinylm.cli.use.prompt_output import failed_lines
from tinylm.cli.use.text_model import TextModelConfig, identity
from tinylm.errors import DataError
from tinylm.json_text import json_text

if TYPE_CHECKING:
    from tinylm.cli.learn.eval import EvalConfig


HEADINGS = {  # how each way of ranking the options is usually called
    "sum": "acc, by log-probability",
    "token": "by log-probability a token",
    "character": "acc_norm, a character",
    "byte": "by log-probability a byte",
    "unconditional": "against no question",
}


def main(name: str, config: "EvalConfig", files: Sequence[str]) -> None:
    """Score the files' questions and print accuracies.

    name    of the model
    config  EvalConfig
    files   of questions with options
    """
    from tinylm.data.read.items import read_items
    from tinylm.prompt import TextModel
    from tinylm.prompt.evaluation.choice import evaluate_choices, task_named
    from tinylm.reading import BadLines

    task = task_named(config.task)
    if not files:
        raise DataError("--task needs questions: give a file of them with --data FILE")
    bad = BadLines(config.skip_bad)
    items = [item for file in files for item in read_items(file, bad)]
    # Questions that are shown with their answers are not scored: they would be no test.
    demonstrations, items = items[: config.shots], items[config.shots :]
    items = items[: config.limit or None]
    if not items:
        raise DataError(f"no question is left behind the {config.shots} of --shots")
    # The benchmarks score texts that continue a prompt, and no turns of a chat.
    settings = {"chat": False}
    if config.batch_size:
        settings["batch_size"] = config.batch_size
    lm = TextModel.open(name, config.device, **settings)
    # A line that is written over again is for an eye, not for a file.
    show = None
    if sys.stderr.isatty() and not config.json:
        show = _show
    about = None
    # Scores are resumed only for the same weights: to hash them takes a while.
    if config.out:
        opening = TextModelConfig(raw=True, device=config.device)
        about = identity(str(name), opening, lm) | {"shots": config.shots}
    report = evaluate_choices(
        lm, task, items, demonstrations, show, file=config.out or None, about=about
    )
    if show is not None:
        print(file=sys.stderr)
    if config.json:
        result = {"run": str(name), "data": ", ".join(map(str, files)), "task": config.task}
        result |= dataclasses.asdict(report) | {"shots": config.shots, "left_out": bad.count}
        accuracies = {way: report.right[way] / report.count for way in report.right}
        print(json_text(result | {"accuracy": accuracies, "customary": task.normalization}))
        return
    print("\n".join([*bad.report(), *lines(name, config, task, report, items)]))


def lines(name: str, config: "EvalConfig", task: Any, report: Any, items: Sequence) -> list[str]:
    """The report as lines to print."""
    found = [
        f"{name} on {config.task}: {report.count} questions, {config.shots} demonstrations",
        "  prompt, which the options follow:",
        *(f"    | {visible(line)}" for line in report.prompt.splitlines()),
    ]
    for way, heading in HEADINGS.items():
        accuracy, low, high = report.interval(way)
        line = f"  {heading:27} {accuracy:6.3f}  95 % interval {low:.3f} to {high:.3f}"
        if way == task.normalization:
            line += "  <- customary"
        found.append(line)
    found.append(f"  {'a guess':27} {report.chance:6.3f}")
    found.append(f"  {'expected calibration error':27} {report.error:6.3f}")
    if report.apart:
        found.append(
            f"  {report.apart} options shared a token with their prompt and were encoded apart"
        )
    if report.dropped:
        most = max(count for _, count in report.dropped)
        found.append(
            f"  {len(report.dropped)} prompts had no room for all demonstrations: up to {most} of "
            f"{config.shots} were dropped, the first ones"
        )
    return [*found, *failed_lines(report.failed, items)]


def _show(done, count):
    print(f"\r{done} of {count}", end="", file=bare(sys.stderr), flush=True)
