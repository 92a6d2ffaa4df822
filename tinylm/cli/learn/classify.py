"""`tinylm classify`: learn the classes of texts on top of a run, and name those of new ones.

    tinylm classify RUN --data reviews.tsv     trains, and saves a run of its own
    tinylm classify RUN-classifier "..."       the class of a text, with probabilities
    tinylm classify RUN-classifier --data more.tsv    how many of these it names rightly

RUN is a run of `tinylm train` with any objective; encoders, such as those of `--objective masked`,
see a text from both sides. Its head for pretraining is taken off, a new linear layer on one vector
of the text is put in its place, and all is trained (Devlin et al. 2019). A line of FILE is a text,
a tab and its class, or two texts and theirs; a .csv has commas instead. Longer texts than the model
reads are cut at their ends. Of a pair the two texts are divided by a tab here too. The text "-" is
read from the standard input, a line at a time. Ctrl-C stops after the current step and saves.
"""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylm.cli.config_file import keep_settings
from tinylm.cli.learn.tuning import signal_of, tune
from tinylm.cli.options import parse, refuse, report
from tinylm.cli.terminal import visible
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.settings import UpdateSettings
from tinylm.reading import BadLines, standard_input
from tinylm.settings import at_least, between, named_in_utf8, one_of, positive, setting

if TYPE_CHECKING:
    from tinylm.finetune.tasks.classify import Classification
    from tinylm.finetune.tasks.heads import Classifier

EXAMPLES = (
    "tinylm classify RUN --data reviews.tsv",
    'tinylm classify RUN-classifier "I liked it."',
)
MOST_CLASSES = 1000  # more are numbers or texts, read as classes by mistake


@dataclass(frozen=True)
class ClassifyConfig(UpdateSettings):
    """Settings of `tinylm classify`."""

    data: tuple[str, ...] = setting(
        (),
        "files of texts with their classes, divided by tabs (.csv: by commas); may be .gz",
        check=named_in_utf8,
        several=True,
    )
    skip_bad: bool = setting(False, "leave out lines that cannot be read, and count them")
    val_fraction: float = setting(
        0.1, "part of the texts kept for validation; 0: none", between(0, 0.9)
    )
    epochs: float = setting(3.0, "how many times all texts are read", positive)
    lr: float = setting(
        5e-4, "peak learning rate, between a warm-up and a linear decay to 0", positive
    )
    warmup: float = setting(0.1, "share of the updates that warm up", between(0, 1))
    pool: str = setting(
        "auto",
        "the vector of a text: first (that of [CLS]), mean, last; auto: first, in a decoder last",
        one_of("auto", "first", "mean", "last"),
    )
    top: int = setting(3, "classes shown of a text", at_least(1))
    json: bool = setting(False, "print one JSON object a text")
    device: str = setting("cpu", "cpu or gpu")
    out: str = setting("", "directory of the result; none: beside RUN", named_in_utf8)


NEEDS_DATA = "skip_bad", "val_fraction", "epochs", "steps", "lr", "warmup", "pool", "batch_size"
NEEDS_DATA += "micro_batch", "checkpointing", "weight_decay", "clip", "seed", "out"


def main(argv: Sequence[str]) -> int | None:
    """Train a classifier, name the classes of texts, or count how many it names rightly."""
    from tinylm.finetune.tasks.saved_classifier import is_classifier
    from tinylm.prompt.protocol.opened import check_there, is_published

    given: dict[str, Any] = {}
    config, (name, *texts) = parse(
        argv,
        ClassifyConfig,
        positionals=("RUN", "[TEXT...]"),
        verb="classify",
        about=__doc__,
        examples=EXAMPLES,
        given=given,
    )
    check_there(name)
    if is_published(name):
        raise ConfigError(f"{name}: classifiers are trained on runs of `tinylm train`")
    labels = is_classifier(name)
    if texts or labels:
        if not labels:
            raise ConfigError(
                f"{name} has learnt no classes yet: tinylm classify {shlex.quote(name)} --data FILE"
            )
        reason = f"{name} is trained already"
        refuse(given, NEEDS_DATA[1:], reason, ClassifyConfig)
        return _use(name, texts, config)
    if not config.data:
        raise ConfigError("needs --data FILE, of texts with their classes, to train on")
    return _train(name, config)


def _use(name, texts, config):
    """Name the classes of texts, or count the right ones of a file."""
    from tinylm.finetune import answers
    from tinylm.finetune.tasks.saved_classifier import load_classifier

    model, task = load_classifier(name)
    model.to(config.device)
    if config.data:
        if texts:
            raise ConfigError("a text and --data: one or the other")
        examples = _examples(config)
        for _, label in examples:
            if label not in task.classes:
                raise DataError(
                    f"the file has the class {label!r}, which is not one of "
                    f"{', '.join(task.classes)}: {name} was trained on these"
                )
        found = task.measure(answers(model, task, examples, config.batch_size), examples)
        if config.json:
            print(json.dumps({"texts": len(examples), **found}))
        else:
            print(_scores(found, examples))
        return
    if texts == ["-"]:
        texts = [line for line in standard_input().splitlines() if line.strip()]
    if not texts:
        raise ConfigError(f"needs a text: tinylm classify {shlex.quote(name)} TEXT")
    for text in texts:
        ranked = ranking(model, task, text)[: config.top]
        if config.json:
            print(json.dumps({"text": text, "classes": dict(ranked)}, ensure_ascii=False))
            continue
        best = "   ".join(f"{visible(label)} {100 * p:.3g} %" for label, p in ranked)
        print(f"{best}   {visible(text)}" if len(texts) > 1 else best)


def ranking(model: "Classifier", task: "Classification", text: str) -> list[tuple[str, float]]:
    """The classes of a text, or of two with a tab between, most probable first: list of (name,
    probability).
    """
    from tinylm.autograd import no_grad, softmax

    whole = tuple(text.split("\t", 1)) if "\t" in text else text
    batch = task.make_batch([(whole, None)]).to(model.parameters()[0].device)
    with no_grad():
        shares = softmax(model(batch.inputs, **batch.options), -1).numpy()[0].tolist()
    return sorted(zip(task.classes, shares), key=lambda one: -one[1])


def _scores(found, examples):
    """A line on how many classes were right, beside always naming the most frequent."""
    (label, count), *_ = Counter(label for _, label in examples).most_common(1)
    return (
        f"right: {found['accuracy']:.1%} of {len(examples):,} texts (always {visible(label)}: "
        f"{count / len(examples):.1%}); Matthews correlation {found['mcc']:.3f}"
    )


def _examples(config):
    """The texts of the files with their classes: list of (text, class)."""
    from tinylm.data.read.labeled import read_classes
    from tinylm.data.read.sources import shown, text_files

    bad, found = BadLines(config.skip_bad), []
    for file in text_files(config.data):
        found += read_classes(file, bad)
    for line in bad.report():
        report(line)
    if not found:
        raise DataError(f"{shown(config.data)} holds no text with a class")
    return found


def _train(name, config):
    """Train a classifier on the pretrained part of a run. Returns the exit code."""
    from tinylm.train.checkpoint import latest
    from tinylm.train.run.directory import begin

    begun = begin(config.out, report, Path(f"{Path(name)}-classifier"))  # locked until the end
    try:
        keep_settings(begun.path, config)
        return _trained(name, config, begun.path)
    except BaseException:
        if latest(begun.path) is None:  # a saved result stays
            begun.undo()
        raise
    finally:
        begun.lock.close()


def _trained(name, config, directory):
    from tinylm.data.read.labeled import share_of
    from tinylm.finetune import evaluate
    from tinylm.finetune.from_run import part_of
    from tinylm.finetune.tasks.classify import Classification
    from tinylm.finetune.tasks.heads import Classifier
    from tinylm.finetune.tasks.saved_classifier import save_classifier
    from tinylm.train import load_run
    from tinylm.train.interrupt import finish_first
    from tinylm.train.run.config import as_json

    examples = _examples(config)
    classes = tuple(sorted({label for _, label in examples}))
    if not 1 < len(classes) <= MOST_CLASSES:
        raise DataError(
            f"the last column has {len(classes):,} different classes: needs 2 to {MOST_CLASSES:,}"
        )
    base, tokenizer, trained_as = load_run(name)
    encoder, inputs = part_of(base, tokenizer, trained_as)
    pool = None if config.pool == "auto" else config.pool
    model = Classifier(encoder, len(classes), pool, config.seed).to(config.device)
    task = Classification(inputs, classes)
    # Of every class the same share is held back, and the same texts for the same seed.
    train, held = share_of(examples, 1 - config.val_fraction, config.seed)
    report(
        f"data: {len(train):,} texts to learn from, {len(held):,} held back; {len(classes)} "
        f"classes: {', '.join(map(visible, classes[:8]))}{', ..' if len(classes) > 8 else ''}"
    )
    with finish_first() as signals:
        done, stopped_by = tune(config, model, task, train, "texts")
    stopped_by, found = stopped_by or signals.signal, {}
    if held and not stopped_by:
        try:
            found = evaluate(model, task, held, config.batch_size)
            report(_scores(found, held))
        except KeyboardInterrupt as stopped:
            stopped_by = signal_of(stopped)
    settings = as_json(config) | {"run": str(name), "steps": done, "held_back": found}
    with finish_first():  # a second SIGTERM does not end it
        save_classifier(directory, model, task, trained_as, done, settings)
    where, text = shlex.quote(str(directory)), examples[0][0]
    said = shlex.quote(text if isinstance(text, str) else "\t".join(text))
    report(f"saved in {directory}. To try next:\n  tinylm classify {where} {said}")
    if stopped_by:
        return 128 + stopped_by
