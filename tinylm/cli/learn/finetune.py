"""`tinylm finetune RUN --data FILE`: train a model to follow instructions, its loss on the answers
alone.

RUN is a run of `tinylm train` or `tinylm finetune`, a name of published weights (smollm2), a file
or a folder of weights. FILE has one sample a line, {"instruction": ..., "input": ..., "output":
...}, {"prompt": ..., "completion": ...} or {"messages": [{"role": ..., "content": ...}, ...]}, or
is a JSON list of such. The result is a run of its own, which `tinylm chat` opens. Ctrl-C stops
after the current step and saves.
"""

import dataclasses
import shlex
import signal
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.cli.config_file import keep_settings
from tinylm.cli.options import parse, refuse, report
from tinylm.errors import DataError
from tinylm.finetune.settings import RunSettings, UpdateSettings
from tinylm.machine import Terminated
from tinylm.reading import BadLines
from tinylm.settings import one_of, positive, setting

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
    pack: bool = setting(False, "put several samples into one row, to leave little padding")
    whole: bool = setting(False, "take the loss on questions too, as in pretraining")


def main(argv):
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
        done, stopped_by = _tune(config, model, task, train)
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
            stopped_by = _signal_of(stopped)
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


def _signal_of(stopped):
    """The signal behind a KeyboardInterrupt."""
    if isinstance(stopped, Terminated):
        return stopped.signal
    return signal.SIGINT


def _examples(config, model, tokenizer, template, report):
    """(task, examples to train on, examples held back) of the file."""
    from tinylm.backend import Random
    from tinylm.data.read.instructions import read_instructions
    from tinylm.data.read.sources import shown, text_files
    from tinylm.finetune.instruct.conversations import encode_samples, pack, packing_efficiency
    from tinylm.finetune.instruct.instructions import InstructionTuning

    files, context = text_files(config.data), model.config.context
    bad = BadLines(config.skip_bad)
    samples = [sample for file in files for sample in read_instructions(file, bad)]
    for line in bad.report():
        report(line)
    examples, cut, dropped = encode_samples(tokenizer, template, samples, context, config.turns)
    if not examples:
        raise DataError(
            f"{shown(config.data)}: no question of {len(samples)} samples leaves room for an "
            f"answer in the context of {context} tokens: take a model with a longer one"
        )
    tokens = sum(map(len, examples))
    answers = sum(int(one.answer.sum()) for one in examples)  # tokens that count in the loss
    line = f"data: {len(examples):,} samples, {tokens:,} tokens, of which {answers:,} are answers"
    if cut:
        line += f"; {cut} cut by the context of {context}"
    if dropped:
        line += f"; {dropped} left out by the context of {context}"
    report(line)
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


def _tune(config, model, task, examples):
    """Train and show the progress. Returns (updates done, the signal that stopped them or None)."""
    from tinylm.finetune.fitting import Shuffled, fit
    from tinylm.nn.recompute import recompute_blocks
    from tinylm.optim.schedule import adapted, warm_up_steps
    from tinylm.train.progress import Progress

    # Every epoch reads each sample once, in another order.
    per_epoch = Shuffled(examples, config.batch_size).per_epoch
    steps = config.steps or max(1, round(config.epochs * per_epoch))
    if config.checkpointing:
        recompute_blocks(model)
    progress, losses = Progress(0, steps), []
    rising = round(config.warmup * steps)
    if warm_up_steps(rising, steps) != rising:
        report(adapted(rising, steps))

    def show(step, seconds):
        losses.append(step.loss)
        mean = float(np.mean(losses[-20:]))  # one batch alone jumps too much to read
        progress.update(len(losses), mean, step.tokens / seconds, step.grad_norm)

    try:
        fit(
            model,
            task,
            examples,
            steps=steps,
            batch_size=config.batch_size,
            learning_rate=config.lr,
            warmup=config.warmup,
            weight_decay=config.weight_decay,
            clip=config.clip,
            seed=config.seed,
            micro_batch=config.micro_batch,
            after_step=show,
        )
    except KeyboardInterrupt as stopped:
        # The current step was finished: the weights are as after it.
        model.eval()
        return len(losses), _signal_of(stopped)
    finally:
        progress.close()
    return steps, None


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
