"""Retrieve, put the texts before the question, answer, and check the answer   (book section 3.2.5;
Lewis et al. 2020).

The retriever is called once, before the first token is generated; tools have another way, in
which the model calls it while it writes. Of the options of an item the most probable one is the
answer, and nothing is generated. An answer is refused for one of three reasons: nothing
that was found is relevant enough, the model says so, or the model gave its own answer too little
probability. A caller may add a check of its own on the texts that the model would see, such as
coverage.py. Read next: evaluate.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.rag.citations import find_citations, without_citations
from tinylm.prompt.rag.prompt import NO_ANSWER, RagPrompt, is_refusal, texts_of
from tinylm.prompt.rag.retrievers import find_texts
from tinylm.prompt.template.fields import read_reply

if TYPE_CHECKING:
    from tinylm.prompt.tools.retrieval_in_inference import Watched


FORM = RagPrompt()


def retrieval_answer(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    retriever: "InvertedIndex | Watched | None" = None,
    k: int = 3,
    form: RagPrompt = FORM,
    least_score: float | None = None,
    least_logprob: float | None = None,
    check: Callable | None = None,
    budget: int | None = None,
    normalization: str = "sum",
    seed: int = 0,
    max_tokens: int = 64,
    **sampling: Any,
) -> Answer:
    """The answer to a question from the texts that a retriever finds for it.

    lm              TextLM
    item            Item; its question is the query
    demonstrations  Items with a context and an answer; the answer of some may be NO_ANSWER
    retriever       has search(query, k) and documents (retrievers.py); None: words are looked for
                    in the texts of the item's context
    k               texts at most; 0: none, the model's memory with the same instruction
    least_score     refuse, without calling the model, if the best text scores less; None: never
    others          as of answer_from
    returns         Answer, as answer_from; more details: retrieved [(number, score)], and passages,
                    list of Passage as they stand in the prompt; refused may be "retrieval"
    raises          DataError if not even the question fits; ConfigError if max_tokens leaves no
                    room for a prompt, or k is negative
    """
    check_counts("retrieval_answer", least=0, k=k)
    if retriever is None:
        retriever = InvertedIndex(texts_of(item))
    # z_1 .. z_k for x, once, before the first token
    found = find_texts(retriever, item.question, k)
    details = {"retrieved": found.ranking, "passages": [], "citations": []}
    if least_score is not None and found.best < least_score:
        return Answer(NO_ANSWER, "", details | {"refused": "retrieval", "texts": []})
    answer = answer_from(
        lm,
        item,
        found.texts,
        demonstrations,
        form=form,
        least_logprob=least_logprob,
        check=check,
        budget=budget,
        normalization=normalization,
        seed=seed,
        max_tokens=max_tokens,
        details=details,
        **sampling,
    )
    answer.details["passages"] = _in_the_prompt(found.passages, answer.details)
    return answer


def answer_from(
    lm: TextLM,
    item: Item,
    texts: Sequence[str],
    demonstrations: Sequence[Item] = (),
    *,
    form: RagPrompt = FORM,
    least_logprob: float | None = None,
    check: Callable | None = None,
    budget: int | None = None,
    normalization: str = "sum",
    seed: int = 0,
    max_tokens: int = 64,
    details: dict[str, list[tuple]] | None = None,
    **sampling: Any,
) -> Answer:
    """The answer to a question from given texts, without a retriever.

    texts          list of str, the most relevant first
    form           RagPrompt
    least_logprob  refuse if the answer has less than this log-probability a token, in nats
    check          function from the texts in the prompt to a reason to refuse, or None; it is
                   called before the model
    budget         tokens of the prompt; None: what the model's context leaves
    normalization  of the scores of an item's options, as in Scores.by
    details        more for Answer.details
    returns        Answer. value: the answer without its citations; NO_ANSWER if it is refused; None
                   if the reply is empty. details: texts, kept, dropped, cut and left_out
                   (prompt.py), refused (None, "words", "likelihood", or the reason of the check),
                   citations (list of Citation), logprob (mean, or None); of options: scores
    """
    window = ""
    if budget is None:
        budget, window = _room(lm, item, max_tokens)
    # As much of z as the window leaves beside question and answer.
    fitted = form.fit(item.question, texts, lm.length, budget, demonstrations, window)
    details: dict[str, Any] = {"retrieved": [], "citations": [], **(details or {}), "refused": None}
    details |= {"dropped": fitted.dropped, "cut": fitted.cut, "left_out": fitted.left_out}
    if check is not None and (reason := check(fitted.texts)):
        return Answer(NO_ANSWER, "", details | {"refused": reason, "texts": [], "kept": ()})
    details |= {"texts": fitted.texts, "kept": fitted.kept}
    if item.options:
        return _best_option(lm, item, fitted.prompt, form, normalization, least_logprob, details)
    # y ~ Pr(. | x, z)
    reply = lm.complete(
        fitted.prompt, max_tokens=max_tokens, stop=form.stop(), seed=seed, **sampling
    )
    return _read(lm, reply, fitted.texts, form, least_logprob, details)


def _room(lm, item, max_tokens):
    """(tokens that the model's context leaves for a prompt, or None; where they come from)."""
    if lm.context is None:
        return None, ""
    answer = max([lm.count(ending) for ending in _endings(item)] or [max_tokens])
    budget = lm.context - answer
    if budget < 1:
        raise ConfigError(
            f"answer_from: an answer of {answer} tokens leaves no room for a prompt in the "
            f"model's context of {lm.context}: lower max_tokens"
        )
    return budget, f"the model reads {lm.context} tokens, and {answer} are for the answer"


def _read(lm, reply, texts, form, least_logprob, details):
    """The Answer in a reply to a prompt with these texts."""
    text = reply.text.strip()
    if form.answer_name is not None:
        text = read_reply(reply.text, form.answer_name, form.names(len(texts)))
    details["citations"] = find_citations(text, texts)
    details["logprob"] = _mean(reply.logprobs)
    value = without_citations(text, len(texts)) or None
    # Refused by its own words, or because it was not sure of them.
    if is_refusal(text):
        details["refused"], value = "words", NO_ANSWER
    elif least_logprob is not None and _certainty(details["logprob"]) < least_logprob:
        details["refused"], value = "likelihood", NO_ANSWER
    lm.parsed("answer", value)
    return Answer(value, text, details)


def _endings(item):
    """The options as they follow a prompt: list of str."""
    return [f" {option}" for option in item.options]


def _best_option(lm, item, prompt, form, normalization, least_logprob, details):
    """The most probable option as the Answer."""
    unconditional = None
    if normalization == "unconditional":
        # the answer's field, without any question before it
        unconditional = f"{form.answer_name}:"
        if form.answer_name is None:
            unconditional = ""
    scores = lm.score(prompt, _endings(item), unconditional=unconditional)
    best = scores.best(normalization)
    value = item.options[best]
    details |= {"scores": scores, "logprob": _mean(scores.terms[best])}
    if is_refusal(value):
        details["refused"] = "words"
    elif least_logprob is not None and details["logprob"] < least_logprob:
        details["refused"], value = "likelihood", NO_ANSWER
    return Answer(lm.parsed("answer", value), item.options[best], details)


def _in_the_prompt(found, details):
    """The passages found that the prompt holds, the last one cut as it is there."""
    kept = [found[i] for i in details["kept"]]
    if kept and details["cut"]:
        text = details["texts"][-1]
        # What was cut off was not read, so it cannot be a source.
        kept[-1] = replace(kept[-1], end=kept[-1].start + len(text), text=text)
    return kept


def _mean(logprobs):
    """The mean log-probability of a token; None for a reply without any."""
    if not len(logprobs):
        return None
    return float(np.mean(logprobs))


def _certainty(logprob):
    if logprob is None:
        raise ConfigError(
            "least_logprob needs the probabilities of the reply, which this model does not give"
        )
    return logprob
