"""`tinylm eval RUN [FILE...]`: loss, perplexity and bits per byte of a trained model on a text.

RUN is a run, or published weights: a folder that `tinylm export` wrote, a name, a file. Without
--data the text is what the run kept for validation. Bits per byte compare models with different
tokenizers. Of an objective other than causal the loss and the share of right answers are told: its
loss is not of a whole text.
"""

import json
import tempfile
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.errors import DataError
from tinylm.settings import at_least, setting


@dataclass
class EvalConfig:
    """What `tinylm eval` takes."""

    data: tuple[str, ...] = setting(
        (), "text to score: files, folders, patterns; none: the run's validation text", several=True
    )
    skip_bad: bool = setting(
        False, "with --data: leave out lines that cannot be read, and count them"
    )
    batch_size: int = setting(0, "windows scored at a time; 0: as many as in training", at_least(0))
    device: str = setting("cpu", "cpu or gpu")
    json: bool = setting(False, "print one JSON object instead of lines")


def main(argv):
    """Score a model on a text and print the result."""
    from tinylm.backend import backend
    from tinylm.cli.learn.eval_published import score_published
    from tinylm.cli.use.open_model import is_published
    from tinylm.reading import BadLines

    config, (path, *files) = parse(
        argv,
        EvalConfig,
        positionals=("RUN", "[FILE...]"),
        verb="eval",
        about=__doc__,
        examples=(
            "tinylm eval RUN",
            "tinylm eval RUN --data book.txt --json",
            "tinylm eval smollm2 book.txt",
        ),
    )
    backend(config.device)
    asked, bad = (*files, *config.data), BadLines(config.skip_bad)
    with tempfile.TemporaryDirectory(prefix="tinylm-eval-") as aside:
        if is_published(path):
            result = score_published(path, config, asked, aside, bad)
        else:
            result = score_run(path, config, asked, aside, bad)
    if config.json:
        result["left_out"] = bad.count
        print(json.dumps(result))
        return
    print("\n".join([*bad.report(), *report(result)]))


def score_run(path, config, asked, aside, bad):
    """The scores of a run on a text, of its own where none is asked for. Returns a dict."""
    from tinylm.train import Run, checkpoint, load_run

    run, found = checkpoint.find(path)
    model, tokenizer, trained = load_run(found)
    model.to(config.device)
    data = text_of(asked, run, tokenizer, trained, aside, bad)
    opened = Run(run, trained, tokenizer, data, None)
    scores = score(model, opened, config.batch_size or trained.batch_size, config.device)
    return {
        "run": str(found),
        "data": ", ".join(asked) or f"{run}, validation text",
        "objective": trained.objective,
        "counted": opened.family.counted,
        **scores,
    }


def report(result):
    """A result as lines."""
    lines = [
        f"{result['run']} on {result['data']}: {result['tokens']:,} {result['counted']} scored"
    ]
    if "perplexity" in result:
        return lines + [
            f"  loss           {result['loss']:.4f} nats per token",
            f"  perplexity     {result['perplexity']:.3f}",
            f"  bits per byte  {result['bits_per_byte']:.4f} (perplexity {2 ** result['bits_per_byte']:.3f} per byte)",
        ]
    lines.append(f"  loss           {result['loss']:.4f} ({result['objective']})")
    if result["right"] is not None:
        lines.append(
            f"  right answers  {result['right']:.1%} of {result['answers']:,} (always the commonest one: "
            f"{result['commonest']:.1%})"
        )
    return lines


def text_of(path, run, tokenizer, trained, aside, bad=None):
    """The text to score, the validation side of a Prepared; a text of the user's own is encoded
    into `aside`, its bad lines left to `bad`."""
    from dataclasses import replace

    from tinylm.train.run.families import family_of
    from tinylm.train.run.texts import open_text, prepare_text

    family = family_of(trained, tokenizer.vocab_size)
    if path:
        data = prepare_text(trained, tokenizer, family, aside, data=path, val_fraction=0, bad=bad)
        return replace(data, val=data.train, meta={**data.meta, "val": data.meta["train"]})
    if not (run / "data").exists():  # of a fine-tuned model
        raise DataError(f"{run} has no text of its own: give one with --data FILE")
    try:
        data = open_text(run / "data", tokenizer, family)
        data.val.verify()
        if not family.causal:  # other objectives draw from the text
            data.train.verify()
    except DataError as error:
        raise DataError(
            f"{error}: `tinylm train --resume {run}` prepares the text again, or give "
            "one with --data FILE"
        ) from None
    if not len(data.val):
        raise DataError(
            f"{run} kept no text for validation (val_fraction 0): give one with --data FILE"
        )
    return data


def score(model, run, batch_size, device):
    """Mean loss over rows that stand side by side, as the trainer validates. Returns a dict of
    numbers.
    """
    from tinylm.train import evaluate, perplexity
    from tinylm.train.accuracy import accuracy
    from tinylm.train.run.rows import validation_rows

    rows, objective = validation_rows(run.config, run.data.val, run.family), run.objective()
    loss, count = evaluate(model, objective, rows, batch_size, device=device)
    if run.family.causal:
        return {
            "tokens": count,
            "loss": loss,
            "perplexity": perplexity(loss),
            "bits_per_byte": run.data.bits_per_byte(loss),
        }
    share, answers, commonest = accuracy(model, objective, rows, batch_size, device=device)
    return {
        "tokens": count,
        "loss": loss,
        "right": share,
        "answers": answers,
        "commonest": commonest,
    }
