"""Which instructions a model is tuned on: how many tasks, how much of each, and which samples are
good enough.

What counts in instruction data is the number of kinds of tasks (Chung et al. 2022), their balance,
and quality before quantity: a thousand good samples can do what fifty thousand do (Zhou et al.
2023, LIMA; Chen et al. 2023, AlpaGasus, which keeps what a judge scores high). Instructions can
also be put into the pre-training text itself, the first of the book's two methods (section 2.1.3).
Read next: finetune/instruct/conversations.py.
"""

import itertools
from collections import Counter
from functools import lru_cache

import numpy as np

from tinylm.backend import Random
from tinylm.data.mix.mixture import MixtureSampler, mixture_weights
from tinylm.errors import ConfigError


def by_task(samples):
    """Samples sorted into their tasks: dict name -> list, names and samples in the order of
    appearance.
    """
    found = {}
    for sample in samples:
        found.setdefault(sample.task, []).append(sample)
    return found


def some_tasks(samples, count, seed=0):
    """The samples of `count` tasks drawn at random; for the same seed, fewer tasks are among more.

    That last property makes a curve over the number of tasks one of growing sets, and its noise
    smaller.
    raises   ConfigError if there are not so many tasks
    """
    tasks = list(by_task(samples))
    if not 1 <= count <= len(tasks):
        raise ConfigError(f"some_tasks: {count} of {len(tasks)} tasks cannot be chosen")
    chosen = {tasks[i] for i in Random(seed, "tasks").permutation(len(tasks))[:count].tolist()}
    return [sample for sample in samples if sample.task in chosen]


def task_weights(samples, temperature=1.0, limit=np.inf):
    """The chance of each task when samples are drawn: min(n, limit)^(1/temperature), normalized
    (Raffel et al. 2020, 3.5.2)

    limit    samples of a task that count at most, so that a huge task does not drown the others
    returns  dict name -> chance
    """
    tasks = by_task(samples)
    if not limit > 0:
        raise ConfigError(f"task_weights: the limit is {limit}; it must be positive")
    weights = mixture_weights([min(len(group), limit) for group in tasks.values()], temperature)
    return dict(zip(tasks, weights.tolist()))


def mix_tasks(samples, count, temperature=1.0, limit=np.inf, seed=0):
    """`count` samples, each of a task drawn by task_weights; a task is read through in a shuffled
    order, again and again.

    returns  list
    """
    tasks = by_task(samples)
    weights = task_weights(samples, temperature, limit)
    sampler, drawn, read = MixtureSampler(list(weights.values()), seed=seed), [], Counter()
    groups = list(tasks.values())
    for source in sampler.sources(0, count).tolist():
        epoch, at = divmod(read[source], len(groups[source]))
        read[source] += 1
        drawn.append(groups[source][_order(len(groups[source]), seed, source, epoch)[at]])
    return drawn


@lru_cache(maxsize=1024)
def _order(n, seed, source, epoch):
    """The order in which an epoch reads a task."""
    return Random(seed, "task", source, epoch).permutation(n)


def filtered(samples, *complaints):
    """The samples that nobody complains of.

    complaints  functions sample -> why it is not wanted, or None; the first complaint counts. A
                judge that scores (AlpaGasus) is one: lambda sample: None if score(sample) >= 4.5
                else "scored low"
    returns     list of samples kept, Counter of complaints
    """
    kept, reasons = [], Counter()
    for sample in samples:
        reason = next(filter(None, (complain(sample) for complain in complaints)), None)
        if reason is None:
            kept.append(sample)
        else:
            reasons[reason] += 1
    return kept, reasons


def empty_answer(sample):
    """A complaint: some answer has nothing in it, or there is none."""
    said = [message["content"] for message in sample.messages() if message["role"] == "assistant"]
    if said and all(map(str.strip, said)):
        return None
    return "empty answer"


def answer_repeats_question(sample):
    """A complaint: an answer is what was just asked, word for word."""
    messages = sample.messages()
    same = any(
        after["role"] == "assistant" and after["content"].strip() == before["content"].strip()
        for before, after in itertools.pairwise(messages)
    )
    if same:
        return "answer repeats the question"
    return None


def seen_before():
    """A complaint that remembers: the same conversation has been met already."""
    seen = set()

    def complain(sample):
        told = tuple((message["role"], message["content"]) for message in sample.messages())
        if told in seen:
            return "seen before"
        seen.add(told)
        return None

    return complain


def longer_than(characters):
    """A complaint: the conversation has more characters than that."""

    def complain(sample):
        if sum(len(message["content"]) for message in sample.messages()) > characters:
            return "too long"
        return None

    return complain


def mix_datasets(corpus, instructions, ratio, seed=0):
    """Pre-training text with instructions among it: the book's first method of teaching them
    (section 2.1.3)

    corpus        list of documents: texts or token ids, whatever the instructions are written as
                  too
    instructions  list of the same kind
    ratio         share of documents that are instructions, in [0, 1]
    yields        documents without end; each side begins anew when it is through
    """
    if not 0 <= ratio <= 1:
        raise ConfigError(f"mix_datasets: ratio {ratio} must be from 0 to 1")
    sides = [(corpus, 1 - ratio), (instructions, ratio)]
    used = [(side, weight) for side, weight in sides if weight > 0]
    mixed = MixtureSampler([weight for _, weight in used], seed=seed).mix(
        [lambda side=side: side for side, _ in used]
    )
    return (document for _, document in mixed)
