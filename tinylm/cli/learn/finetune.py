"""`tinylm finetune RUN --data FILE`: train a model to follow instructions, its loss on the answers
alone.

RUN is a run of `tinylm train` or `tinylm finetune`, a name of published weights (smollm2), a file
or a folder of weights. FILE has one sample a line, {"instruction": ..., "input": ..., "output":
...}, {"prompt": ..., "completion": ...} or {"messages": [{"role": ..., "content": ...}, ...]}, or
is a JSON list of such, or a table (.csv, .tsv) whose columns have these names. A model whose
positions are not learned reads samples longer than its context: as many tokens as the longest has,
up to four times its context. The result is a run of its own, which `tinylm chat` opens. Ctrl-C
stops after the current step and saves.
"""

import dataclasses
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinylm.cli.config_file import keep_settings
from tinylm.cli.learn.tuning import signal_of, tune
from tinylm.cli.options import parse, refuse, report
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.settings import RunSettings, UpdateSettings
from tinylm.reading import BadLines
from tinylm.settings import at_least, one_of, positive, setting

EXAMPLES = (
    "tinylm finetune RUN --data instructions.jsonl",
    "tinylm finetune smollm2 --data talks.jsonl --lora 8 --epochs 1",
)


@dataclass(frozen=True)
class FinetuneConfig(UpdateSettings, RunSettings):
    """Settings of `tinylm finetune`."""

    epochs: float = setting(3.0, "how many times all samples are read", positive)
    lr: float = setting(
        3e-4, "peak learning rate, between a warm-up and a linear decay to 0", positive
    )
    turns: str = setting(
        "all", "which answers of a conversation are learnt: all or last", one_of("all", "last")
    )
    context: int | None = setting(
        None,
        "longest sample, in tokens; none: the model's, or more where samples need it and its "
        "positions are not learned",
        at_least(2),
    )
    pack: bool = setting(False, "put several samples into one row, to leave little padding")
    whole: bool = setting(False, "take the loss on questions too, as in pretraining")


def main(argv: Sequence[str]) -> int | None:
    """Tune a model; print its loss on held-back samples before and after, and what to do next."""
    from tinylm.backend import backend
    from tinylm.train.checkpoint import latest
    from tinylm.train.run.directory import begin

    given = {}
    config, (name,) = parse(
        argv,
        FinetuneConfig,
        positionals=("RUN",),
        verb="finetune",
        about=__doc__,
        examples=EXAMPLES,
        given=given,
    )
    if config.steps is not None:
        reason = f"--steps {config.steps} says when the training ends"
        refuse(given, ("epochs",), reason, FinetuneConfig)
    if not config.lora:
        reason = "without --lora all weights are trained"
        refuse(given, ("lora_alpha",), reason, FinetuneConfig)
    backend(config.device)
    begun = begin(config.out, report, _beside(name))  # locked until the end
    try:
        keep_settings(begun.path, config)
        return _tuned(config, name, begun.path)
    except BaseException:
        if latest(begun.path) is None:  # a saved result stays
            begun.undo()
        raise
    finally:
        begun.lock.close()


def _tuned(config, name, directory):
    """Tune the model `name` into a directory. Returns the exit code."""
    from tinylm.align.run.tunable import open_tunable
    from tinylm.finetune.freezing import count_trainable
    from tinylm.finetune.instruct.instructions import answer_loss
    from tinylm.train.interrupt import finish_first

    opened = open_tunable(name, config.template, config.lora, config.lora_alpha, config.seed)
    model, tokenizer, template = opened.model, opened.tokenizer, opened.template
    task, train, held = _examples(config, model, tokenizer, template, report)
    model.to(config.device)
    report(
        f"model: {model.count_parameters():,} parameters, of which {count_trainable(model):,} are "
        f"trained; conversations written as {template.name}"
    )
    on_answers = dataclasses.replace(task, whole=False)  # also with --whole: the figures compare
    before = after = None
    if held:
        before, _ = answer_loss(model, on_answers, held, config.batch_size, config.device)
    # A signal lets the current step finish, and LoRA's change be merged into the weights.
    with finish_first() as signals:
        done, stopped_by = tune(config, model, task, train)
        if config.lora:
            from tinylm.finetune.peft.merging import bake

            bake(model)
    stopped_by = stopped_by or signals.signal
    if held and not stopped_by:  # after a signal no time is spent on figures
        try:
            after, _ = answer_loss(model, on_answers, held, config.batch_size, config.device)
            report(
                f"held back: {before:.4f} nats per answer token before, {after:.4f} after "
                f"{done} steps"
            )
        except KeyboardInterrupt as stopped:
            stopped_by = signal_of(stopped)
    with finish_first():  # a second SIGTERM does not end it
        _save(directory, name, config, opened, done, (before, after))
    where, steps = shlex.quote(str(directory)), ""
    if stopped_by:
        steps = f", after {done} steps"
    report(
        f"saved in {directory}{steps}. To try next:\n  tinylm chat {where}\n"
        f"  tinylm generate {where} {shlex.quote(_question(config))}"
    )
    if stopped_by:
        return 128 + stopped_by  # 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP


def _examples(config, model, tokenizer, template, report):
    """(task, examples to train on, examples held back) of the file. The context of the model may
    become longer.
    """
    from tinylm.backend import Random
    from tinylm.data.read.sources import shown
    from tinylm.finetune.instruct.conversations import fitted, pack, packing_efficiency
    from tinylm.finetune.instruct.instructions import InstructionTuning

    whole = _encoded(config, tokenizer, template, report)
    samples, longest = len(whole), max(len(one) - 1 for one in whole)  # inputs of the model
    context = _context(config, model, longest, report)
    examples, cut, dropped, lost = fitted(whole, context)
    mend = _longer(model, longest)
    if not examples:
        raise DataError(
            f"{shown(config.data)}: no question of {samples} samples leaves room for an "
            f"answer in the context of {context} tokens: {mend}"
        )
    tokens = sum(map(len, examples))
    answers = sum(int(one.answer.sum()) for one in examples)  # tokens that count in the loss
    report(f"data: {len(examples):,} samples, {tokens:,} tokens, of which {answers:,} are answers")
    if lost:
        report(
            f"data: the context of {context} tokens cuts {cut:,} of {samples:,} samples and leaves "
            f"out {dropped:,}, whose questions fill it: {lost:,} of "
            f"{sum(map(len, whole)):,} tokens are lost; {mend}"
        )
    # The same samples are held back for the same seed and file.
    order = Random(config.seed, "held back").permutation(len(examples)).tolist()
    first = min(round(config.val_fraction * len(examples)), len(examples) - 1)  # one is left
    held = [examples[i] for i in order[:first]]
    train = [examples[i] for i in order[first:]]
    task = InstructionTuning(config.whole, tokenizer, tokenizer.special.get(template.end))
    if config.pack:
        rows = pack(train, context)
        filled = packing_efficiency(rows, context)
        report(f"packed: {len(train):,} samples in {len(rows):,} rows, {filled:.0%} filled")
        train = rows
    return task, train, held


LONGEST = 4  # times the context of a model, to which it is made longer by itself
# Positions that a model reads from a table, which has an end.
TABLES = ("learned",)


def _encoded(config, tokenizer, template, report):
    """All samples of the files as Encoded, none of them cut.

    raises   DataError with file and line for a sample that the tokenizer cannot write
    """
    from tinylm.data.read.instructions import read_instructions
    from tinylm.data.read.sources import shown, text_files
    from tinylm.finetune.instruct.conversations import encode_samples

    bad, found = BadLines(config.skip_bad), []
    for file in text_files(config.data):
        places = []
        samples = read_instructions(file, bad, places)
        for sample, place in zip(samples, places):
            try:
                examples, _, _ = encode_samples(tokenizer, template, [sample], None, config.turns)
            except DataError as error:
                bad.add(f"{file}, {place}: {error}")
                continue
            found += examples
    for line in bad.report():
        report(line)
    if not found:
        raise DataError(f"{shown(config.data)} holds no sample with an answer that can be learnt")
    return found


def _context(config, model, longest, report):
    """The most inputs of a sample, as set or as the samples need; the model then reads as many.

    longest  inputs of the longest sample
    raises   ConfigError for more than a table of positions has
    """
    now = model.config.context
    context = config.context
    grows = model.config.positions not in TABLES
    if context is None:
        context = now
        if longest > now and grows:
            context = min(longest, LONGEST * now)
            report(
                f"context: {context} tokens instead of {now}, as the longest sample has "
                f"{longest}; --context N sets it"
            )
    if context > now and not grows:
        raise ConfigError(
            f"--context {context}: the model has learned positions, {now} of them: {_RETRAIN}"
        )
    if context > now:
        model.config = dataclasses.replace(model.config, context=context)
    return context


_RETRAIN = "`tinylm train --context N` makes one that reads more"


def _longer(model, longest):
    """How samples of so many tokens can be read whole."""
    if model.config.positions in TABLES:
        return f"{_RETRAIN}, {longest} here"
    return f"--context {longest} reads all"


def _save(directory, name, config, opened, steps, losses):
    from tinylm.finetune.instruct.saved import save_tuned
    from tinylm.train.run.config import as_json

    # Kept in the checkpoint beside the base run's configuration.
    settings = as_json(config) | {
        "run": str(name),
        "steps": steps,
        "held_back_before": losses[0],
        "held_back_after": losses[1],
    }
    parts = opened.model, opened.tokenizer, opened.template, opened.base
    save_tuned(directory, *parts, steps, settings)


def _beside(name):
    """Where the result goes without --out: beside the run, or in runs/."""
    from tinylm.prompt.protocol.opened import is_published

    if is_published(name):
        return Path("runs") / f"{Path(name).stem}-tuned"
    return Path(f"{Path(name)}-tuned")


def _question(config):
    """A prompt to try: the first question of the first sample, shortened to one line."""
    from tinylm.data.read.instructions import read_instructions
    from tinylm.data.read.sources import text_files

    first = read_instructions(text_files(config.data)[0], BadLines(config.skip_bad))[0]
    questions = [m["content"] for m in first.messages() if m["role"] == "user"]
    return textwrap.shorten([*questions, "Hello"][0], 60, placeholder="")
