"""One model, one prompt, several outputs: choose the best of them   (book section 3.2.4, Fig. 3.2c;
hypothesis selection, Xiao et al. 2013).

Outputs are sampled, or are the complete hypotheses of a beam. They are ranked by a score: the
model's own probability, that of another model, the agreement with the others, or a verifier's,
which is the book's "predict, then verify". With a score that knows the right answer, the best of n
is right whenever one of them is: 1 - (1 - q)^n. Read next: grid.py.
"""

import math

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.generate.strategies.beam import beam_search
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.combine import max_overlap
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol import Completion


def beam_outputs(lm, prompt, count, begin="", max_tokens=64, width=None, length_penalty=None):
    """The best complete hypotheses of a beam: list of at most `count` Completion, best first.

    lm              TextModel
    count           hypotheses wanted;  width  of the beam, as many unless given
    length_penalty  as in beam_search: function of the number of tokens; None: none
    raises          ConfigError for a beam narrower than the list
    """
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
    found = beam_search(
        lm.lm, ids, max_tokens, width, lm.opened.eos, n_best=count, length_penalty=length_penalty
    )
    lm.account.add(calls=1, prompt_tokens=len(ids), read_tokens=len(ids))
    # Every step reads one token of each string of the beam.
    lm.account.add(generated_tokens=width * max(len(one.tokens) for one in found))
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
    return replies


def own_logprob(reply):
    """The model's own log Pr of a reply: with it, the choice is the most probable of the list."""
    return reply.logprob


def mean_logprob(reply):
    """log Pr divided by the number of tokens, so that length has no price of its own."""
    return reply.logprob / max(1, len(reply.logprobs))


def rerank(outputs, score):
    """Outputs in the order of a score: list of (score, output), best first.

    outputs  list of anything;  score  function of one of them; equal scores keep their order
    raises   DataError for a score that is nan
    """
    scored = [(float(score(output)), output) for output in outputs]
    for value, output in scored:
        if math.isnan(value):  # has no place in an order
            raise DataError(f"rerank: the score of {output!r:.80} is nan")
    return sorted(scored, key=lambda pair: -pair[0])


def best_of_n(
    lm,
    item,
    demonstrations=(),
    *,
    seed=0,
    max_tokens=64,
    n=8,
    score=None,
    temperature=1.0,
    prompt=None,
):
    """Sample n outputs and keep the one with the best score   (book section 3.2.4)

    n        outputs, at the temperature
    score    function (question, text of the output) -> number, such as a verifier's probability
             that it is right; None: the model's own log-probability
    prompt   with prompt(), read() and stop: a FewShotPrompt unless given
    returns  Answer, of the best output even if no answer can be read from it; details: outputs
             (texts, best first) and their scores
    raises   ConfigError for n below 1
    """
    if n < 1:
        raise ConfigError(f"best_of_n: n must be 1 or more, not {n}")
    prompt = prompt or FewShotPrompt()
    text = prompt.prompt(item, demonstrations)
    options = {"max_tokens": max_tokens, "stop": prompt.stop, "temperature": temperature}
    replies = lm.sample(text, n, seed, **options)

    def value_of(reply):
        if score is None:
            return own_logprob(reply)
        return score(item.question, reply.text)

    ranked = rerank(replies, value_of)
    details = {
        "outputs": [reply.text for _, reply in ranked],
        "scores": [value for value, _ in ranked],
    }
    best = ranked[0][1].text
    return Answer(lm.parsed("answer", prompt.read(best)), best, details)


def most_agreed(outputs, similarity=None):
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
