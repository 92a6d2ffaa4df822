"""Models, prompts and samples together   (book section 3.2.4, Fig. 3.2).

    y[m, k, s]    the answer of model m after prompt k, sample s

The three kinds of ensembles are the three axes of one table, and each pure kind is a table with one
axis longer than 1. A table is reduced at once, all cells voting, or axis by axis, where first the
samples agree, then the prompts, then the models; the two can differ. Read next:
self_consistency.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.combine import Ballot, item_key, vote
from tinylm.prompt.ensemble.prompts import PHRASINGS, stops_of, texts_of
from tinylm.prompt.evaluation.judge import answer_key
from tinylm.prompt.in_context.fitted import dropped_of
from tinylm.prompt.protocol.text_lm import TextLM

AXES = "models", "prompts", "samples"


@dataclass(frozen=True)
class Grid:
    """The answers.

    values   (M, K, S) array of str, None where an answer could not be read
    key      function: answer -> what votes compare, as in combine.vote
    dropped  demonstrations that one prompt or several had no room for
    """

    values: np.ndarray
    key: Callable = answer_key
    dropped: tuple = ()

    def vote(self, weights: np.ndarray | None = None) -> Ballot:
        """The vote of all cells: Ballot.

        weights  (M,) of the models; equal unless given
        """
        cells = None
        if weights is not None:
            M, K, S = self.values.shape
            # A model's weight belongs to each of its K S cells.
            cells = np.repeat(np.asarray(weights, np.float64), K * S)
        return vote(self.values.ravel().tolist(), cells, self.key)

    def nested_vote(self, order: tuple[str, ...] = ("samples", "prompts", "models")) -> str:
        """Votes along one axis after the other: the winner of all, or None.

        order    the axes, each once; the last has the last word
        raises   ConfigError for another order
        """
        if sorted(order) != sorted(AXES):
            raise ConfigError(f"Grid: the order {order!r} must name each of {', '.join(AXES)} once")
        # The named axis is moved to the end, and each row along it becomes its winner.
        table, axes = self.values, list(AXES)
        for name in order:
            table = np.moveaxis(table, axes.index(name), -1)
            axes.remove(name)
            rows = table.reshape(-1, table.shape[-1])
            winners = [vote(row.tolist(), key=self.key).value for row in rows]
            table = _table(winners, table.shape[:-1])
        return table.item()


def _table(values, shape):
    """Objects as an array of this shape."""
    # Object by object: np.array() would look into them.
    table = np.empty(len(values), object)
    table[:] = values
    return table.reshape(shape)


def run_grid(
    lms: Sequence[TextLM],
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 64,
    prompts: Sequence = PHRASINGS,
    samples: int = 1,
    temperature: float = 1.0,
) -> Grid:
    """The answers of M models after K prompts, S of each: Grid, in M K S calls.

    lms      list of TextLM
    prompts  list of prompts with prompt(), stop_for() and read(), such as FewShotPrompts
    samples  S; 1 takes the most probable tokens, more are sampled at the temperature
    raises   ConfigError for an axis of length 0
    """
    if not lms or not prompts or samples < 1:
        raise ConfigError(
            f"run_grid: {len(lms)} models, {len(prompts)} prompts and {samples} samples; each must "
            "be 1 or more"
        )
    if samples == 1:
        temperature = 0.0
    written = replace(item, options=(), answer=None)  # the options of an item are written, too
    values, fits = [], []  # in the order m, k, s
    for lm in lms:
        for prompt in prompts:
            # What fits is that model's and that prompt's own.
            (fitted,) = texts_of(lm, [prompt], written, demonstrations, max_tokens)
            (stop,) = stops_of(lm, [prompt], [fitted])
            fits.append(fitted)
            replies = lm.sample(
                fitted.text,
                samples,
                seed,
                max_tokens=max_tokens,
                stop=stop,
                temperature=temperature,
            )
            values += [prompt.read(reply.text, stop) for reply in replies]
            lm.parsed("answers", values[-samples:])
    table = _table(values, (len(lms), len(prompts), samples))
    return Grid(table, item_key(item), dropped_of(fits))


def grid_vote(
    lms: Sequence[TextLM],
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    nested: bool = False,
    **options: Any,
) -> Answer:
    """The vote of a grid   (book section 3.2.4, Fig. 3.2)

    lms      list of TextLM
    nested   True: samples, then prompts, then models
    options  of run_grid()
    returns  Answer; details: values (M, K, S) as lists, shares of all cells, and the demonstrations
             that were dropped
    """
    grid = run_grid(lms, item, demonstrations, **options)
    ballot = grid.vote()
    value = ballot.value
    if nested:
        value = grid.nested_vote()
    details = {"values": grid.values.tolist(), "shares": ballot.shares, "dropped": grid.dropped}
    return Answer(value, value or "", details)
