"""Best-of-n: several responses, of which a reward model chooses one   (book section 4.4.5, eqs.
4.85, 4.86; Nakano et al. 2021).

    {y_1 .. y_n} = argTopN over y of Pr(y | x)        y = argmax over i of r(x, y_i)

The book writes the n most probable responses and speaks of sampling or beam search. These are three
different sets: independent samples, whose best follows the law of law.py; a beam, which finds
probable and therefore similar strings; and the true top n, which only listing all strings gives.
Read next: rerank.py.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.generate.loop import check_prompt, generate_batch
from tinylm.generate.protocol.language_model import Model, as_language_model
from tinylm.generate.protocol.score import MOST_STRINGS
from tinylm.generate.strategies.beam import beam_search
from tinylm.generate.strategies.rerank import score_candidates


@dataclass(frozen=True)
class Candidate:
    """One response: its tokens, and log Pr(y | x) under the model that made it."""

    tokens: tuple
    logprob: float


def sampled(
    lm: Model,
    prompt: Sequence[int],
    n: int,
    max_tokens: int,
    *,
    seed: int = 0,
    eos: int | None = None,
    **sampling: Any,
) -> list[Candidate]:
    """n independent samples: list of Candidate, in the order of their seeds; equals may occur.

    sampling  of generate(): temperature and so on. logprob is of the model at temperature 1
    """
    lm = as_language_model(lm)
    seeds = [seed + i for i in range(n)]
    found = generate_batch(lm, [prompt] * n, max_tokens, seed=seeds, eos=eos, **sampling)
    logprobs = score_candidates(lm, found, prompt)
    return [Candidate(tuple(y), float(logprob)) for y, logprob in zip(found, logprobs)]


def beam(
    lm: Model,
    prompt: Sequence[int],
    n: int,
    max_tokens: int,
    *,
    eos: int | None = None,
    width: int | None = None,
) -> list[Candidate]:
    """The n best strings of a beam: list of Candidate, the most probable first.

    width   of the beam, n unless given
    """
    found = beam_search(lm, prompt, max_tokens, width or n, eos, n_best=n)
    return [Candidate(tuple(one.tokens), one.logprob) for one in found]


def most_probable(
    lm: Model, prompt: Sequence[int], n: int, max_tokens: int, *, eos: int | None = None
) -> list[Candidate]:
    """The n most probable strings of all   (book eq. 4.85): list of Candidate, best first."""
    return every_response(lm, prompt, max_tokens, eos=eos)[:n]


def every_response(
    lm: Model, prompt: Sequence[int], max_tokens: int, *, eos: int | None = None
) -> list[Candidate]:
    """All responses of max_tokens tokens, or fewer where they end with eos: list of Candidate.

    returns  the most probable first, of equals the first in the order of ids
    raises   ConfigError where there would be more than 100,000 strings
    """
    lm = as_language_model(lm)
    V = lm.vocab_size
    if V**max_tokens > MOST_STRINGS:
        raise ConfigError(
            f"every_response: {V}^{max_tokens} strings are too many: draw samples, or use a beam"
        )
    strings = []
    for y in itertools.product(range(V), repeat=max_tokens):
        end = len(y)
        if eos in y:
            end = y.index(eos) + 1
        if not any(y[end:]):  # a string that ends early comes once: as (.., eos, 0, 0)
            strings.append(y[:end])
    logprobs = score_candidates(lm, strings, prompt)
    order = np.argsort(-logprobs, kind="stable")
    return [Candidate(strings[i], float(logprobs[i])) for i in order]


GENERATORS = {"sample": sampled, "beam": beam, "topn_exact": most_probable}


@dataclass(frozen=True)
class Best:
    """The response with the greatest reward, its reward, and all candidates with theirs."""

    tokens: tuple
    reward: float
    candidates: list
    rewards: np.ndarray


def best_of_n(
    lm: Model,
    prompt: Sequence[int],
    reward: Callable,
    n: int,
    max_tokens: int,
    *,
    generator: str = "sample",
    **options: Any,
) -> Best:
    """The best of n responses by a reward   (book eqs. 4.85, 4.86)

    lm         language model
    prompt     (m,) ids
    reward     function: (prompt, tokens) -> number; best_candidate takes rewards of a whole list
    generator  of GENERATORS: "sample", "beam", "topn_exact"
    options    of the generator: seed, temperature, .. of samples; width of a beam; eos
    returns    Best; of equal rewards the first
    raises     ConfigError for another generator or n below 1; DataError for a reward that is nan
    """
    if generator not in GENERATORS:
        raise ConfigError(
            f"best_of_n: generator {generator!r} is not one of {', '.join(GENERATORS)}"
        )
    if n < 1:
        raise ConfigError(f"best_of_n: n = {n} candidates; it must be 1 or more")
    prompt = check_prompt(prompt, as_language_model(lm))
    candidates = GENERATORS[generator](lm, prompt, n, max_tokens, **options)
    return best_candidate(candidates, [reward(prompt, one.tokens) for one in candidates])


def best_candidate(candidates: Sequence[Candidate], rewards: Sequence[float]) -> Best:
    """Best of candidates with known rewards   (book eq. 4.86): of equals the first."""
    rewards = np.asarray(rewards, float)
    if np.isnan(rewards).any():
        bad = candidates[int(np.isnan(rewards).argmax())]
        raise DataError(f"best_candidate: the reward of {bad.tokens} is nan")
    i = int(rewards.argmax())
    return Best(candidates[i].tokens, float(rewards[i]), list(candidates), rewards)
