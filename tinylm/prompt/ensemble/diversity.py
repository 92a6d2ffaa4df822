"""Different prompts for one task: five ways to make them, and what diversity is worth   (book
section 3.2.4).

    1. other demonstrations                     vary_demonstrations
    2. demonstrations that the model writes     generate_demonstrations
    3. the same demonstrations in other orders  permute_demonstrations
    4. the same prompt in other words           lm_paraphrases of optimize/paraphrase.py
    5. the prompt transformed, as translated    translations

    (mean prediction - y)^2 = mean of (prediction - y)^2 - variance of the predictions

is an identity (Krogh and Vedelsby 1995): members that make the same errors gain nothing from each
other, and of two ensembles with equally good members the more diverse one is better. Read next:
wrapped.py, voters.py.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.optimize.paraphrase import lm_translator
from tinylm.prompt.protocol.text_lm import TextLM

FEW = 5040  # arrangements up to which all are listed before some are drawn: 7!


def vary_demonstrations(
    pool: Sequence[Item], size: int, count: int, rng: np.random.Generator
) -> list[tuple[Item, ...]]:
    """Different choices of demonstrations: list of `count` tuples of `size` Items.

    pool    Items to choose from;  rng  numpy Generator
    returns  no two tuples hold the same demonstrations; each keeps the order of the pool
    raises   ConfigError if there are not so many choices
    """
    pool = list(pool)
    most = math.comb(len(pool), max(size, 0))
    if size < 0 or not 1 <= count <= most:
        raise ConfigError(
            f"vary_demonstrations: there are {most} choices of {size} from {len(pool)} "
            f"demonstrations, and {count} are wanted"
        )

    def draw():
        return tuple(sorted(rng.choice(len(pool), size, replace=False).tolist()))

    chosen = _different(
        draw, lambda: itertools.combinations(range(len(pool)), size), most, count, rng
    )
    return [tuple(pool[i] for i in numbers) for numbers in chosen]


def permute_demonstrations(
    demonstrations: Sequence[Item], count: int, rng: np.random.Generator
) -> list[tuple[Item, ...]]:
    """Different orders of the same demonstrations: list of `count` tuples.

    count    up to k! of k demonstrations: then all orders
    raises   ConfigError if there are not so many orders
    """
    demonstrations = list(demonstrations)
    most = math.factorial(len(demonstrations))
    if not 1 <= count <= most:
        raise ConfigError(
            f"permute_demonstrations: {len(demonstrations)} demonstrations have {most} orders, "
            f"and {count} are wanted"
        )
    numbers = range(len(demonstrations))

    def draw():
        return tuple(rng.permutation(len(demonstrations)).tolist())

    chosen = _different(draw, lambda: itertools.permutations(numbers), most, count, rng)
    return [tuple(demonstrations[i] for i in order) for order in chosen]


def _different(draw, every, most, count, rng):
    """`count` different arrangements, each set of them equally likely.

    draw   function -> a random arrangement;  every  function -> all of them;  most  their number
    """
    # A few are listed and shuffled, which also gives all of them; of many, some are drawn.
    if most <= FEW:
        listed = list(every())
        return [listed[i] for i in rng.permutation(most)[:count]]
    found = {}
    while len(found) < count:  # so few of so many that repeats are rare, or at least not the rule
        found.setdefault(draw())
    return list(found)


def generate_demonstrations(
    lm: TextLM,
    demonstrations: Sequence[Item],
    count: int,
    *,
    seed: int = 0,
    max_tokens: int = 128,
    temperature: float = 1.0,
    prompt: FewShotPrompt | None = None,
) -> list[Item]:
    """Demonstrations that the model writes after those that it is shown: list of Item.

    count    replies sampled; a reply without a question and an answer, or one that is shown or was
             written before, is left out, so fewer may come back
    prompt   FewShotPrompt with names for question and answer, or for neither; "Q: .. A: .."
             unless given
    raises   ConfigError for a prompt that names one of the two, which could not be read back
    """
    prompt = prompt or FewShotPrompt()
    question, answer = prompt.question_name, prompt.answer_name
    if bool(question) != bool(answer):
        raise ConfigError(
            "generate_demonstrations: the prompt needs names for both fields, or for neither"
        )
    # The prompt ends where a question begins, so the model writes one, and then its answer.
    begun, between = "", prompt.between
    if question:
        begun, between = f"{question}:", f"\n{answer}:"
    shown = [prompt.demonstration(demo) for demo in demonstrations]
    text = prompt.separator.join([*shown, begun])
    known, found = {demo.question for demo in demonstrations}, []
    replies = lm.sample(
        text, count, seed, stop=prompt.separator, max_tokens=max_tokens, temperature=temperature
    )
    for reply in replies:
        asked, mark, answered = reply.text.partition(between)
        asked, answered = asked.strip(), answered.strip()
        # A copy of what is shown would add nothing, and weigh it twice.
        if mark and asked and answered and asked not in known:
            known.add(asked)
            found.append(Item(asked, answered))
    return lm.parsed("demonstrations", found)


def translations(
    lm: TextLM,
    text: str,
    languages: tuple[str, ...],
    *,
    source: str = "English",
    seed: int = 0,
    max_tokens: int = 256,
) -> dict[str, str]:
    """A prompt in other languages: {language: str}, its own first.

    languages  names of languages to translate into
    source     the language of the text
    raises     DataError for an empty translation
    """
    found = {source: text}
    for name in languages:
        options: dict[str, Any] = {"seed": seed, "max_tokens": max_tokens, "temperature": 0.0}
        ((found[name], _),) = lm_translator(lm, source, name, 1, **options)(text)
        if not found[name]:
            raise DataError(f"translations: the model's {name} translation is empty")
    return found


# What diversity is worth.


@dataclass(frozen=True)
class Ambiguity:
    """The three terms of the identity: ensemble = mean - diversity.

    ensemble   mean squared error of the averaged prediction
    mean       average of the members' mean squared errors
    diversity  average squared distance of the members from the averaged prediction
    """

    ensemble: float
    mean: float
    diversity: float


def ambiguity(
    predictions: Sequence[list[float]], targets: Sequence[float], weights: np.ndarray | None = None
) -> Ambiguity:
    """Error of an ensemble of real predictions, and where it comes from   (Krogh and Vedelsby 1995)

    predictions  (K, N) of K members;  targets (N,)
    weights      (K,) of sum 1; equal unless given
    returns      Ambiguity
    raises       ShapeError if the shapes do not fit
    """
    predictions, targets = np.asarray(predictions, float), np.asarray(targets, float)
    if predictions.ndim != 2 or targets.shape != predictions.shape[1:]:
        raise ShapeError(
            f"ambiguity: predictions have shape {predictions.shape} and targets {targets.shape}; "
            "they are (K, N) and (N,)"
        )
    K = len(predictions)
    if weights is None:
        weights = np.full(K, 1 / K)
    average = np.asarray(weights) @ predictions  # (N,)
    # sum_k w_k (f_k - y)^2 = (f - y)^2 + sum_k w_k (f_k - f)^2, as sum_k w_k (f_k - f) = 0.
    return Ambiguity(
        float(((average - targets) ** 2).mean()),
        float(weights @ ((predictions - targets) ** 2).mean(axis=1)),
        float(weights @ ((predictions - average) ** 2).mean(axis=1)),
    )


def disagreement(answers: Sequence[list[str]]) -> float:
    """The share of pairs of members that answer a question differently: 0 .. 1.

    answers  K lists of N answers, K at least 2
    raises   ShapeError for lists of unequal lengths, or fewer than two
    """
    lengths = {len(row) for row in answers}
    if len(answers) < 2 or len(lengths) != 1 or 0 in lengths:
        raise ShapeError(
            f"disagreement: {len(answers)} lists of lengths {sorted(lengths)}; give two or more "
            "members, with an answer to each of the same questions"
        )
    # K (K - 1) / 2 pairs of members, N questions each.
    pairs = list(itertools.combinations(answers, 2))
    different = [a != b for first, second in pairs for a, b in zip(first, second)]
    return sum(different) / len(different)
