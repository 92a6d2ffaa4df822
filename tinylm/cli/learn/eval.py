"""`tinylm eval RUN [FILE...]`: loss, perplexity and bits per byte of a trained model on a text, or
its accuracy on multiple-choice questions.

RUN is a run, or published weights: a name, a file, or a folder such as `tinylm export` writes.
Without --data the text is what the run kept for validation. Bits per byte can be compared between
models with different tokenizers. For objectives other than causal the loss and the share of right
answers are printed: their loss does not cover every token of the text, so it gives no perplexity.

`tinylm eval RUN --task arc-easy --data FILE` scores the options of every question and prints the
share of right ones, ranked in every usual way, with the prompt that was used; --task choice is for
any file of questions with options. A long run is kept with --out FILE, and resumed by the same
command.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylm.cli.options import parse, refuse
from tinylm.errors import ConfigError, DataError
from tinylm.json_text import json_text
from tinylm.settings import at_least, setting

if TYPE_CHECKING:
    from tinylm.reading import BadLines
    from tinylm.tokenizers.base import Tokenizer


@dataclass
class EvalConfig:
    """Settings of `tinylm eval`."""

    data: tuple[str, ...] = setting(
        (), "text to score: files, folders, patterns; none: the run's validation text", several=True
    )
    skip_bad: bool = setting(
        False, "with --data: leave out lines that cannot be read, and count them"
    )
    batch_size: int = setting(
        0,
        "windows scored at a time, 0: as many as in training; with --task prompts, 0: 16",
        at_least(0),
    )
    device: str = setting("cpu", "cpu or gpu")
    task: str = setting("", "score multiple-choice questions: choice, arc-easy, piqa or boolq")
    limit: int = setting(0, "with --task: the first so many questions; 0: all", at_least(0))
    shots: int = setting(
        0, "with --task: the first so many questions are demonstrations", at_least(0)
    )
    out: str = setting(
        "",
        "with --task: keep the scores in this file, a JSON line each; an interrupted run is "
        "resumed from it",
    )
    json: bool = setting(False, "print one JSON object instead of lines")


def main(argv: Sequence) -> None:
    """Score a model on a text and print the result."""
    from tinylm.backend import backend
    from tinylm.cli.learn.eval_published import score_published
    from tinylm.prompt.protocol.opened import check_there, is_published
    from tinylm.reading import BadLines

    given = {}
    config, (path, *files) = parse(
        argv,
        EvalConfig,
        given=given,
        positionals=("RUN", "[FILE...]"),
        verb="eval",
        about=__doc__,
        examples=(
            "tinylm eval RUN",
            "tinylm eval RUN --data book.txt --json",
            "tinylm eval smollm2 book.txt",
            "tinylm eval smollm2 --task arc-easy --data ARC-Easy.json.gz --limit 200",
        ),
    )
    backend(config.device)
    if config.out and not config.task:
        raise ConfigError("--out keeps the scores of questions: give it with --task")
    if not config.task:
        refuse(given, ("limit", "shots"), "they are of the questions of --task", EvalConfig)
    if not files and not config.data:
        refuse(given, ("skip_bad",), "it is of the lines of --data", EvalConfig)
    if config.task:
        from tinylm.cli.learn.eval_task import main as score_task

        score_task(path, config, (*files, *config.data))
        return
    check_there(path)
    files, bad = (*files, *config.data), BadLines(config.skip_bad)
    with tempfile.TemporaryDirectory(prefix="tinylm-eval-") as aside:
        if is_published(path):
            result = score_published(path, config, files, aside, bad)
        else:
            result = score_run(path, config, files, aside, bad)
    if config.json:
        result["left_out"] = bad.count
        print(json_text(result))
        return
    print("\n".join([*bad.report(), *report(result)]))


def score_run(
    path: str | Path,
    config: EvalConfig,
    files: Sequence[str],
    aside: str | Path,
    bad: "BadLines | None",
) -> dict[str, Any]:
    """The scores of a run on a text, as the trainer validates: rows side by side.

    path     a run, or a checkpoint in it
    config   EvalConfig
    files    the text; none: the run's own validation text
    aside    folder for its tokens
    bad      BadLines
    returns  dict: loss and tokens; of causal language modeling perplexity and bits per byte, of
             others the share of right answers
    """
    from tinylm.train import checkpoint, evaluate, load_run, perplexity_of_loss
    from tinylm.train.accuracy import token_accuracy
    from tinylm.train.run.rows import validation_rows
    from tinylm.train.run.run import new_objective
    from tinylm.train.run.texts import kept_dictionary

    run, found = checkpoint.find_run(path)
    model, tokenizer, trained = load_run(found)
    device, recipe = config.device, trained.recipe
    model.to(device)
    data = text_of(files, run, tokenizer, trained, aside, bad)
    dictionary = kept_dictionary(trained, run)  # as it was when the run began
    objective = new_objective(trained, tokenizer, data.train.tokens, dictionary)
    # The same rows and the same corruptions as in the run's own validations.
    rows = validation_rows(trained, data.val, trained.special(tokenizer.vocab_size))
    batch_size = config.batch_size or trained.batch_size
    loss, count = evaluate(model, objective, rows, batch_size, device=device)
    result = {
        "run": str(found),
        "data": ", ".join(files) or f"{run}, validation text",
        "objective": trained.objective,
        "counted": recipe.counted,
        "tokens": count,
        "loss": loss,
    }
    if recipe.whole_text:
        bits = data.bits_per_byte(loss)
        return result | {"perplexity": perplexity_of_loss(loss), "bits_per_byte": bits}
    share, answers, commonest = token_accuracy(model, objective, rows, batch_size, device=device)
    return result | {"right": share, "answers": answers, "commonest": commonest}


def report(result: dict[str, Any]) -> list[str]:
    """The lines to print of a result of evaluation."""
    lines = [
        f"{result['run']} on {result['data']}: {result['tokens']:,} {result['counted']} scored"
    ]
    if "perplexity" in result:
        bits = result["bits_per_byte"]
        return lines + [
            f"  loss           {result['loss']:.4f} nats per token",
            f"  perplexity     {result['perplexity']:.3f}",
            f"  bits per byte  {bits:.4f} (perplexity {2**bits:.3f} per byte)",
        ]
    lines.append(f"  loss           {result['loss']:.4f} ({result['objective']})")
    if result["right"] is not None:
        lines.append(
            f"  right answers  {result['right']:.1%} of {result['answers']:,} "
            f"(always the commonest one: {result['commonest']:.1%})"
        )
    return lines


def text_of(
    path: str | Path,
    run: Any,
    tokenizer: "Tokenizer",
    trained: Any,
    aside: str | Path,
    bad: "BadLines | None" = None,
) -> Any:
    """The text to score, the validation side of a Prepared; a text of the user's own is encoded
    into `aside`, its bad lines left to `bad`."""
    from dataclasses import replace

    from tinylm.train.run.texts import open_text, prepare_text

    if path:
        # val_fraction 0 puts all of it on the training side, which is then scored.
        data = prepare_text(trained, tokenizer, aside, data=path, val_fraction=0, bad=bad)
        return replace(data, val=data.train, meta={**data.meta, "val": data.meta["train"]})
    if not (run / "data").exists():  # of a fine-tuned model
        raise DataError(f"{run} has no text of its own: give one with --data FILE")
    try:
        data = open_text(trained, tokenizer, run / "data")
        data.val.verify()
        if not trained.recipe.whole_text:  # other objectives draw from the text
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
