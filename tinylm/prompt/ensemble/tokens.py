"""One answer after several prompts at once: every token is chosen by all of them   (book section
3.2.4, eq. 3.7).

    y_j = argmax over v of sum over k of log Pr(v | x_k, y_1 .. y_{j-1})

All prompts are continued by the same tokens. They are the rows of one batch, each with its own part
of the cache, and of unequal lengths. Besides the sum of logarithms (a product of experts) the
tokens may be chosen by a mixture: with fixed weights, or with those of Bayes' rule, which makes the
choice that of eq. 3.8 (marginal.py). Read next: marginal.py.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate.loop import Rows, check_prompt
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import greedy
from tinylm.generate.stop import Output
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.means import arithmetic_mean, check_weights, log_sum_exp
from tinylm.prompt.ensemble.models import check_text_model
from tinylm.prompt.ensemble.prompts import PHRASINGS, stops_of, texts_of
from tinylm.prompt.in_context.fitted import dropped_of
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.protocol.trace import Call
from tinylm.prompt.refine.brill import Rule
from tinylm.tokenizers.base import Tokenizer


def product_rule(terms: np.ndarray, weights: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """sum_k K w_k log Pr(v | x_k, y_<j): eq. 3.7 with equal weights   (K, V) -> (V,)."""
    used = weights > 0
    # check_weights() made a mean of them; K times the mean is the sum of the book.
    return len(weights) * weights[used] @ terms[used]


def mixture_rule(terms: np.ndarray, weights: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """log sum_k w_k Pr(v | x_k, y_<j), the weights staying the same   (K, V) -> (V,)."""
    return arithmetic_mean(terms, weights)


def bayes_rule(terms: np.ndarray, weights: np.ndarray, totals: np.ndarray) -> Any:
    """log Pr(v | y_<j) under eq. 3.8: prompts that predicted the tokens so far weigh more

    (K, V) -> (V,).
    """
    # Pr(v | y_<j) = sum_k w_k Pr(y_<j | x_k) Pr(v | x_k, y_<j) / sum_k w_k Pr(y_<j | x_k)
    with np.errstate(divide="ignore"):
        so_far = np.log(weights) + totals
    return log_sum_exp(so_far[:, None] + terms) - log_sum_exp(so_far)


RULES = {"product": product_rule, "mixture": mixture_rule, "bayes": bayes_rule}


@dataclass(frozen=True)
class Joint:
    """A text that several prompts have chosen.

    tokens    list of int, an end token included
    terms     (n, K) float64: log Pr of each token after each prompt
    text      str, up to the first stop string
    finish    "end", "stop" or "length"
    """

    tokens: list
    terms: np.ndarray
    text: str
    finish: str


def decode_jointly(
    lm: TextLM,
    prompts: Sequence,
    max_tokens: int,
    rule: Rule = "product",
    weights: np.ndarray | None = None,
    stop: str | Sequence[str] | None = (),
    eos: int | None = None,
    tokenizer: Tokenizer | None = None,
) -> Joint:
    """Greedy decoding after K prompts at once: Joint   (book eq. 3.7)

    lm         a model of tinylm.models, or a language model (generate/protocol/language_model.py)
    prompts    K sequences of integers, of any lengths
    rule       a key of RULES: how K distributions become one score for each token
    weights    (K,) of the prompts, 0 or more; equal unless given
    stop, eos, tokenizer   as in generate(); without a tokenizer the text is empty
    raises     ConfigError for a rule that there is not or no prompt; DataError for a prompt that
               leaves no room in the context, or where no token is possible after all prompts
    """
    if rule not in RULES:
        raise ConfigError(f"decode_jointly: no rule {rule!r}; there are {', '.join(RULES)}")
    if not len(prompts):
        raise ConfigError("decode_jointly: give at least one prompt")
    lm, choose = as_language_model(lm), RULES[rule]
    weights = check_weights(weights, len(prompts))
    prompts = [check_prompt(prompt, lm) for prompt in prompts]
    longest = max(map(len, prompts))
    if lm.context is not None:
        if longest > lm.context:
            raise DataError(
                f"decode_jointly: a prompt has {longest} tokens and the model reads {lm.context}: "
                "shorten it"
            )
        # The last token is chosen after all others have been read.
        max_tokens = min(max_tokens, lm.context - longest + 1)
    rows, output = Rows(lm, prompts), Output(stop, tokenizer, eos)
    totals = np.zeros(len(prompts))  # log Pr(y_<j | x_k)
    tokens, kept, text = [], [], b""
    for _ in range(max_tokens):
        # Predict: each row gives its own distribution of the same next token.
        terms = log_probabilities(rows.next_logits())  # (K, V)
        scores = choose(terms, weights, totals)  # (V,)
        token = int(greedy(scores[None])[0])
        # Append: all rows get it, so that y_<j is shared (eq. 3.7).
        rows.append([token] * len(prompts))
        totals = totals + terms[:, token]
        kept.append(terms[:, token])
        released, piece = output.add(token)
        tokens, text = tokens + released, text + piece
        if output.done:
            break
    else:
        released, piece = output.close()
        tokens, text = tokens + released, text + piece
    # Tokens that a stop string cut off have no part in the text, nor in its probability.
    terms = np.array(kept[: len(tokens)]).reshape(-1, len(prompts))
    return Joint(tokens, terms, text.decode("utf-8", "replace"), output.finish)


def complete_jointly(
    lm: TextLM,
    prompts: Sequence,
    begin: str = "",
    max_tokens: int = 256,
    stop: str | Sequence[str] | None = (),
    rule: Rule = "product",
    weights: np.ndarray | None = None,
) -> Joint:
    """decode_jointly() for texts: Joint, its text as that of a reply.

    lm       TextModel
    prompts  list of prompts, as in complete_batch
    begin    text that the reply is made to begin with
    raises   DataError for a prompt that leaves no room for a reply; ConfigError for another TextLM

    The account counts K calls, and every token of the text K times: each prompt's row gives it a
    distribution.
    """
    check_text_model("complete_jointly", lm)
    prompts = list(prompts)
    begun = time.perf_counter()
    rows = [lm.ids(prompt, begin) for prompt in prompts]
    found = decode_jointly(
        lm.lm, rows, max_tokens, rule, weights, stop, lm.opened.ends or None, lm.tokenizer
    )
    read, written = sum(map(len, rows)), len(prompts) * len(found.tokens)
    lm.account.add(calls=len(prompts), prompt_tokens=read, read_tokens=read)
    lm.account.add(generated_tokens=written, seconds=time.perf_counter() - begun)
    for prompt in prompts:
        lm.record(Call("complete", prompt, begin, found.text, found.finish))
    return found


def token_ensemble(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 64,
    prompts: Sequence = PHRASINGS,
    rule: Rule = "product",
    weights: np.ndarray | None = None,
) -> Answer:
    """One answer whose every token all prompts have chosen   (book eq. 3.7)

    lm       TextModel
    seed     not used: the most probable token is taken
    prompts  list of prompts with prompt(), stop_for() and read(), such as FewShotPrompts
    rule     a key of RULES
    returns  Answer; details: "agreement", for each prompt log Pr of the whole reply, "finish",
             and "dropped" demonstrations
    """
    written = replace(item, options=(), answer=None)  # the options of an item are written, too
    fitted = texts_of(lm, prompts, written, demonstrations, max_tokens)
    texts, stops = [one.text for one in fitted], stops_of(lm, prompts, fitted)
    # The one reply is a reply to all prompts, so what ends an answer of any of them ends it.
    stop = tuple(dict.fromkeys(string for stop in stops for string in stop))
    found = complete_jointly(
        lm, texts, max_tokens=max_tokens, stop=stop, rule=rule, weights=weights
    )
    value = lm.parsed("answer", prompts[0].read(found.text, stop))
    details = {"agreement": found.terms.sum(axis=0).tolist(), "finish": found.finish}
    details["dropped"] = dropped_of(fitted)
    return Answer(value, found.text, details)
