"""Mixtures of instructions for tuning: how many tasks, how much of each, and which samples.

Instruction data works better with more kinds of tasks (Chung et al. 2022), with their balance, and
with quality rather than quantity: a thousand good samples can replace fifty thousand (Zhou et al.
2023, LIMA; Chen et al. 2023, AlpaGasus, which keeps the samples that a judge scores high).
Instructions can also be mixed into the pre-training text, the first of the book's two methods
(section 2.1.3). Read next: finetune/instruct/conversations.py.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tinylm.backend import Random
from tinylm.data.mix.mixture import MixtureSampler, mixture_weights
from tinylm.errors import ConfigError

if TYPE_CHECKING:
    from tinylm.data.read.instructions import Conversation, Instruction


def by_task(samples: "Sequence[Instruction]") -> "dict[str, list[Instruction]]":
    """Samples grouped by task: dict name -> list, names and samples in order of appearance."""
    found = {}
    for sample in samples:
        found.setdefault(sample.task, []).append(sample)
    return found


def some_tasks(samples: "Sequence[Instruction]", count: int, seed: int = 0) -> "list[Instruction]":
    """The samples of `count` tasks drawn at random.

    With the same seed, a smaller set of tasks is a subset of a larger one: a curve over the number
    of tasks then has less noise.

    raises   ConfigError if there are fewer tasks
    """
    tasks = list(by_task(samples))
    if not 1 <= count <= len(tasks):
        raise ConfigError(f"some_tasks: {count} of {len(tasks)} tasks cannot be chosen")
    chosen = {tasks[i] for i in Random(seed, "tasks").permutation(len(tasks))[:count].tolist()}
    return [sample for sample in samples if sample.task in chosen]


def task_weights(
    samples: "Sequence[Instruction]", temperature: float = 1.0, limit: float = np.inf
) -> dict[str, float]:
    """The probability of each task, min(n, limit)^(1/temperature) normalized   (Raffel et al. 2020,
    section 3.5.2)

    limit    samples of a task that count at most, so that a huge task does not dominate
    returns  dict name -> probability
    """
    tasks = by_task(samples)
    if not limit > 0:
        raise ConfigError(f"task_weights: the limit is {limit}; it must be positive")
    weights = mixture_weights([min(len(group), limit) for group in tasks.values()], temperature)
    return dict(zip(tasks, weights.tolist()))


def mix_tasks(
    samples: "Sequence[Instruction]",
    count: int,
    temperature: float = 1.0,
    limit: float = np.inf,
    seed: int = 0,
) -> "list[Instruction]":
    """`count` samples, each of a task drawn with task_weights; every epoch shuffles a task anew.

    returns  list
    """
    groups = list(by_task(samples).values())
    weights = task_weights(samples, temperature, limit)
    sampler = MixtureSampler(list(weights.values()), seed=seed)
    drawn, read = [], Counter()  # samples read of each task
    for source in sampler.sources(0, count).tolist():
        group = groups[source]
        epoch, at = divmod(read[source], len(group))
        read[source] += 1
        drawn.append(group[_order(len(group), seed, source, epoch)[at]])
    return drawn


@lru_cache(maxsize=1024)
def _order(n, seed, source, epoch):
    """The order in which an epoch reads a task."""
    return Random(seed, "task", source, epoch).permutation(n)


def filtered(samples: Iterable, *complaints: Callable) -> "tuple[list[Instruction], Counter]":
    """The samples without a complaint.

    complaints  functions sample -> the reason to drop it, or None; the first reason is counted. A
                judge that scores (AlpaGasus) is one: lambda sample: None if score(sample) >= 4.5
                else "scored low"
    returns     list of samples kept, Counter of the reasons
    """
    kept, reasons = [], Counter()
    for sample in samples:
        # Lazy: complaints after the first that gives a reason are not called.
        reason = next(filter(None, (complain(sample) for complain in complaints)), None)
        if reason is None:
            kept.append(sample)
        else:
            reasons[reason] += 1
    return kept, reasons


def empty_answer(sample: "Conversation | Instruction") -> str | None:
    """The complaint "empty answer" if an answer is empty, or there is none; else None."""
    messages = sample.messages()
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    if answers and all(map(str.strip, answers)):
        return None
    return "empty answer"


def answer_repeats_question(sample: "Instruction") -> str | None:
    """The complaint that an answer is an exact copy of the message before it, or None."""
    messages = sample.messages()
    # (m_1, m_2), (m_2, m_3), ..: every message with the one before it.
    same = any(
        after["role"] == "assistant" and after["content"].strip() == before["content"].strip()
        for before, after in itertools.pairwise(messages)
    )
    if same:
        return "answer repeats the question"
    return None


def seen_before() -> Callable:
    """A function sample -> "seen before" if it got the same conversation already, else None."""
    seen = set()

    def complain(sample):
        turns = tuple((message["role"], message["content"]) for message in sample.messages())
        if turns in seen:
            return "seen before"
        seen.add(turns)
        return None

    return complain


def longer_than(characters: int) -> Callable:
    """A function sample -> "too long" if the conversation has more characters, else None."""

    def complain(sample):
        if sum(len(message["content"]) for message in sample.messages()) > characters:
            return "too long"
        return None

    return complain


def mix_datasets(
    corpus: Sequence[str], instructions: Sequence[str], ratio: float, seed: int = 0
) -> Iterator:
    """Pre-training text with instructions mixed in: the book's first method   (section 2.1.3)

    corpus        list of documents, texts or token ids
    instructions  list of the same type
    ratio         share of documents that are instructions, in [0, 1]
    yields        documents without end; each side starts over at its end
    """
    if not 0 <= ratio <= 1:
        raise ConfigError(f"mix_datasets: ratio {ratio} must be from 0 to 1")
    sides = [(corpus, 1 - ratio), (instructions, ratio)]
    used = [(side, weight) for side, weight in sides if weight > 0]  # weights must be positive
    sampler = MixtureSampler([weight for _, weight in used], seed=seed)
    makers = [lambda side=side: side for side, _ in used]  # side=side: each its own
    return (document for _, document in sampler.mix(makers))
