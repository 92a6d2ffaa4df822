"""A method on many questions at a time: what it sends for each becomes one batch.

A method is written for one question, and a model reads and writes many rows in little more time
than one. So every question has a thread, in which the method runs with a TextLM that hands its
calls on and waits. When all threads wait or have ended, the calls that wait are sent together, and
each thread goes on with its own reply. A model gives each prompt of a batch what it would get
alone, so the answers are those of runner.py. Read next: compare.py.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate.loop import row_seeds
from tinylm.prompt.answer import Answer
from tinylm.prompt.evaluation.runner import Record, record_of, records_of_all, takes_all
from tinylm.prompt.protocol.text_lm import TextLM


def answer_together(
    lm: TextLM,
    method: Callable,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    at_once: int = 32,
    **options: Any,
) -> list[Record]:
    """Answer items by a method, so many of them at a time: list of Record.

    lm         TextLM; its account has what was really read, and all seconds
    method     function method(lm, item, demonstrations, seed=, **options) -> Answer
    seed       item i gets seed + 1000 i, as in answer_items
    at_once    questions that are answered together. It is no option of a method: `size`, of the
               segments of map_reduce, is one
    raises     ConfigError for at_once below 1; what the method raises, of the first such item. A
               DataError is the `error` of its item alone, as in answer_items

    The read tokens and the seconds of a Record are its share of those of its batches.
    """
    if at_once < 1:
        raise ConfigError(f"answer_together: at_once {at_once} must be 1 or more")
    if takes_all(method):
        return records_of_all(lm, method, items, demonstrations, seed, options)
    records = []
    for first in range(0, len(items), at_once):
        numbers = range(first, min(first + at_once, len(items)))
        records += _answer(lm, method, items, demonstrations, numbers, seed, options)
    return records


def _answer(lm, method, items, demonstrations, numbers, seed, options):
    """The Records of the items with these numbers."""
    calls = queue.SimpleQueue()  # of all threads: (number, request, or None at the end)
    rows = {number: Row(lm, calls, number) for number in numbers}
    answers, errors, failed = {}, {}, {}

    def run(number):
        try:
            answers[number] = method(
                rows[number], items[number], demonstrations, seed=seed + 1000 * number, **options
            )
        except Exception as error:
            # A setting (ConfigError) is that of every item, data that of one.
            if isinstance(error, DataError):
                answers[number], errors[number] = Answer(None), str(error)
            else:
                failed[number] = error
        calls.put((number, None))

    before = lm.account.copy()
    for number in numbers:
        threading.Thread(target=run, args=(number,), daemon=True).start()
    running, waiting = len(rows), {}
    while running:
        number, request = calls.get()
        running -= 1
        if request is not None:
            waiting[number] = request
        if not running and waiting:
            # Calls come in any order; in that of the items a batch is always the same.
            replies = _send(lm, [waiting[n] for n in sorted(waiting)])
            running = len(waiting)
            for n, reply in zip(sorted(waiting), replies):
                rows[n].replies.put(reply)
            waiting = {}
    if failed:
        raise failed[min(failed)]
    spent = lm.account.since(before)
    records = []
    for number in numbers:
        account = rows[number].account
        account.read_tokens = spent.read_tokens // len(rows)
        account.seconds = spent.seconds / len(rows)
        error = errors.get(number, "")
        records.append(record_of(number, items[number], answers[number], error, account))
    return records


class Row(TextLM):
    """The TextLM of one question: its calls are put into a queue, and their replies awaited."""

    def __init__(self, lm: TextLM, calls: Any, number: int) -> None:
        super().__init__()
        self._lm, self._calls, self._number = lm, calls, number
        self.context, self.chat = lm.context, getattr(lm, "chat", False)
        self.count, self.token_texts, self.length = lm.count, lm.token_texts, lm.length
        self.replies = queue.SimpleQueue()

    def _ask(self, prompts, begins, *request):
        tokens = sum(self.length(prompt, begin) for prompt, begin in zip(prompts, begins))
        self.account.add(prompt_tokens=tokens)
        self._calls.put((self._number, (prompts, begins, *request)))
        reply = self.replies.get()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        seeds = row_seeds(seed, len(prompts))
        settings = {"max_tokens": max_tokens, "stop": stop, **sampling}
        return self._ask(prompts, begins, "complete", seeds, settings)

    def _score(self, prompts, lists, begins):
        found = self._ask(prompts, begins, "score", lists, {})
        scored = sum(len(terms) for scores in found for terms in scores.terms)
        self.account.add(scored_tokens=scored)
        return found


def _send(lm, requests):
    """The replies to requests, those of one kind and with the same settings in one batch.

    requests  list of (prompts, begins, "complete" or "score", seeds or lists, settings)
    returns   list of the lists of replies; an exception for each request of a batch that raised it
    """
    kinds = {}
    for i, (_, _, kind, _, settings) in enumerate(requests):
        kinds.setdefault((kind, repr(sorted(settings.items()))), []).append(i)
    replies = [None] * len(requests)
    for members in kinds.values():
        for i, found in zip(members, _sent(lm, [requests[i] for i in members])):
            replies[i] = found
    return replies


def _sent(lm, requests):
    """The replies to requests of one kind and with the same settings, as in _send."""
    _, _, kind, _, settings = requests[0]
    prompts = [prompt for request in requests for prompt in request[0]]
    begins = [begin for request in requests for begin in request[1]]
    each = [one for request in requests for one in request[3]]
    try:
        if kind == "complete":
            found = lm.complete_batch(prompts, begin=begins, seed=each, **settings)
        else:
            found = lm.score_batch(prompts, each, begin=begins, **settings)
    except DataError as error:
        if len(requests) == 1:
            return [error]
        # One of them may be too long; the others are not to blame.
        return [reply for request in requests for reply in _sent(lm, [request])]
    except Exception as error:
        return [error] * len(requests)
    found = iter(found)
    return [[next(found) for _ in request[0]] for request in requests]
