"""One model, one prompt, several outputs: choose the best of them   (book section 3.2.4, Fig. 3.2c;
hypothesis selection, Xiao et al. 2013).

Outputs are sampled, or are the complete hypotheses of a beam. They are ranked by a score: the
model's own probability, that of another model, the agreement with the others, or a verifier's,
which is the book's "predict, then verify". With a score that knows the right answer, the best of n
is right whenever one of them is, 1 - (1 - q)^n; `verified_law` is the law of a verifier that errs.
Read next: grid.py.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate.strategies.beam import beam_search
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.ensemble.combine import max_overlap
from tinylm.prompt.ensemble.models import check_text_model
from tinylm.prompt.ensemble.paths import sample_paths
from tinylm.prompt.protocol import Completion
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.protocol.trace import Call


def beam_outputs(
    lm: TextLM,
    prompt: str,
    count: int,
    begin: str = "",
    max_tokens: int = 64,
    width: int | None = None,
    length_penalty: Callable | None = None,
) -> list[Completion]:
    """The best complete hypotheses of a beam: list of at most `count` Completion, best first.

    lm              TextModel
    count           hypotheses wanted;  width  of the beam, as many unless given
    length_penalty  as in beam_search: function of the number of tokens; None: none
    raises          ConfigError for a beam narrower than the list
    """
    check_text_model("beam_outputs", lm)
    if width is None:
        width = count
    if not 1 <= count <= width:
        raise ConfigError(
            f"beam_outputs: {count} hypotheses of a beam of width {width}; it holds from 1 to its "
            "width"
        )
    ids = lm.ids(prompt, begin)
    if lm.context is not None:
        max_tokens = min(max_tokens, lm.context - len(ids))
    begun = time.perf_counter()
    found = beam_search(
        lm.lm, ids, max_tokens, width, lm.opened.eos, n_best=count, length_penalty=length_penalty
    )
    lm.account.add(calls=1, prompt_tokens=len(ids), read_tokens=len(ids))
    lm.account.add(seconds=time.perf_counter() - begun)
    # Every step reads one token of each string of the beam.
    lm.account.add(generated_tokens=width * max(len(one.tokens) for one in found))
    # Hypotheses as replies; the end token has no text.
    replies = []
    for one in found:
        finish, tokens = "length", list(one.tokens)
        if tokens[-1] in lm.opened.ends:
            finish = "end"
        shown = [token for token in tokens if token not in lm.opened.ends]
        text = lm.tokenizer.decode(shown)
        # A beam knows the probability of a whole string: it stands on the first token.
        logprobs = np.zeros(len(tokens))
        logprobs[0] = one.logprob
        replies.append(Completion(text, tokens, logprobs, finish))
    # One call, whose reply is the best of the list.
    lm.record(Call("complete", prompt, begin, replies[0].text, replies[0].finish))
    return replies


def own_logprob(reply: Completion) -> float:
    """The model's own log Pr of a reply: with it, the choice is the most probable of the list."""
    return reply.logprob


def mean_logprob(reply: Completion) -> float:
    """log Pr divided by the number of tokens, so that length has no price of its own."""
    return reply.logprob / max(1, len(reply.logprobs))


def rerank(outputs: Sequence, score: Callable) -> list[tuple[float, Any]]:
    """Outputs in the order of a score: list of (score, output), best first.

    outputs  list of anything;  score  function of one of them; equal scores keep their order
    raises   DataError for a score that is nan
    """
    # Each output is scored once: a score may be a call of another model.
    scored = [(float(score(output)), output) for output in outputs]
    for value, output in scored:
        if math.isnan(value):  # has no place in an order
            raise DataError(f"rerank: the score of {output!r:.80} is nan")
    return sorted(scored, key=lambda pair: -pair[0])


def best_of_n(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    n: int = 8,
    score: Callable | None = None,
    temperature: float = 0.7,
    **options: Any,
) -> Answer:
    """Sample n chains of thought and keep the one with the best score   (book section 3.2.4)

    n        chains, at the temperature
    score    function (question, text of the chain) -> number, such as a verifier's probability that
             it is right; None: the model's own log-probability
    options  of sample_paths: prompt, trigger, extract, read
    returns  Answer, of the best chain even if it reaches no answer; details: outputs (texts, best
             first) and their scores; "kept" and "dropped" demonstrations, if there were any
    """
    check_counts("best_of_n", n=n)
    paths = sample_paths(
        lm,
        item,
        demonstrations,
        count=n,
        seed=seed,
        max_tokens=max_tokens,
        temperature=temperature,
        **options,
    )

    def value_of(path):
        if score is None:
            return own_logprob(path.reply)
        return score(item.question, path.reply.text)

    ranked = rerank(paths, value_of)
    best = ranked[0][1]
    details = {
        "outputs": [path.reply.text for _, path in ranked],
        "scores": [value for value, _ in ranked],
        **best.fitted,
    }
    return Answer(best.answer, best.reply.text, details)


def verified_law(q: float, n: int, misses: float = 0.0, accepts: float = 0.0) -> float:
    """Probability that the first of n samples that a verifier accepts is right: float.

        r = q (1 - misses), w = (1 - q) accepts      a sample is right, or wrong, and accepted
        (1 - (1 - r - w)^n) r / (r + w)  +  (1 - r - w)^n (q - r) / (1 - r - w)

    The second term is that of no accepted sample, where the first sample is taken. With many
    samples an erring verifier reaches its precision r / (r + w), and not 1.

    q        probability that one sample is right
    n        independent samples
    misses   probability that the verifier rejects a right one;  accepts  that it accepts a wrong
             one; independent of everything else
    """
    right, wrong = q * (1 - misses), (1 - q) * accepts
    rejected = 1 - right - wrong
    found = 0.0
    if right:  # of accepted samples this share is right
        found += (1 - rejected**n) * right / (right + wrong)
    if q > right:  # and of rejected ones this
        found += rejected**n * (q - right) / rejected
    return found


def most_agreed(outputs: Sequence[Completion], similarity: Callable | None = None) -> Completion:
    """The reply whose text overlaps most with the others: Completion   (book section 3.2.4)

    outputs     list of Completion, at least one
    similarity  as in max_overlap
    """
    texts = [reply.text for reply in outputs]
    options = {}
    if similarity is not None:
        options["similarity"] = similarity
    text, _ = max_overlap(texts, **options)
    return outputs[texts.index(text)]
