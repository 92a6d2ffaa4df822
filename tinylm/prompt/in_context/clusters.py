"""Demonstrations without a person: different questions, answered by the model itself   (book
section 3.3.1; Zhang et al. 2023, Auto-CoT).

Questions are clustered by their embeddings, and each cluster gives one demonstration, so they
differ: similar demonstrations with the same mistake mislead. In a cluster the question nearest to
the center comes first; the model writes its rationale zero-shot, and the first simple one is kept:
a short question, few steps, an answer that the rationale names. Gold answers are not used. Read
next: sensitivity.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tinylm.data.read.items import Item
from tinylm.generate.retrieval.neighbors import k_means, knn_search
from tinylm.prompt.in_context.selection import text_of
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.chain_of_thought import TRIGGERS, zero_shot_cot

WORDS, STEPS = 60, 5  # most words of a question and lines of a rationale (Zhang et al., section 5)


def by_cluster(vectors: np.ndarray, k: int, seed: int = 0) -> list[list[int]]:
    """The members of k clusters, in each the nearest to its center first.

    vectors  (n, D) embeddings, n >= k
    returns  list of k lists of row numbers
    """
    vectors = np.asarray(vectors, np.float64)
    centers, cluster_of = k_means(vectors, k, seed)
    found = []
    for cluster in range(k):
        members = np.flatnonzero(cluster_of == cluster)
        if not len(members):  # equal points: two centers are one
            found.append([])
            continue
        _, order = knn_search(centers[cluster][None], vectors[members], len(members))
        found.append(members[order[0]].tolist())
    return found


def is_simple(
    item: Item, answer: str | None, rationale: str, words: int = WORDS, steps: int = STEPS
) -> bool:
    """Whether a worked question may be a demonstration: short, of few steps, its answer derived.

    answer     str, or None: the reply had none
    rationale  str
    """
    lines = [line for line in rationale.split("\n") if line.strip()]
    if answer is None or answer not in rationale:
        return False
    return len(text_of(item).split()) <= words and len(lines) <= steps


def auto_cot(
    lm: TextLM,
    pool: Sequence[Item],
    k: int,
    embed: Callable,
    *,
    solve: Callable = zero_shot_cot,
    opening: str = TRIGGERS[0],
    seed: int = 0,
    words: int = WORDS,
    steps: int = STEPS,
) -> list[Item]:
    """At most k demonstrations with rationales that the model wrote.

    lm            TextLM
    pool          list of Items; only their questions are used
    embed         function from n texts to (n, D)
    solve         method (lm, item, seed=) -> Answer that reasons without demonstrations; the
                  rationale is its details["rationale"], or else its text
    opening       sentence put before every rationale, or ""
    words, steps  limits of a simple demonstration
    returns       list of Items with answer and rationale, in the order of the clusters; a cluster
                  without a simple one has none
    """
    pool = list(pool)
    demonstrations = []
    for members in by_cluster(embed([text_of(item) for item in pool]), k, seed):
        for i in members:
            # The model sees the question alone, as it would a new one.
            asked = replace(pool[i], answer=None, rationale="")
            answer = solve(lm, asked, seed=seed)
            rationale = answer.details.get("rationale", answer.text).strip()
            if is_simple(asked, answer.value, rationale, words, steps):
                shown = f"{opening} {rationale}".strip()
                demonstrations.append(replace(asked, answer=answer.value, rationale=shown))
                break
    return demonstrations
