"""Methods side by side, and each against plain prompting with as many tokens.

A method that sends ten prompts should be better than one prompt; the question is whether it is
better than ten plain ones. `plain_vote` spends the tokens of any method on plain prompting: n
samples of the question alone, and the answer that most of them give. n is the method's tokens
divided by those of one plain prompt; the samples have the method's temperature. The options of an
item are scored, which has no randomness to sample: there, the plain prompt is one prompt. Read
next: cli/use/prompt.py.
"""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.data.measure.proportions import wilson_interval
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.ensemble.combine import item_key, vote
from tinylm.prompt.evaluation.answer_file import plain as plain_values
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.evaluation.runner import Record, answer_items
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.in_context.few_shot import zero_shot
from tinylm.prompt.protocol.completion import Completion
from tinylm.prompt.protocol.text_lm import TextLM


@dataclass(frozen=True)
class Summary:
    """Figures of a method on a list of questions.

    count     questions with a gold answer
    right     how many of these were answered right
    unread    replies without an answer that could be read
    failed    ((number of the item, why it could not be answered), ..): counted as wrong
    shortened questions whose prompt lost demonstrations or texts, for want of room
    low, high the 95 % interval of the accuracy (Wilson 1927)
    tokens, calls, seconds   means of one question
    report    {name: mean of a number, or the first text} of what the method reports; see Record
    """

    count: int
    right: int
    unread: int
    low: float
    high: float
    tokens: float
    calls: float
    seconds: float
    failed: tuple = ()
    shortened: int = 0
    report: dict = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """The share of right answers; nan without gold answers."""
        if not self.count:
            return math.nan
        return self.right / self.count


PLAIN = zero_shot, {}  # what every method is set beside, and its options


def summarize(records: Sequence[Record]) -> Summary:
    """The Summary of a list of Record, at least one."""
    if not records:
        raise DataError("summarize: there is no answer to summarize")
    judged = [record.right for record in records if record.right is not None]
    low, high = math.nan, math.nan
    if judged:
        low, high = wilson_interval(sum(judged), len(judged))

    def mean(name):
        return float(np.mean([getattr(record, name) for record in records]))

    return Summary(
        len(judged),
        sum(judged),
        sum(record.value is None and not record.error for record in records),
        low,
        high,
        mean("tokens"),
        mean("calls"),
        mean("seconds"),
        tuple((record.item, record.error) for record in records if record.error),
        sum(record.dropped > 0 for record in records),
        _reported(records),
    )


def _reported(records):
    """What records report, a value for each name: the mean of numbers, the first of texts."""
    values = {}
    for record in records:
        for name, value in record.report.items():
            values.setdefault(name, []).append(value)
    found = {}
    for name, all_of_them in values.items():
        found[name] = all_of_them[0]
        if not isinstance(found[name], str):
            found[name] = float(np.mean(all_of_them))
    return found


def paired_difference(
    records: Sequence[Record], others: Sequence[Record], level: float = 0.95
) -> tuple[float, float, float]:
    """How much more often the first are right, on the same questions   (Newcombe 1998, method 10).

    Of n questions, e are right in both, f in the first alone, g in the second alone, h in none:

        d = p1 - p2 = (f - g) / n,   p1 = (e + f) / n in (l1, u1),   p2 = (e + g) / n in (l2, u2)
        low  = d - sqrt((p1 - l1)^2 - 2 phi (p1 - l1) (u2 - p2) + (u2 - p2)^2)
        high = d + sqrt((u1 - p1)^2 - 2 phi (u1 - p1) (p2 - l2) + (p2 - l2)^2)
        phi  = q / sqrt((e + f) (g + h) (e + g) (f + h)),   0 where a factor is 0
        q    = eh - fg,   or max(eh - fg - n/2, 0) where eh > fg

    l and u are Wilson's limits. The interval lies in -1..1 and is never empty.

    returns  (d, low, high)
    raises   DataError for different questions, or none that is judged
    """
    if [record.item for record in records] != [record.item for record in others]:
        raise DataError("paired_difference: the answers are of different questions")
    pairs = [(a.right, b.right) for a, b in zip(records, others) if None not in (a.right, b.right)]
    if not pairs:
        raise DataError("paired_difference: no question is judged; it needs at least 1")
    n = len(pairs)
    e, f = pairs.count((True, True)), pairs.count((True, False))
    g, h = pairs.count((False, True)), pairs.count((False, False))
    p1, p2 = (e + f) / n, (e + g) / n
    l1, u1 = wilson_interval(e + f, n, level)
    l2, u2 = wilson_interval(e + g, n, level)
    q = e * h - f * g
    if q > 0:
        q = max(q - n / 2, 0)
    factors = (e + f) * (g + h) * (e + g) * (f + h)
    phi = 0.0
    if factors:
        phi = q / math.sqrt(factors)
    down = (p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2
    up = (u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2
    difference = (f - g) / n
    return difference, difference - math.sqrt(down), difference + math.sqrt(up)


def plain_vote(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    count: int = 1,
    plain: Callable | None = None,
    temperature: float = 0.7,
    top_k: int | None = None,
    **options: Any,
) -> Answer:
    """The answer that most of `count` samples of plain prompting give.

    count        1: the most probable reply; more: samples, a vote among the answers that could be
                 read (ensemble/combine.py). An item with options gets the most probable of them,
                 whatever the count: scores have no randomness to sample
    plain        the method that is sampled; None: zero_shot
    temperature  of the samples, whatever that of `plain` is. 0.7 is that of self-consistency (Wang
                 et al. 2023, section 3.1), of which this is the form without chains of thought; at
                 1 the samples follow Pr(y | x), and votes the laws in ensemble/self_consistency.py
    top_k        tokens that are sampled from; None: all. For some models the paper has 40
    returns      Answer; details: "votes" {answer: its share}
    raises       ConfigError for a count below 1, or the temperature 0, at which all samples are one
    """
    check_counts("plain_vote", count=count)
    if temperature <= 0:
        raise ConfigError(f"plain_vote: samples need a temperature above 0, not {temperature}")
    plain = plain or zero_shot
    if count == 1 or item.options:
        return plain(lm, item, demonstrations, seed=seed, **options)
    sampled = Sampled(lm, temperature, top_k)
    found = [plain(sampled, item, demonstrations, seed=seed + r, **options) for r in range(count)]
    ballot = vote([one.value for one in found], key=item_key(item))
    return Answer(ballot.value, found[-1].text, {"votes": ballot.shares})


class Sampled:
    """A TextLM whose replies are samples at one temperature, whatever a method wants."""

    def __init__(self, lm: TextLM, temperature: float, top_k: int | None = None) -> None:
        self._lm, self._sampling = lm, {"temperature": temperature}
        if top_k is not None:
            self._sampling["top_k"] = top_k

    def __getattr__(self, name: str) -> int | Callable | None:
        return getattr(self._lm, name)

    def complete(self, prompt: str, **options: Any) -> Completion:
        """As TextLM.complete, sampled in this way."""
        return self._lm.complete(prompt, **{**options, **self._sampling})


@dataclass(frozen=True)
class Row:
    """A method in a comparison.

    name        of the method
    summary     Summary
    samples     n of plain_vote: how many plain prompts cost as many tokens; 1 if all items have
                options. In a mixed list, the items without options alone are sampled
    scored      True if all items have options
    plain       Summary of plain_vote; None for plain prompting itself, and where no item has a
                gold answer
    difference  (accuracy of the method less that of plain_vote, low, high), or None
    """

    name: str
    summary: Summary
    samples: int = 1
    scored: bool = False
    plain: Summary | None = None
    difference: tuple | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = self.plain and vars(self.plain)
        return {**vars(self), "summary": vars(self.summary), "plain": plain}


def compare(
    lm: TextLM,
    methods: dict[str, tuple[Callable, dict[str, Any]]],
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    plain: tuple[Callable, dict] = PLAIN,
    judge: Callable = is_right,
    at_once: int = 1,
    seed: int = 0,
    show: Callable | None = None,
    folder: str | Path | None = None,
    about: dict[str, Any] | None = None,
    **sampling: Any,
) -> list[Row]:
    """Methods on the same items, each against plain_vote with as many tokens.

    methods   {name: (function, options)}
    plain     (function, options) of plain prompting. Its options go before those that it shares
              with a method: an answer alone needs fewer tokens than a chain of thought
    judge     function (value, item) -> True if it is right; for a translation, is it near enough?
    at_once   questions that are answered together (together.py), which is faster; 1: each alone,
              as token_ensemble needs it
    show      called with a line before each run; None: silent
    folder    path: the answers of each run are kept in a file of it, from which a comparison is
              resumed; None: none are kept. With at_once above 1 there are no files
    about     dict that describes the model in these files
    sampling  temperature and top_k of plain_vote, unless given those of each method, if it samples
    returns   list of Row
    raises    ConfigError for a folder and at_once above 1; for a file of another run
    """
    if folder is not None and at_once > 1:
        raise ConfigError("compare: answers are kept of one question at a time: at_once=1")
    kept = {"folder": folder, "about": about or {}}
    runs = _Runs(lm, items, demonstrations, plain, judge, at_once, seed, show, **kept)
    return [_row(runs, name, *method, sampling) for name, method in methods.items()]


def _row(runs, name, method, options, sampling):
    """The Row of one method: its answers, and those of as many tokens of plain prompting."""
    runs.show(f"{name}, {len(runs.items)} questions")
    records = runs.answers(method, options, name)
    summary, scored = summarize(records), runs.scored
    if method is runs.single:
        runs.keep_plain(options, records)
    if method is runs.single or not summary.count:
        return Row(name, summary, scored=scored)
    plain, samples = runs.plain_answers(1, options, {}), 1
    if not scored:
        # No plain prompt has a token if none could be sent.
        samples = max(1, round(summary.tokens / (summarize(plain).tokens or math.inf)))
        drawn = {**_sampled(method, options), **sampling}
        if samples == 1:
            drawn = {}  # the most probable reply
        plain = runs.plain_answers(samples, options, drawn)
    difference = paired_difference(records, plain)
    return Row(name, summary, samples, scored, summarize(plain), difference)


class _Runs:
    """Runs of methods on the same items, with the arguments of compare. Several methods may be set
    against one run of plain prompting: it is kept.
    """

    def __init__(
        self, lm, items, demonstrations, plain, judge, at_once, seed, show, *, folder, about
    ):
        self.lm, self.items, self.demonstrations, self.judge = lm, items, demonstrations, judge
        self.at_once, self.seed, self.folder, self.about = at_once, seed, folder, about
        self.show = show or (lambda line: None)
        self.scored = all(item.options for item in items)
        self.single, self.own = plain
        self._plain = {}  # {(samples, options): records}

    def answers(self, method, options, file):
        """The Records of a method, judged; `file` is the name of those that are kept."""
        options = {"seed": self.seed, **options}
        if self.at_once > 1:
            options["at_once"] = self.at_once
            records = answer_together(self.lm, method, self.items, self.demonstrations, **options)
        else:
            if self.folder is not None:
                options["file"] = Path(self.folder) / f"{file}.jsonl"
                options["about"] = {**self.about, "run": file}
            found = answer_items(self.lm, method, self.items, self.demonstrations, **options)
            records = list(found)
        return [replace(one, right=self.judge(one.value, self.items[one.item])) for one in records]

    def plain_answers(self, count, options, drawn):
        """The Records of plain_vote beside a method with these options.

        count  samples;  drawn  how they are sampled
        """
        shared = _shared(options) | self.own | drawn
        key = count, frozenset(shared.items())
        if key not in self._plain:
            self.show(f"plain prompting, {_samples(count, self.scored)}")
            # A name of its own for every kind of sampling.
            settings = {**shared, "count": count, "plain": self.single}
            file = f"plain-{count}-{_short_hash(settings)}"
            self._plain[key] = self.answers(plain_vote, settings, file)
        return self._plain[key]

    def keep_plain(self, options, records):
        """Keep the Records of plain prompting that is one of the methods, if it has its options."""
        if options == _shared(options) | self.own:
            self._plain.setdefault((1, frozenset(options.items())), records)


def _shared(options):
    """Those of a method's options that plain prompting gets too, in one order."""
    return {name: options[name] for name in ("prompt", "max_tokens") if name in options}


def _sampled(method, options):
    """The temperature and top_k with which a method samples: {} if it takes the best token."""
    parameters = inspect.signature(method).parameters
    found = {}
    for name in ("temperature", "top_k"):
        value = options.get(name)
        if name not in options and name in parameters:
            value = parameters[name].default
        if value is not None:
            found[name] = value
    if not found.get("temperature", 1.0):
        return {}
    return found


def _short_hash(options):
    """Eight digits that tell options apart, in any order."""
    whole = json.dumps(plain_values(options), sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:8]


def _samples(count, scored):
    if scored:
        return "options scored"
    return f"{count} samples a question"
