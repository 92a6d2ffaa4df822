"""Methods that choose which demonstrations a question is shown, or write them   (book section
3.3.1).

The demonstrations that are given are a pool. The nearest and the different ones are chosen for each
question; one of each cluster, and those of Auto-CoT, are the same for all questions. A retriever
and Auto-CoT first learn from the pool, so they are given all questions at once. Read first:
../in_context/selection.py, ../in_context/clusters.py. Read next: methods.py.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.models.published.sentence_encoder import load_sentence_encoder
from tinylm.prompt.answer import Answer, answer_or_error, check_counts, with_report
from tinylm.prompt.in_context import selection
from tinylm.prompt.in_context.clusters import STEPS, WORDS, auto_cot, by_cluster
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.in_context.learned_retriever import learn_retriever
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.chain_of_thought import chain_of_thought, zero_shot_cot

MOST = 8  # pools whose index is kept


def nearest(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    k: int = 4,
    embed: str = "",
    order: str = "nearest last",
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """Few-shot prompting after the k demonstrations that are most like the question.

    demonstrations  the pool
    k               how many are shown
    embed           "": the rarest words in common (BM25); "words": the angle between counts of
                    words; "minilm" or a folder: that between sentence vectors
    order           "nearest last", "nearest first" or "random"
    returns         Answer as of few_shot
    """
    check_counts("nearest", k=k)
    shown = selection.arranged(_near(tuple(demonstrations), embed)(item, k), order, seed)
    return few_shot(lm, item, shown, prompt=prompt, seed=seed, max_tokens=max_tokens)


def diverse(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    k: int = 4,
    embed: str = "words",
    trade_off: float = 0.5,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """The same with demonstrations that are near and differ from each other (marginal relevance).

    embed      "words", "minilm" or a folder of a sentence encoder
    trade_off  1: the nearest; 0: as different as can be
    """
    check_counts("diverse", k=k)
    shown = _different(tuple(demonstrations), embed, trade_off)(item, k)
    return few_shot(lm, item, shown, prompt=prompt, seed=seed, max_tokens=max_tokens)


def clustered(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    k: int = 4,
    embed: str = "words",
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """Few-shot prompting after the centers of k clusters of the pool, with their given answers.

    embed  as in diverse()
    """
    check_counts("clustered", k=k)
    shown = _centers(tuple(demonstrations), k, embed)
    return few_shot(lm, item, shown, prompt=prompt, seed=seed, max_tokens=max_tokens)


def learned(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    k: int = 4,
    candidates: int = 20,
    kept: int = 3,
    epochs: int = 30,
    embed: str = "words",
    seed: int = 0,
    max_tokens: int = 64,
) -> list:
    """The k demonstrations of a retriever that is trained on what the model finds helpful (EPR).

    candidates, kept, epochs   of in_context.learned_retriever.learn_retriever: each question of the
                pool costs as many scores of its answer as there are candidates
    embed       the features that are learnt from, as in diverse()
    returns     list of Answer or DataError
    """
    check_counts("learned", k=k, candidates=candidates, kept=kept, epochs=epochs)
    pool = list(demonstrations)
    features = _features(tuple(pool), embed)
    options: dict[str, Any] = {"kept": kept, "epochs": epochs, "seed": seed, "prompt": prompt}
    choose = learn_retriever(lm, pool, features, None, candidates, **options)
    answer = {"prompt": prompt, "max_tokens": max_tokens}
    return [
        answer_or_error(few_shot, lm, item, choose(item, k), seed=seed + 1000 * number, **answer)
        for number, item in enumerate(items)
    ]


def self_written(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    k: int = 4,
    embed: str = "words",
    words: int = WORDS,
    steps: int = STEPS,
    seed: int = 0,
    max_tokens: int = 256,
) -> Any:
    """Auto-CoT: chain of thought after the centers of k clusters, whose steps the model wrote.

    demonstrations  the pool; its answers are not read
    words, steps    limits of a simple demonstration (in_context/clusters.py)
    returns         list of Answer or DataError; details of the first: "report". Without a simple
                    demonstration every question is answered zero-shot, with the trigger
    """
    check_counts("self_written", k=k, words=words, steps=steps)
    pool = tuple(demonstrations)
    k = min(k, len(pool))

    def solve(lm, item, seed):
        return zero_shot_cot(lm, item, prompt=prompt, seed=seed, max_tokens=max_tokens)

    limits: dict[str, Any] = {"solve": solve, "words": words, "steps": steps, "seed": seed}
    shown = auto_cot(lm, pool, k, _features(pool, embed), **limits)
    method = zero_shot_cot
    if shown:
        method = chain_of_thought
    options = {"prompt": prompt, "max_tokens": max_tokens}
    answers = [
        answer_or_error(method, lm, item, shown, seed=seed + 1000 * number, **options)
        for number, item in enumerate(items)
    ]
    report = {"clusters": k, "demonstrations": len(shown)}
    for number, demo in enumerate(shown, 1):
        report[f"demonstration {number}"] = f"{demo.question} {demo.rationale}"
    return with_report(answers, report)


# Indexes and embeddings of a pool are made once for all questions.


@lru_cache(maxsize=MOST)
def _near(pool, embed):
    if not embed:
        return selection.NearestByWords(pool)
    return selection.NearestByEmbedding(pool, _features(pool, embed))


@lru_cache(maxsize=MOST)
def _different(pool, embed, trade_off):
    return selection.Diverse(pool, _features(pool, embed), trade_off)


@lru_cache(maxsize=MOST)
def _centers(pool, k, embed):
    vectors = _features(pool, embed)([selection.text_of(demo) for demo in pool])
    clusters = by_cluster(vectors, min(k, len(pool)))
    return [pool[members[0]] for members in clusters if members]


def _features(pool, embed):
    """A function from n texts to (n, D), by its name. ConfigError without a pool or a name."""
    if not pool:
        raise ConfigError("there are no demonstrations to choose from")
    if not embed:
        raise ConfigError('embed must be "words", "minilm" or a folder of a sentence encoder')
    if embed == "words":
        return selection.BagOfWords([selection.text_of(demo) for demo in pool])
    return load_sentence_encoder(embed)
