"""A model annotates its own training data: calls are kept where their results help to predict what
follows   (book section 3.2.5; Schick et al. 2023, Toolformer).

1. Positions: where the model finds a call probable, p_i = Pr({tool: | P(x), x_<i) > tau_s.
2. Calls: several are sampled at each position, and run.
3. Filter: with the loss of the text after position i, weighted towards its first tokens,

       L_i(z) = - sum over j >= i of w_(j-i) log Pr(x_j | z, x_<j)
       w_t    = max(0, 1 - 0.2 t) / sum over s of max(0, 1 - 0.2 s)

   a call c with result r is kept if it helps more than nothing and more than the call alone:

       min(L_i(nothing), L_i(c)) - L_i(c -> r)  >=  tau_f

z stands before the whole text, since a model that has not been tuned yet would stumble over a call
inside it. Read first: annotated.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import regex

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.tools.annotated import Called
from tinylm.prompt.tools.markers import BEGIN, Marker, find_marker

if TYPE_CHECKING:
    from tinylm.prompt.tools.registry import Tools


LENGTH = 5  # tokens after the position that count: 1 - 0.2 t is 0 from t = 5 on
_WORD = regex.compile(r"\S+")
TASK = (
    "Add calls of tools to a text, where their results help to write what follows. "
    "Leave the words of the text as they are."
)


def filter_weights() -> np.ndarray:
    """w_0, w_1, ..: (5,) float64, which sum to 1; later tokens have weight 0."""
    # 1, 0.8, 0.6, 0.4, 0.2, over their sum of 3
    raw = 1 - 0.2 * np.arange(LENGTH)
    return raw / raw.sum()


def weighted_loss(logprobs: ArrayLike) -> float:
    """L(z) of a text from the log-probabilities of its tokens: (n,) -> float, in nats.

    A text of fewer than five tokens has the weights of its tokens alone; they are not scaled up.
    """
    logprobs = np.asarray(logprobs, np.float64)[:LENGTH]
    return float(-(filter_weights()[: len(logprobs)] * logprobs).sum())


@dataclass(frozen=True)
class Candidate:
    """A call at a position, and what it does to the loss of the text after it.

    position    characters of the text before it
    call        str;  result  str
    without     min(L(nothing), L(call)), in nats
    with_result L(call -> result)
    """

    position: int
    call: str
    result: str
    without: float
    with_result: float

    @property
    def gain(self) -> float:
        """How much the result lowers the loss."""
        return self.without - self.with_result


def score_calls(
    lm: TextLM, text: str, position: int, calls: Sequence[tuple[str, str]]
) -> list[Candidate]:
    """The losses of the text after a position, with and without the results of calls.

    lm        TextLM
    calls     list of (call, result)
    returns   list of Candidate, in the same order
    raises    DataError for a position without text after it
    """
    before, after = text[:position], text[position:]
    if not after.strip():
        raise DataError(
            f"score_calls: no text after position {position} of {len(text)}: nothing is predicted"
        )
    if not calls:
        return []
    # z is nothing, the call, or the call with its result, before the whole text.
    prompts = [before]
    for call, result in calls:
        prompts += [f"{call}\n{before}", f"{call} -> {result}\n{before}"]
    # terms[0]: (n,) log Pr(x_j | z, x_<j) of the tokens after the position
    nothing, *others = [weighted_loss(s.terms[0]) for s in lm.score_batch(prompts, [after])]
    return [
        Candidate(position, call, result, min(nothing, alone), with_result)
        for (call, result), alone, with_result in zip(calls, others[::2], others[1::2])
    ]


def annotation_prompt(tools: "Tools", examples: Sequence[tuple[str, str]] = ()) -> Callable:
    """P(x): what asks a model to add calls to a text.

    tools     Tools
    examples  pairs of a text and the same text with calls
    returns   function from a text to the prompt, after which the text with calls begins
    """

    def prompt(text):
        parts = [f"{TASK}\nTools:\n{tools.describe()}"]
        parts += [f"Input: {source}\nOutput: {target}" for source, target in examples]
        return "\n\n".join([*parts, f"Input: {text}\nOutput:"])

    return prompt


def call_positions(
    lm: TextLM, text: str, ask: Callable, most: int = 5, threshold: float = 0.05
) -> list[tuple[int, float]]:
    """The beginnings of words at which the model finds a call most probable.

    ask        function from a text to P(x) (annotation_prompt)
    most       positions at most, k of the paper
    threshold  tau_s, the least probability of a call
    returns    list of (position, probability), the most probable first; not the first word, before
               which nothing was read
    """
    starts = [word.start() for word in _WORD.finditer(text)][1:]
    # p_i = Pr({tool: | P(x), x_<i): the model copies the text, and here it would call instead.
    begins = [f" {text[:start].rstrip()}" for start in starts]
    scores = lm.score_batch([ask(text)] * len(starts), [f" {BEGIN}"], begin=begins)
    found = [(start, float(np.exp(one.sums[0]))) for start, one in zip(starts, scores)]
    found = [pair for pair in found if pair[1] > threshold]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:most]


def sample_calls(
    lm: TextLM,
    text: str,
    position: int,
    ask: Callable,
    count: int = 5,
    seed: int = 0,
    max_tokens: int = 32,
) -> list[tuple[Marker, str]]:
    """Different calls that the model samples at a position.

    count    samples, m of the paper
    returns  list of Marker and its text: [(Marker, str)]; samples that are no call are left out
    """
    begin = f" {text[:position].rstrip()} {BEGIN}"
    replies = lm.sample(ask(text), count, seed, begin=begin, stop="}", max_tokens=max_tokens)
    found = {}
    for reply in replies:
        call = f"{BEGIN}{reply.text}}}"
        marker = find_marker(call)
        whole = marker is not None and (marker.start, marker.end) == (0, len(call))
        if reply.finish == "stop" and whole and not marker.fault:
            # Of m samples many are the same call, which is run and scored once.
            found.setdefault(call, marker)
    return [(marker, call) for call, marker in found.items()]


def annotate(
    lm: TextLM,
    text: str,
    tools: "Tools",
    ask: Callable,
    *,
    positions: int = 5,
    samples: int = 5,
    threshold: float = 0.05,
    least_gain: float = 1.0,
    seed: int = 0,
) -> tuple[list, list[Candidate]]:
    """A text with the calls that help to predict it.

    lm          TextLM
    tools       Tools
    ask         function from a text to P(x) (annotation_prompt)
    positions   k, samples  m, threshold  tau_s, least_gain  tau_f of the paper, in nats
    returns     (list of str and Called, as annotated.py; list of all Candidates). Of the calls at a
                position that pass the filter, the one with the highest gain is kept
    """
    if positions < 1 or samples < 1:
        raise ConfigError(
            f"annotate: positions {positions} and samples {samples} must be 1 or more"
        )
    candidates, kept = [], []
    for position, _ in call_positions(lm, text, ask, positions, threshold):
        calls = []
        for marker, call in sample_calls(lm, text, position, ask, samples, seed + position):
            result = tools.run(marker)
            if not result.error:
                calls.append((call, result.text))
        scored = score_calls(lm, text, position, calls)
        candidates += scored
        # argmax over the calls at a position; without one that passes tau_f the text stays as it is
        best = max(scored, key=lambda one: one.gain, default=None)
        if best is not None and best.gain >= least_gain:
            kept.append(best)
    return insert_calls(text, kept), candidates


def insert_calls(text: str, calls: Sequence[Candidate]) -> list:
    """A text with calls at their positions.

    A result with which the text goes on is replaced by the call, so that the text with results is
    the text itself; any other result is new in the text, and a space separates it.

    calls    list of Candidate, at different positions
    returns  list of str and Called
    raises   DataError where a position lies inside a result that was replaced
    """
    pieces, last = [], 0
    for one in sorted(calls, key=lambda one: one.position):
        if one.position < last:
            raise DataError(f"insert_calls: two calls at position {one.position}")
        pieces += [text[last : one.position], Called(one.call, one.result)]
        last = one.position
        # (?!\w): the result 80 is not the beginning of 800.
        if one.result and regex.match(rf"{regex.escape(one.result)}(?!\w)", text[last:]):
            last += len(one.result)
        else:
            pieces.append(" ")
    pieces.append(text[last:])
    return [piece for piece in pieces if piece]
