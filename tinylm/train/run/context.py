"""The context of a run and its text: rows that a short text has room for, and pairs that are cut.

A text is read in windows of `context` tokens. Where the user has set no context, one that a short
text cannot fill becomes shorter; where pairs are longer than the context, it is said how much of
them is not read. Read next: rows.py.
"""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from tinylm.data import Prepared
from tinylm.errors import DataError
from tinylm.train.run.config import TrainConfig


def fitted(
    config: TrainConfig,
    data: Prepared,
    given: Collection[str] | None,
    report: Callable[[str], Any],
) -> TrainConfig:
    """A configuration whose windows fit the text.

    given    names of the settings that the user has set; None: all of them
    report   function: line -> None
    returns  TrainConfig, with a shorter context if the user has set none and the text is too short
    raises   DataError for a text in which there is nothing to predict
    """
    tokens, least = len(data.train), config.recipe.least
    sides = [tokens]
    if config.val_fraction:
        sides.append(len(data.val))
    if min(sides) < 2:
        raise DataError(
            f"the text is too short: {tokens} tokens to learn from, {len(data.val)} to validate: "
            "give a longer one with --data FILE"
        )
    if config.recipe.pairs or given is None or "context" in given or "short_context" in given:
        return config
    # A window of a shifted objective holds one token more: its last target.
    if tokens >= config.context + config.recipe.shifted:
        return config
    context = tokens // 2  # so that windows may begin at as many places as they are long
    if context < least:
        return config  # refused when the rows are made
    report(
        f"context: {context} tokens instead of {config.context}, as the text has {tokens} to learn "
        "from; --context N sets it"
    )
    return dataclasses.replace(config, context=context, short_context=0, short_steps=0)


def cut_line(config: TrainConfig, data: Prepared) -> str:
    """A line on pairs that are longer than the context; "" if there are none."""
    if not config.recipe.pairs:
        return ""
    sizes = np.concatenate([side.documents.sizes() for side in (data.train, data.val)])
    lengths = np.maximum(sizes - 1, 0)  # without [SEP]
    over = lengths[lengths > config.context]
    if not len(over):
        return ""
    lost = int((over - config.context).sum())
    return (
        f"{len(over):,} of {len(lengths):,} pairs are longer than the context of {config.context} "
        f"tokens and are cut: {lost:,} of {int(lengths.sum()):,} tokens are not read; --context "
        f"{int(over.max())} reads all"
    )
