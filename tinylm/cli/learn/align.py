"""`tinylm align METHOD RUN --data FILE`: teach a model what is wanted   (book chapter 4).

RUN is a run of `tinylm train`, `finetune` or `align`, or published weights (smollm2); it is the
reference that losses of preference compare with, and stays as it is. The result is a run of its own
for `tinylm chat`, `generate`, `prompt`, `export`, and `align` again. FILE has one record a line, or
is a JSON list:

    sft      {"instruction": .., "output": ..}, {"messages": [..]}: as `tinylm finetune`
    dpo      {"prompt": .., "chosen": .., "rejected": ..}, texts or lists of messages; without
             "prompt", it is what both answers begin with
    reward   the same; also {"prompt": .., "completions": [..], "ratings": [..]}, of which all pairs
    kto      {"prompt": .., "completion": .., "label": true}; a pair counts as a good and a bad one
    ppo ..   {"prompt": ..}, answered by the model and scored by --reward: a run of `tinylm align
             reward`, or FILE.py:function, a function (prompt, answer) or (prompt, answer, record)

Before the first step the samples are checked: empty answers, equal answers, prompts that leave no
room are left out and counted, with their lines. Ctrl-C stops after the current step and saves;
`tinylm align --resume RUN` goes on, step for step as if it had not been stopped.
"""

import shlex
from collections.abc import Sequence

from tinylm.cli.config_file import keep_settings
from tinylm.cli.options import parse, refuse, report
from tinylm.errors import CheckpointError, ConfigError

EXAMPLES = (
    "tinylm align --list",
    "tinylm align sft RUN --data instructions.jsonl",
    "tinylm align reward RUN-sft --data pairs.jsonl",
    "tinylm align dpo RUN-sft --data pairs.jsonl --loss simpo --lora 8",
    "tinylm align grpo RUN-sft --data prompts.jsonl --reward RUN-sft-reward",
    "tinylm align --resume RUN-sft-dpo",
)


def main(argv: Sequence[str]) -> int | None:
    """Train by a method, or go on; list the methods; print help."""
    first, *rest = argv or [""]
    if first == "--list":
        print("\n".join(listing()))
        return 0
    if first in ("", "-h", "--help"):
        print(overview())
        return 0
    if first == "--resume" or first.startswith("--resume="):
        return _resumed(_named_run(first, rest))
    if first.startswith("-"):
        raise ConfigError(
            "the method comes first, as in `tinylm align dpo RUN --data FILE`; "
            "`tinylm align --list` describes all methods"
        )
    return _new(first, rest)


def overview() -> str:
    """The help page of the command; that of a method is `tinylm align METHOD --help`."""
    from tinylm.align.run.kinds import kinds

    lines = [
        "usage: tinylm align METHOD RUN --data FILE [--setting value ...]",
        "",
        __doc__.strip(),
    ]
    lines += ["", *(f"  {example}" for example in EXAMPLES)]
    lines += ["", f"methods: {', '.join(kinds())}; `tinylm align METHOD --help` has the settings"]
    return "\n".join(lines)


def listing() -> list[str]:
    """Methods and losses as lines, each with its section of the book and its source."""
    from tinylm.align.preference.losses import LOSSES
    from tinylm.align.run.kinds import kinds
    from tinylm.align.run.settings import ALIASES, NOTES, OPTIONS

    lines = ["tinylm align METHOD RUN --data FILE", ""]
    for name, kind in kinds().items():
        lines.append(f"  {name:<10}{kind.section:<9}{kind.purpose}")
    lines += ["", "tinylm align dpo RUN --data FILE --loss NAME     (section 4.4.2)", ""]
    for name, loss in LOSSES.items():
        reads = "sums"
        if loss.mean:
            reads = "means"
        against = "no reference"
        if loss.reference:
            against = "reference"
        options = ", ".join(f"{k} {v}" for k, v in loss.options.items() if k in OPTIONS)
        lines.append(f"  {name:<10}{reads:<7}{against:<14}{loss.source} ({options})")
    for name, (other, options) in ALIASES.items():
        words = "".join(f" --{k.replace('_', '-')} {v}" for k, v in options.items())
        line = f"  {name:<10}is --loss {other}{words}"
        if name in NOTES:
            line += f", {NOTES[name]}"
        lines.append(line)
    return lines


def _new(name, words):
    """Begin a run of a method."""
    from tinylm.align.run.kinds import kind_of
    from tinylm.train.checkpoint import latest
    from tinylm.train.run.directory import begin

    kind, given = kind_of(name), {}
    _refuse_resume(words)
    *settings, (run,) = parse(
        words,
        *kind.settings,
        positionals=("RUN",),
        verb=f"align {name}",
        about=f"{kind.purpose}   (book section {kind.section})\n\n{__doc__.strip()}",
        examples=EXAMPLES,
        given=given,
    )
    _refuse_idle(given, settings)
    begun = begin(settings[0].out, report, _beside(name, run))  # locked until the end
    try:
        keep_settings(begun.path, *settings)
        return _trained(name, run, settings, begun.path)
    except BaseException:
        if latest(begun.path) is None:  # a saved result stays
            begun.undo()
        raise
    finally:
        begun.lock.close()


def _refuse_idle(given, settings):
    """Raise ConfigError for settings that were changed and that change nothing beside others."""
    from tinylm.align.run.settings import TuningSettings

    values, owner = {}, {}
    for one in settings:
        values |= vars(one)
        owner |= dict.fromkeys(vars(one), type(one))
    idle = [
        ("lora_alpha", values.get("lora") == 0, "without --lora all weights are trained"),
        (
            "beta",
            values.get("kl") == "none",
            "with --kl none there is no penalty",
        ),
        (
            "epochs",  # of the methods that learn from a file; of others they are something else
            owner.get("epochs") is TuningSettings and values["steps"] is not None,
            f"--steps {values.get('steps')} says when the training ends",
        ),
        ("horizon", values.get("target_kl", 0) is None, "beta adapts with --target-kl alone"),
    ]
    for name, without_effect, reason in idle:
        if name in given and without_effect:
            refuse(given, (name,), reason, owner[name])


def _refuse_resume(words):
    """Raise ConfigError for --resume after a method: the run knows its own."""
    for i, word in enumerate(words):
        if word == "--resume" or word.startswith("--resume="):
            found = [*word.split("=", 1)[1:], *words[i + 1 : i + 2], "RUN"]
            raise ConfigError(
                "a run that goes on has its method and settings, so --resume stands in place of "
                f"the method: tinylm align --resume {shlex.quote(found[0])}"
            )


def _beside(name, run):
    """Where the result goes without --out: beside the run, or in runs/."""
    from pathlib import Path

    from tinylm.prompt.protocol.opened import is_published

    if is_published(run):
        return Path("runs") / f"{Path(run).stem}-{name}"
    return Path(f"{Path(run)}-{name}")


def _named_run(first, rest):
    """The RUN of `--resume RUN` or `--resume=RUN`, which takes no other words."""
    words = [*first.split("=", 1)[1:], *rest]
    if len(words) != 1:
        raise ConfigError(
            "--resume takes the run alone, which has its settings: tinylm align --resume RUN"
        )
    return words[0]


def _resumed(run):
    """Go on with an interrupted run."""
    from tinylm.align.run.kinds import kind_of
    from tinylm.align.run.saved import read_begun
    from tinylm.cli.options import build
    from tinylm.train import checkpoint as checkpoints
    from tinylm.train.run.directory import lock, sweep

    directory, _ = checkpoints.find_run(run)
    held = lock(directory, report)
    try:
        sweep(directory)
        begun = read_begun(run)
        if begun.trainer is None:
            raise CheckpointError(
                f"{run} is finished: tune it further as RUN of a new `tinylm align`"
            )
        start, words = begun.placed()
        words["data"] = tuple(words["data"])
        settings = [build(cls, words) for cls in kind_of(begun.method).settings]
        report(f"continuing from {begun.path}")
        return _trained(begun.method, start, settings, directory, begun)
    finally:
        held.close()


def _trained(name, run, settings, directory, begun=None):
    """Train, and report the result. Returns the exit code."""
    from tinylm.align.run.kinds import kind_of
    from tinylm.align.run.training import in_words
    from tinylm.backend import backend

    backend(settings[0].device)  # raises here if the device is missing
    result = kind_of(name).run(name, run, settings, directory, report, begun).go()
    where = shlex.quote(str(directory))
    if not result["finished"]:
        report(
            f"stopped at step {result['steps']}, saved; to continue: tinylm align --resume {where}"
        )
        return 128 + result["signal"]  # 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP
    for when in ("before", "after"):
        if result[when]:
            report(f"held back, {when}: {in_words(result[when])}")
    report(f"saved in {directory}. To try next:")
    for line in _next(name, where, shlex.quote(str(run))):
        report(f"  {line}")


def _next(name, where, run):
    """Commands that go on from a result."""
    if name == "reward":
        return [
            f'tinylm generate {run} "Hello" --best-of 4 --reward {where}',
            f"tinylm plot {where}",
        ]
    return [f"tinylm chat {where}", f"tinylm plot {where}"]
