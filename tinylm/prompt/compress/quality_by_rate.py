"""What each way to shorten a prompt costs, at several lengths   (book section 3.3.3).

    rules               simplify.py; they have no rate, so there is one length
    selective-context   selective_context.py, on the whole prompt
    llmlingua           llmlingua.py, on instruction and demonstrations

A curve is read against chance: every short prompt stands beside random deletions of the same
prompt to the same number of tokens. Read first: quality.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.compress.llmlingua import llmlingua
from tinylm.prompt.compress.quality import Quality, against_random
from tinylm.prompt.compress.selective_context import selective_context
from tinylm.prompt.compress.simplify import simplify
from tinylm.prompt.protocol.text_lm import TextLM

SEPARATOR = "\n\n"


@dataclass(frozen=True)
class RatePoint:
    """A short prompt, and what it costs.

    method   "rules", "selective-context" or "llmlingua"
    rate     share of the prompt that was to stay; None for rules
    text     the short prompt
    quality  Quality; its ratio is the share of tokens that did stay
    random   list of Quality of random deletions of the same length
    """

    method: str
    rate: float | None
    text: str
    quality: Quality
    random: list

    @property
    def gain(self) -> float:
        """The divergence that the method spares: mean of the random ones less its own, in nats."""
        return sum(one.divergence for one in self.random) / len(self.random) - (
            self.quality.divergence
        )


def shortened(
    lm: TextLM,
    instruction: str,
    demonstrations: Sequence[str] = (),
    rates: tuple[float, ...] = (0.25, 0.5, 0.75),
    unit: str = "phrase",
) -> list[tuple[str, float | None, str]]:
    """The short prompts of all methods: list of (method, rate or None, text).

    lm              TextLM that scores texts; a small one will do
    instruction     str;  demonstrations  list of str, which follow it after blank lines
    rates           shares of the prompt that are to stay, each above 0 and at most 1
    unit            of Selective Context
    """
    full = SEPARATOR.join([instruction, *demonstrations])
    found: list[tuple[str, float | None, str]] = [("rules", None, simplify(full))]
    for rate in rates:
        found.append(("selective-context", rate, selective_context(lm, full, rate, unit).text))
    for rate in rates:
        short = llmlingua(lm, instruction, demonstrations, "", rate, separator=SEPARATOR)
        found.append(("llmlingua", rate, short.text))
    return found


def quality_by_rate(
    lm: TextLM,
    instruction: str,
    items: Sequence[Item],
    rng: np.random.Generator,
    demonstrations: Sequence[str] = (),
    *,
    rates: tuple[float, ...] = (0.25, 0.5, 0.75),
    scorer: TextLM | None = None,
    unit: str = "phrase",
    draws: int = 5,
    **options: Any,
) -> list[RatePoint]:
    """The quality of a prompt at several rates, by every method: list of RatePoint.

    lm              TextLM that answers
    instruction, demonstrations, rates, unit   as of shortened()
    items           Items that are asked after the prompt
    rng             numpy generator of the random deletions
    scorer          TextLM that decides what goes; None: lm
    draws           random deletions of each length
    options         of quality.quality: form, max_tokens
    raises          ConfigError for no draws
    """
    if draws < 1:
        raise ConfigError(f"quality_by_rate: draws={draws} must be 1 or more: the baseline")
    full = SEPARATOR.join([instruction, *demonstrations])
    points = []
    for method, rate, text in shortened(scorer or lm, instruction, demonstrations, rates, unit):
        found, random = against_random(lm, full, text, items, rng, draws, **options)
        points.append(RatePoint(method, rate, text, found, random))
    return points
