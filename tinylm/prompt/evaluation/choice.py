"""A multiple-choice benchmark: which option does the model find most probable?

The options are scored after a question, as the usual harness does it, and ranked in every usual
way: by log Pr(option | question), by that a character, a byte or a token, and against the option's
probability without the question. One task is reported by one of them, another by another, so all
are computed from the same scores, and the report names the one that is customary. The scores can be
kept in a file, from which a run is resumed. Book section 3.1.4; Gao et al. 2021
(lm-evaluation-harness). Read next: choice_scores.py; ../protocol/seam.py, on the tokens.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.data.measure.calibration import expected_calibration_error
from tinylm.data.measure.proportions import wilson_interval
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.evaluation.answer_file import AnswerFile, file_head
from tinylm.prompt.evaluation.choice_scores import ItemScores, read_scores, scores_of
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.fitted import fit_options
from tinylm.prompt.protocol.completion import NORMALIZATIONS
from tinylm.prompt.protocol.text_lm import TextLM

TOGETHER = 32  # questions scored in one call: between two calls, progress is shown


@dataclass(frozen=True)
class ChoiceTask:
    """How the items of a benchmark become prompts.

    prompt         FewShotPrompt
    normalization  by which the task is usually reported, as in Scores.by
    words          pairs (option of the file, the word for it in the prompt); () for none
    unconditional  the prompt without a question
    """

    prompt: FewShotPrompt = FewShotPrompt(question_name="Question", answer_name="Answer")
    normalization: str = "sum"
    words: tuple = ()
    unconditional: str = "Answer:"

    def reworded(self, item: Item) -> Item:
        """The item with its options, and its answer, in the words of the task."""
        words = dict(self.words)
        options = tuple(words.get(option, option) for option in item.options)
        return replace(item, options=options, answer=words.get(item.answer, item.answer))


TASKS = {
    "choice": ChoiceTask(),
    "arc-easy": ChoiceTask(),  # acc of Clark et al. 2018
    "piqa": ChoiceTask(normalization="character"),  # acc_norm of Bisk et al. 2020
    "boolq": ChoiceTask(words=(("true", "yes"), ("false", "no"))),
}


@dataclass(frozen=True)
class ChoiceReport:
    """Accuracies of a model on a benchmark.

    count       items
    right       {normalization: right answers}
    chance      expected share of right answers of a guess
    error       expected calibration error of the customary scores, softmax over the options
    apart       continuations whose tokens had to be encoded apart from their prompt's
    prompt      the first prompt, to be looked at
    failed      ((number of the item, why it could not be scored), ..): counted as wrong
    dropped     ((number of the item, demonstrations without room in its prompt), ..)
    """

    count: int
    right: dict
    chance: float
    error: float
    apart: int
    prompt: str
    failed: tuple = ()
    dropped: tuple = ()

    def interval(self, normalization: str) -> tuple[float, float, float]:
        """(accuracy, low, high), the 95 % interval of Wilson."""
        right = self.right[normalization]
        return right / self.count, *wilson_interval(right, self.count)


def task_named(name: str) -> ChoiceTask:
    """The ChoiceTask of a name. Raises ConfigError with the names there are."""
    if name not in TASKS:
        raise ConfigError(
            f"no task {name!r}; there are {', '.join(TASKS)} ('choice' is for any file of "
            "questions with options)"
        )
    return TASKS[name]


def evaluate_choices(
    lm: TextLM,
    task: ChoiceTask,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    show: Callable | None = None,
    file: Any = None,
    about: dict[str, str] | None = None,
) -> ChoiceReport:
    """Score every option of every item.

    lm              TextLM that continues text
    task            ChoiceTask
    items           Items with options and answers
    demonstrations  Items before each question; those that the context has no room for are dropped
    show            called with (items done, all items) now and then; None: silent
    file            path of a file of scores, begun or continued; None: none is kept
    about           dict that describes the model in `file`
    returns         ChoiceReport. An item that is too long for the model counts as wrong
    raises          DataError for an item without options or answer, or if none could be scored;
                    ConfigError if the file is of another run, or in use
    """
    if not items:
        raise DataError("evaluate_choices: there are no items")
    golds = [item.gold for item in items]  # raises without options or answer
    items = [task.reworded(item) for item in items]
    demonstrations = [task.reworded(item) for item in demonstrations]
    kept = contextlib.nullcontext()
    if file is not None:
        # By which scores the task is reported does not change them.
        settings = {name: getattr(task, name) for name in ("prompt", "words", "unconditional")}
        head = file_head(about or {}, settings, demonstrations, 0)
        kept = AnswerFile(file, head, items, read_scores)
    with kept as open_file:
        records = list(open_file.records) if open_file else []
        while len(records) < len(items):
            # Batches end where those of an uninterrupted run end.
            last = min(len(items), (len(records) // TOGETHER + 1) * TOGETHER)
            for record in _scored(lm, task, items, demonstrations, range(len(records), last)):
                records.append(record)
                if open_file:
                    open_file.append(record)
            if show is not None:
                show(len(records), len(items))
    return _report(lm, task, items, golds, records, demonstrations)


def _scored(lm, task, items, demonstrations, numbers):
    """The ItemScores of the items with these numbers, which are scored together."""
    fitted, texts, errors = {}, {}, {}
    for i in numbers:
        texts[i] = _endings(task, items[i])
        try:
            fitted[i] = _fitted(lm, task, items[i], demonstrations)
        except DataError as error:
            errors[i] = str(error)
    found = lm.score_batch(
        [one.text for one in fitted.values()],
        [texts[i] for i in fitted],
        unconditional=task.unconditional,
    )
    found = dict(zip(fitted, found))
    for i in numbers:
        if i in errors:
            yield ItemScores(i, error=errors[i])
        else:
            yield scores_of(i, found[i], len(fitted[i].dropped))


def _fitted(lm, task, item, demonstrations):
    """The prompt of an item: Fitted."""
    endings = _endings(task, item)
    return fit_options(lm, lambda kept: task.prompt.prompt(item, kept), demonstrations, endings)


def _report(lm, task, items, golds, records, demonstrations):
    """The ChoiceReport of the items' scores."""
    scored = [record for record in records if not record.error]
    if not scored:
        raise DataError(f"no item could be scored: {records[0].error}")
    found = {r.item: r.scores(_endings(task, items[r.item])) for r in scored}
    right = {
        name: sum(scores.best(name) == golds[i] for i, scores in found.items())
        for name in NORMALIZATIONS
    }
    probabilities = [scores.probabilities(task.normalization) for scores in found.values()]
    correct = [scores.best(task.normalization) == golds[i] for i, scores in found.items()]
    return ChoiceReport(
        len(items),
        right,
        float(np.mean([1 / len(item.options) for item in items])),
        expected_calibration_error([p.max() for p in probabilities], correct),
        sum(sum(scores.apart) for scores in found.values()),
        _fitted(lm, task, items[scored[0].item], demonstrations).text,
        tuple((record.item, record.error) for record in records if record.error),
        tuple((record.item, record.dropped) for record in scored if record.dropped),
    )


def _endings(task, item):
    """The options of an item as they follow its prompt."""
    return [task.prompt.continuation(item, option) for option in item.options]
