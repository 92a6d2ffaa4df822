"""Two ways to say what is likely but not dull: contrast with a weaker model, contrast with what was
said.

Contrastive decoding (Li et al. 2023) takes the plausible token whose log-probability most exceeds a
small model's. Contrastive search (Su et al. 2022) takes, of the k most probable tokens, the one
whose probability minus likeness to earlier hidden states is largest: repetition looks alike, so it
costs. Both are deterministic. Read next: cache/window.py.
"""

import math

import numpy as np

from tinylm import backend
from tinylm.errors import ConfigError
from tinylm.generate.loop import check_prompt
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import highest


def contrastive_scores(expert, amateur, alpha=0.1):
    """log p_expert - log p_amateur where p_expert(x) >= alpha max p_expert, else -inf   (Li et al.
    2023, eqs. 2-4)

    expert, amateur  (..., V) logits;  alpha in (0, 1]: 1 leaves only the expert's most probable tokens
    returns          (..., V)
    """
    highest(expert), highest(amateur)
    p, q = log_probabilities(expert), log_probabilities(amateur)
    plausible = p >= p.max(axis=-1, keepdims=True) + math.log(alpha)
    with np.errstate(invalid="ignore"):  # -inf minus -inf, where neither counts
        return np.where(plausible, p - q, -np.inf)


def contrastive_decode(expert, amateur, prompt_ids, max_tokens, alpha=0.1, eos=None):
    """Continue a prompt with the token of the highest contrastive score at every step, the lowest
    id among equals.

    expert, amateur  language models over one vocabulary; prompt and continuation must fit both
                     contexts
    returns          list of int, ending with eos if it came
    """
    models = [as_language_model(lm) for lm in (expert, amateur)]
    if models[0].vocab_size != models[1].vocab_size or not 0 < alpha <= 1:
        raise ConfigError(
            f"contrastive_decode: vocabularies of {models[0].vocab_size} and {models[1].vocab_size} must be equal "
            f"and alpha {alpha} between 0 and 1"
        )
    new, out = check_prompt(prompt_ids, models[0]), []
    caches = [lm.new_cache(1) for lm in models]
    while len(out) < max_tokens and (not out or out[-1] != eos):
        scores = [
            backend.to_cpu(lm.next_logits(np.array([new]), cache))[0]
            for lm, cache in zip(models, caches)
        ]
        new = [int(contrastive_scores(*scores, alpha).argmax())]
        out += new
    return out


def degeneration(states, candidates):
    """Largest cosine between each candidate's hidden state and those before it: (t, D), (k, D) ->
    (k,).
    """

    def unit(x):
        return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)

    return (unit(candidates) @ unit(states).T).max(axis=-1)


def contrastive_search(lm, prompt_ids, max_tokens, k=4, alpha=0.6, eos=None):
    """Continue a prompt by argmax over the k best tokens of (1 - alpha) Pr(v) - alpha max_j
    cos(h_v, h_j)

    lm       a language model with `hidden_and_logits` (protocol/language_model.py); prompt and
             continuation must fit its context
    k        1 is greedy search, as is alpha = 0
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
    states, logits = map(
        backend.to_cpu, lm.hidden_and_logits(np.array([check_prompt(prompt_ids, lm)]), cache)
    )
    states, logits = states[0], logits[0, -1]  # (t, D), (V,)
    while len(out) < max_tokens:
        highest(logits)
        probability = np.exp(log_probabilities(logits))
        tokens = np.argsort(-probability, kind="stable")[:k]
        cache.select([0] * k)  # read all candidates at once, keep one
        after, scores = map(
            backend.to_cpu, lm.hidden_and_logits(tokens[:, None], cache)
        )  # (k, 1, D), (k, 1, V)
        quality = (1 - alpha) * probability[tokens] - alpha * degeneration(states, after[:, 0])
        highest(quality)  # NaN where hidden states are
        best = int(np.argmax(quality))
        out.append(int(tokens[best]))
        if out[-1] == eos:
            break
        cache.select([best])
        states, logits = np.concatenate([states, after[best]]), scores[best, 0]
    return out
