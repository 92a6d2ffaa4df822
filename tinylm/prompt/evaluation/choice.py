"""A multiple-choice benchmark: which option does the model find most probable?

The options are scored after a question, as the usual harness does it, and ranked in every usual
way: by log Pr(option | question), by that a character, a byte or a token, and against the option's
probability without the question. One task is reported by one of them, another by another, so all
are computed from the same scores, and the report names the one that is customary. Book section
3.1.4; Gao et al. 2021 (lm-evaluation-harness). Read next: ../protocol/seam.py, on the tokens.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinylm.data.measure.calibration import expected_calibration_error
from tinylm.data.measure.proportions import wilson_interval
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol.completion import NORMALIZATIONS

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

    def reworded(self, item):
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
    """

    count: int
    right: dict
    chance: float
    error: float
    apart: int
    prompt: str

    def interval(self, normalization):
        """(accuracy, low, high), the 95 % interval of Wilson."""
        right = self.right[normalization]
        return right / self.count, *wilson_interval(right, self.count)


def task_named(name):
    """The ChoiceTask of a name. Raises ConfigError with the names there are."""
    if name not in TASKS:
        raise ConfigError(
            f"no task {name!r}; there are {', '.join(TASKS)} ('choice' is for any file of "
            "questions with options)"
        )
    return TASKS[name]


def evaluate_choices(lm, task, items, demonstrations=(), show=None):
    """Score every option of every item.

    lm              TextLM that continues text
    task            ChoiceTask
    items           Items with options and answers
    demonstrations  Items before each question
    show            called with (items done, all items) now and then; None: silent
    returns         ChoiceReport
    raises          DataError for an item without options or answer
    """
    if not items:
        raise DataError("evaluate_choices: there are no items")
    golds = [item.gold for item in items]  # raises without options or answer
    items = [task.reworded(item) for item in items]
    demonstrations = [task.reworded(item) for item in demonstrations]
    prompts = [task.prompt.prompt(item, demonstrations) for item in items]
    texts = [[task.prompt.continuation(item, o) for o in item.options] for item in items]
    found = []
    for first in range(0, len(items), TOGETHER):
        part = slice(first, first + TOGETHER)
        found += lm.score_batch(prompts[part], texts[part], unconditional=task.unconditional)
        if show is not None:
            show(len(found), len(items))
    right = {
        name: sum(scores.best(name) == gold for scores, gold in zip(found, golds))
        for name in NORMALIZATIONS
    }
    probabilities = [scores.probabilities(task.normalization) for scores in found]
    correct = [scores.best(task.normalization) == gold for scores, gold in zip(found, golds)]
    return ChoiceReport(
        len(items),
        right,
        float(np.mean([1 / len(item.options) for item in items])),
        expected_calibration_error([p.max() for p in probabilities], correct),
        sum(sum(scores.apart) for scores in found),
        prompts[0],
    )
