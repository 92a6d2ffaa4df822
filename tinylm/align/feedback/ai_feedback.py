"""A model that labels preferences: RLAIF   (book section 4.4.3; Lee et al. 2023, Bai et al. 2022).

    "... Please state which response is preferred. ..."      instruction
    Request: x      Response A: y_a      Response B: y_b
    -> "Response A is preferred."          hard label: read from the reply
    -> Pr("A"), Pr("B") after "Response"   soft label: their softmax (label_distribution)

Such a judge is cheap and has a taste of its own; often it prefers what stands first, whatever it
says. So every pair is shown in both orders: hard labels that change with the order are no label,
soft ones are averaged. Labels go to RewardModeling and to losses of preference as those of people
do. Read next: constitution.py.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.align.feedback.formats import WeighedPreference
from tinylm.backend import ArrayLike
from tinylm.data.read.preferences import Preference
from tinylm.errors import ConfigError, ShapeError
from tinylm.prompt.protocol.text_lm import TextLM

# The book's example (section 4.4.3).
CUSTOMER_SERVICE = (
    "Consider a customer service scenario in which a customer makes a request. You will review two "
    "responses to this request. Please state which response is preferred. Note that a good "
    "response should be polite, clear and concise. It should address the customer's issue "
    "directly, give helpful information or a solution, and keep a positive tone."
)
GENERAL = (
    "You will review two responses to a request. Please state which response is preferred. A good "
    "response is helpful, honest and harmless, and follows what the request asks for."
)
REASONING = "Explain first, in a few sentences, what each response does well and badly."
LABELS = "A", "B"


@dataclass(frozen=True)
class PreferencePrompt:
    """The prompt of a judge.

    instruction     str, what a good response is
    demonstrations  tuple of (request, a, b, verdict), shown before the pair: few-shot. A verdict is
                    "A" or "B", or (explanation, "A" or "B")
    reasoning       True: the judge explains before its verdict (chain of thought)
    """

    instruction: str = GENERAL
    demonstrations: tuple = ()
    reasoning: bool = False

    def prompt(self, request: str, a: str, b: str) -> str:
        """The text that the judge continues with its verdict: str, ending with a line break."""
        blocks = [self.instruction]
        if self.reasoning:
            blocks[0] += f" {REASONING}"
        for one, first, second, verdict in self.demonstrations:
            explanation, label = "", verdict
            if not isinstance(verdict, str):
                explanation, label = verdict
            answer = f"{explanation} Response {label} is preferred.".strip()
            blocks.append(_pair(one, first, second) + answer)
        return "\n".join([*blocks, _pair(request, a, b)])


def _pair(request, a, b):
    return f"Request:\n{request}\nResponse A:\n{a}\nResponse B:\n{b}\n"


_VERDICT = re.compile(
    r"\bresponse ([AB]) (?:is|was) (?:clearly |much |slightly |strongly )?(?:preferred|better)\b"
    r"|\b(?:I |would )?prefer response ([AB])\b",
    re.IGNORECASE,
)
_ALONE = re.compile(r"[\s(\[*\"']*(?:response )?([AB])[\s.)\]*\"']*", re.IGNORECASE)


def read_verdict(reply: str) -> str | None:
    """The label of a reply: "A", "B", or None if there is none that could be read.

    The last sentence of the form "Response A is preferred" counts: an explanation may name both.
    A reply that is only a label counts too. Nothing is guessed.
    """
    found = list(_VERDICT.finditer(reply))
    if found:
        return (found[-1][1] or found[-1][2]).upper()
    alone = _ALONE.fullmatch(reply)
    if alone:
        return alone[1].upper()
    return None


@dataclass(frozen=True)
class Verdicts:
    """Hard labels of one pair in both orders.

    shown    label where a stands first: "A" is for a;  None: not readable
    swapped  label where b stands first: "B" is for a
    """

    shown: str | None
    swapped: str | None

    @property
    def readable(self) -> bool:
        """Whether both replies had a verdict."""
        return self.shown is not None and self.swapped is not None

    @property
    def winner(self) -> str | None:
        """ "a" or "b" if both orders agree, else None: the judge preferred a place."""
        if not self.readable or self.shown == self.swapped:
            return None
        return self.shown.lower()


def hard_labels(
    lm: TextLM,
    prompt: PreferencePrompt,
    pairs: Sequence[tuple[str, str, str]],
    *,
    seed: int = 0,
    max_tokens: int = 256,
    **sampling: Any,
) -> list[Verdicts]:
    """The verdicts of a judge on pairs, each in both orders.

    lm       TextLM
    prompt   PreferencePrompt
    pairs    list of (request, a, b)
    returns  list of Verdicts
    """
    prompts = []
    for request, a, b in pairs:
        prompts += [prompt.prompt(request, a, b), prompt.prompt(request, b, a)]
    options = {"seed": seed, "max_tokens": max_tokens, **sampling}
    replies = lm.complete_batch(prompts, stop=("\nRequest:", "\nResponse A:"), **options)
    labels = [lm.parsed("verdict", read_verdict(reply.text)) for reply in replies]
    return [Verdicts(*both) for both in zip(labels[::2], labels[1::2])]


def preferences_of(
    pairs: Sequence[tuple[str, str, str]], verdicts: Sequence[Verdicts]
) -> list[Preference]:
    """Pairs on which both orders agree, as preferences, in order: list of Preference."""
    found = []
    for (request, a, b), one in zip(pairs, verdicts, strict=True):
        if one.winner == "a":
            found.append(Preference(request, a, b))
        elif one.winner == "b":
            found.append(Preference(request, b, a))
    return found


def label_distribution(logits: np.ndarray, label_ids: Sequence[int]) -> np.ndarray:
    """Pr(A), Pr(B) among the labels alone   (book section 4.4.3)

    logits     (..., V) of the next token, or log-probabilities: a constant does not matter
    label_ids  ids of the labels
    returns    (..., len(label_ids)): softmax over these logits, which is the same as the full
               softmax divided by what it gives to all labels
    """
    chosen = np.asarray(logits, np.float64)[..., list(label_ids)]
    weights = np.exp(chosen - chosen.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def soft_labels(
    lm: TextLM,
    prompt: PreferencePrompt,
    pairs: Sequence[tuple[str, str, str]],
    average: Callable | None = None,
) -> list[WeighedPreference]:
    """Pr(a is preferred) of each pair from the probabilities of the labels, in both orders.

    lm       TextLM that can score
    average  function of Pr(first shown is preferred) in both orders; average_orders unless given
    returns  list of WeighedPreference, `chosen` is a and probability that of a
    """
    average = average or average_orders
    first, second = (
        _first_preferred(lm, [prompt.prompt(x, *(order(a, b))) for x, a, b in pairs])
        for order in (lambda a, b: (a, b), lambda a, b: (b, a))
    )
    return [
        WeighedPreference(request, a, b, probability=float(p))
        for (request, a, b), p in zip(pairs, average(first, second))
    ]


def _first_preferred(lm, prompts):
    """Pr(A) among A and B after "Response", for each prompt: (n,)."""
    scores = lm.score_batch(prompts, [f" {label}" for label in LABELS], begin="Response")
    return np.array([label_distribution(one.sums, (0, 1))[0] for one in scores])


def average_orders(shown: ArrayLike, swapped: ArrayLike) -> np.ndarray | float:
    """Pr(a) as the mean of both orders: (p + 1 - q) / 2   (Lee et al. 2023)

    shown    p, Pr(first is preferred) where a stands first;  swapped: q, where b does
    """
    return (np.asarray(shown) + 1 - np.asarray(swapped)) / 2


def average_log_odds(shown: float, swapped: float) -> float | np.ndarray:
    """Pr(a) with the mean of both orders' log-odds.

    A judge whose log-odds are d for a, plus a constant for the first place, gives exactly sigma(d):
    the constant cancels. The mean of probabilities only comes nearer.
    """
    shown, swapped = np.asarray(shown, np.float64), np.asarray(swapped, np.float64)
    odds = np.log(shown / (1 - shown)) - np.log(swapped / (1 - swapped))
    return 1 / (1 + np.exp(-odds / 2))


def position_bias(shown: Sequence[float], swapped: Sequence[float]) -> float:
    """How much more than half the first place gets, over pairs in both orders: -1/2 to 1/2.

    A judge without bias prefers one of a and b in either order, so its mean over both is 1/2.
    """
    return float((np.mean(shown) + np.mean(swapped)) / 2 - 0.5)


def agreement(labels: np.ndarray, gold: np.ndarray) -> dict[str, Any]:
    """How far two annotators agree on the same pairs.

    labels, gold  lists of labels of any kind; None: no label
    returns       {"share": of the pairs both label, on which labels are equal (None if there are
                  none), "labeled": share of pairs that both label, "kappa": Cohen's, agreement
                  beyond that of chance (None where it is not defined)}
    raises        ShapeError for lists of different lengths, or none
    """
    if len(labels) != len(gold) or not len(gold):
        raise ShapeError(f"agreement: {len(labels)} labels and {len(gold)} others: give one each")
    both = [(a, b) for a, b in zip(labels, gold) if a is not None and b is not None]
    if not both:
        return {"share": None, "labeled": 0.0, "kappa": None}
    share = sum(a == b for a, b in both) / len(both)
    kinds = {kind for pair in both for kind in pair}
    # by chance, if both kept their frequencies and labeled at random
    chance = (
        sum(sum(a == kind for a, _ in both) * sum(b == kind for _, b in both) for kind in kinds)
        / len(both) ** 2
    )
    kappa = None
    if chance < 1:
        kappa = (share - chance) / (1 - chance)
    return {"share": share, "labeled": len(both) / len(gold), "kappa": kappa}


RATING = (
    "Rate the response to the request from {lowest} (very bad) to {highest} (very good).\n"
    "Request:\n{request}\nResponse:\n{response}\nRating:"
)


def rating_rewards(
    lm: TextLM, pairs: Sequence[tuple[str, str]], lowest: int = 1, highest: int = 9
) -> np.ndarray:
    """A judge as a reward model, without training: the expected rating of each response.

        r(x, y) = sum over s of s Pr(s) / sum over s of Pr(s),   s = lowest .. highest

    lm       TextLM that can score
    pairs    list of (request, response)
    returns  (n,) array between lowest and highest. Unlike the most probable rating it tells two
             responses apart that would both get an 8
    """
    if not 0 <= lowest < highest <= 9:
        raise ConfigError(f"rating_rewards: {lowest} to {highest} are no two digits in order")
    ratings = np.arange(lowest, highest + 1)
    prompts = [
        RATING.format(lowest=lowest, highest=highest, request=x, response=y) for x, y in pairs
    ]
    scores = lm.score_batch(prompts, [f" {rating}" for rating in ratings])
    return np.array([label_distribution(one.sums, range(len(ratings))) @ ratings for one in scores])
