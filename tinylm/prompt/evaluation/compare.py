"""Methods side by side, and each against plain prompting with as many tokens.

A method that sends ten prompts should be better than one prompt; the question is whether it is
better than ten plain ones. `plain_vote` spends the tokens of any method on plain prompting: n
samples of the question alone, and the answer that most of them give. n is the method's tokens
divided by those of one plain prompt. Read next: cli/use/prompt.py.
"""

import math
from dataclasses import dataclass

import numpy as np

from tinylm.data.measure.proportions import wilson_interval
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.evaluation.judge import task_key
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.in_context.few_shot import zero_shot
from tinylm.train.compare import student_quantile


@dataclass(frozen=True)
class Summary:
    """Figures of a method on a list of questions.

    count     questions with a gold answer
    right     how many of these were answered right
    unread    replies without an answer that could be read
    low, high the 95 % interval of the accuracy (Wilson 1927)
    tokens, calls, seconds   means of one question
    """

    count: int
    right: int
    unread: int
    low: float
    high: float
    tokens: float
    calls: float
    seconds: float

    @property
    def accuracy(self):
        """The share of right answers; nan without gold answers."""
        if not self.count:
            return math.nan
        return self.right / self.count


def summarize(records):
    """The Summary of a list of Record, at least one."""
    if not records:
        raise DataError("summarize: there is no answer to summarize")
    judged = [record.right for record in records if record.right is not None]
    low, high = math.nan, math.nan
    if judged:
        low, high = wilson_interval(sum(judged), len(judged))

    def mean(name):
        return float(np.mean([getattr(record, name) for record in records]))

    unread = sum(record.value is None for record in records)
    return Summary(
        len(judged), sum(judged), unread, low, high, mean("tokens"), mean("calls"), mean("seconds")
    )


def paired_difference(records, others, level=0.95):
    """How much more often the first are right, on the same questions.

    returns  (difference of the accuracies, low, high), the interval by Student's t over questions
    raises   DataError for different questions, or fewer than two
    """
    if [record.item for record in records] != [record.item for record in others]:
        raise DataError("paired_difference: the answers are of different questions")
    pairs = [(a.right, b.right) for a, b in zip(records, others) if None not in (a.right, b.right)]
    if len(pairs) < 2:
        raise DataError(f"paired_difference: {len(pairs)} judged questions; it needs at least 2")
    change = np.array([float(a) - float(b) for a, b in pairs])  # 1, 0 or -1
    half = student_quantile((1 + level) / 2, len(pairs) - 1) * change.std(ddof=1)
    half /= math.sqrt(len(pairs))
    mean = float(change.mean())
    return mean, mean - float(half), mean + float(half)


def plain_vote(lm, item, demonstrations=(), *, seed=0, count=1, plain=None, **options):
    """The answer that most of `count` samples of plain prompting give.

    count    1: the most probable reply; more: samples at temperature 1, a vote among the answers
             that could be read (ensemble/combine.py)
    plain    the method that is sampled; None: zero_shot
    returns  Answer; details: "votes" {answer: its share}
    """
    plain = plain or zero_shot
    if count == 1 or item.options:  # the scores of options have no randomness to sample
        return plain(lm, item, demonstrations, seed=seed, **options)
    sampled = Sampled(lm)
    found = [plain(sampled, item, demonstrations, seed=seed + r, **options) for r in range(count)]
    ballot = vote([one.value for one in found], key=lambda value: task_key(value, item))
    return Answer(ballot.value, found[-1].text, {"votes": ballot.shares})


class Sampled:
    """A TextLM whose replies are samples at temperature 1, whatever a method wants."""

    def __init__(self, lm):
        self._lm = lm

    def __getattr__(self, name):
        return getattr(self._lm, name)

    def complete(self, prompt, **options):
        """As TextLM.complete, at temperature 1."""
        return self._lm.complete(prompt, **{**options, "temperature": 1.0})


@dataclass(frozen=True)
class Row:
    """A method in a comparison.

    name        of the method
    summary     Summary
    samples     n of plain_vote: how many plain prompts cost as many tokens
    plain       Summary of plain_vote; None for plain prompting itself, and where no item has a
                gold answer
    difference  (accuracy of the method less that of plain_vote, low, high), or None
    """

    name: str
    summary: Summary
    samples: int = 1
    plain: Summary | None = None
    difference: tuple | None = None

    def as_dict(self):
        """Plain values, for JSON."""
        plain = self.plain and vars(self.plain)
        return {**vars(self), "summary": vars(self.summary), "plain": plain}


def compare(lm, methods, items, demonstrations=(), *, seed=0, show=None):
    """Methods on the same items, each against plain_vote with as many tokens.

    methods  {name: (function, options)}
    show     called with a line before each run; None: silent
    returns  list of Row
    """
    show = show or (lambda line: None)

    def run(method, options):
        return list(answer_items(lm, method, items, demonstrations, seed=seed, **options))

    def votes(count, options):
        shared = {
            name: value for name, value in options.items() if name in ("prompt", "max_tokens")
        }
        if count not in found:
            show(f"plain prompting, {count} samples a question")
            found[count] = run(plain_vote, {**shared, "count": count})
        return found[count]

    found, rows = {}, []
    for name, (method, options) in methods.items():
        show(f"{name}, {len(items)} questions")
        records = run(method, options)
        summary = summarize(records)
        if method is zero_shot or not summary.count:
            found.setdefault(1, records)
            rows.append(Row(name, summary))
            continue
        plain = votes(1, options)
        samples = max(1, round(summary.tokens / summarize(plain).tokens))
        plain = votes(samples, options)
        difference = None
        if summary.count > 1:
            difference = paired_difference(records, plain)
        rows.append(Row(name, summary, samples, summarize(plain), difference))
    return rows
