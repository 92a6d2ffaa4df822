"""Two ways to generate likely but not dull text: contrast with a weaker model, contrast with the
text so far.

Contrastive decoding (Li et al. 2023) takes the plausible token whose log-probability most exceeds a
small model's. Contrastive search (Su et al. 2022) takes, of the k most probable tokens, the one
whose probability minus similarity to earlier hidden states is largest: repeated text has similar
states, so repetition is penalized. Both are deterministic. Read next: cache/window.py.
"""

import math
from collections.abc import Sequence

import numpy as np

from tinylm import backend
from tinylm.errors import ConfigError
from tinylm.generate.loop import check_prompt
from tinylm.generate.protocol.language_model import Model, as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import highest


def contrastive_scores(expert: Model, amateur: Model, alpha: float = 0.1) -> np.ndarray:
    """log p_expert - log p_amateur where p_expert(x) >= alpha max p_expert, else -inf   (Li et al.
    2023, eqs. 2-4)

    expert, amateur  (..., V) logits
    alpha            in (0, 1]; 1 leaves only the expert's most probable tokens
    returns          (..., V)
    """
    highest(expert)
    highest(amateur)
    p, q = log_probabilities(expert), log_probabilities(amateur)
    # Without this bound, tokens that both models find all but impossible could win by their ratio.
    plausible = p >= p.max(axis=-1, keepdims=True) + math.log(alpha)
    with np.errstate(invalid="ignore"):  # -inf minus -inf, where neither counts
        return np.where(plausible, p - q, -np.inf)


def contrastive_decode(
    expert: Model,
    amateur: Model,
    prompt_ids: Sequence[int],
    max_tokens: int,
    alpha: float = 0.1,
    eos: int | Sequence[int] | None = None,
) -> list[int]:
    """Continue a prompt by the token of the highest contrastive score, the lowest id among equals.

    expert, amateur  language models over one vocabulary; prompt and continuation must fit both
                     contexts
    returns          list of int, ending with eos if it came
    """
    models = [as_language_model(lm) for lm in (expert, amateur)]
    if models[0].vocab_size != models[1].vocab_size or not 0 < alpha <= 1:
        raise ConfigError(
            f"contrastive_decode: vocabularies of {models[0].vocab_size} and "
            f"{models[1].vocab_size} must be equal and alpha {alpha} between 0 and 1"
        )
    new, out = check_prompt(prompt_ids, models[0]), []
    caches = [lm.new_cache(1) for lm in models]
    while len(out) < max_tokens and (not out or out[-1] != eos):
        scores = []
        for lm, cache in zip(models, caches):
            logits = lm.next_logits(np.array([new]), cache)  # (1, V), after the prompt or one token
            scores.append(backend.to_cpu(logits)[0])
        new = [int(contrastive_scores(*scores, alpha=alpha).argmax())]
        out += new
    return out


def degeneration(states: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Largest cosine of each candidate's hidden state with earlier ones: (t, D), (k, D) -> (k,)."""

    def unit(x):
        return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)

    return (unit(candidates) @ unit(states).T).max(axis=-1)  # (k, t) -> (k,)


def contrastive_search(
    lm: Model,
    prompt_ids: Sequence[int],
    max_tokens: int,
    k: int = 4,
    alpha: float = 0.6,
    eos: int | Sequence[int] | None = None,
) -> list[int]:
    """Continue a prompt by argmax over the k best tokens of (1 - alpha) Pr(v) - alpha max_j
    cos(h_v, h_j)

    lm       a language model with `hidden_and_logits` (protocol/language_model.py); prompt and
             continuation must fit its context
    k        candidates; 1 is greedy search, as is alpha = 0
    returns  list of int, ending with eos if it came; of equal scores the more probable token, then
             the lower id
    source   Su et al. 2022, eq. 5
    """
    lm = as_language_model(lm)
    if not hasattr(lm, "hidden_and_logits"):
        raise ConfigError(f"contrastive_search: a {type(lm).__name__} does not show hidden states")
    if k < 1 or not 0 <= alpha <= 1:
        raise ConfigError(
            f"contrastive_search: k {k} must be 1 or more and alpha {alpha} from 0 to 1"
        )
    k, cache, out = min(k, lm.vocab_size), lm.new_cache(1), []
    prompt = np.array([check_prompt(prompt_ids, lm)])  # (1, T)
    states, logits = map(backend.to_cpu, lm.hidden_and_logits(prompt, cache))
    states, logits = states[0], logits[0, -1]  # (T, D), (V,)
    while len(out) < max_tokens:
        highest(logits)
        probability = np.exp(log_probabilities(logits))  # (V,)
        tokens = np.argsort(-probability, kind="stable")[:k]
        # A candidate's hidden state is known only once it is read: copy the one row k times, read
        # all candidates in one batch, and keep the row of the best.
        cache.select([0] * k)
        after, scores = map(backend.to_cpu, lm.hidden_and_logits(tokens[:, None], cache))
        after, scores = after[:, 0], scores[:, 0]  # (k, D), (k, V)
        quality = (1 - alpha) * probability[tokens] - alpha * degeneration(states, after)
        highest(quality)  # raises if hidden states are NaN
        best = int(np.argmax(quality))
        out.append(int(tokens[best]))
        if out[-1] == eos:
            break
        cache.select([best])
        states = np.concatenate([states, after[best : best + 1]])  # (t + 1, D)
        logits = scores[best]
    return out
