"""A retriever of demonstrations that learns from the model itself which of them help   (book
section 3.3.1; Rubin et al. 2022, EPR).

A demonstration helps if the right answer becomes likely after it: s(c) = log Pr(y | c, x). For
every question of a pool, candidates are scored so; the best are positives, the worst negatives. Two
encoders learn to put a question next to its positives:

    loss = - log  exp(q . c+) / (exp(q . c+) + sum over negatives c- of exp(q . c-))

where the negatives of a question are its own and all demonstrations of the other questions of the
batch (van den Oord et al. 2018, InfoNCE). Encoders are linear maps of features that are handed in:
words (selection.BagOfWords) or embeddings. Read next: clusters.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import DType, Random
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.fitting import fit
from tinylm.nn.linear import Linear
from tinylm.nn.module import Module
from tinylm.pretrain.batch import Batch
from tinylm.pretrain.discriminative.contrastive import info_nce
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.selection import BagOfWords, NearestByWords, first_allowed, text_of
from tinylm.prompt.protocol.text_lm import TextLM


def likelihoods(
    lm: TextLM, item: Item, demonstrations: Sequence[Item], prompt: FewShotPrompt | None = None
) -> np.ndarray:
    """log Pr(answer | demonstration, question) after each demonstration alone: (n,) float64.

    lm              TextLM
    demonstrations  Items with answers
    prompt          FewShotPrompt; None: "Q: .. A: .."
    """
    prompt = prompt or FewShotPrompt()
    prompts = [prompt.prompt(item, [demo]) for demo in demonstrations]
    ending = prompt.continuation(item, item.answer)
    return np.array([scores.sums[0] for scores in lm.score_batch(prompts, [ending])])


@dataclass
class Contrast:
    """A question of a pool, demonstrations that help it most, and those that help it least.

    question, positives, negatives  numbers in the pool: int, and two tuples
    """

    question: int
    positives: tuple
    negatives: tuple


def contrasts(
    lm: TextLM,
    pool: Sequence[Item],
    nearest: NearestByWords,
    candidates: int = 50,
    kept: int = 5,
    prompt: FewShotPrompt | None = None,
) -> list[Contrast]:
    """What a model finds helpful: a Contrast for every question of a pool.

    nearest     selector that proposes candidates (selection.py)
    candidates  scored for each question; the paper's number
    kept        positives, and negatives
    raises      DataError for a pool of fewer than three, or an item without answer
    """
    pool = list(pool)
    if len(pool) < 3 or any(item.answer is None for item in pool):
        raise DataError(
            f"a retriever learns from three items with answers or more; of {len(pool)}, "
            f"{sum(item.answer is None for item in pool)} have none"
        )
    number = {item: i for i, item in enumerate(pool)}
    found = []
    for i, item in enumerate(pool):
        near = nearest(item, candidates)
        if len(near) < 2:
            continue  # nothing to contrast
        order = np.argsort(-likelihoods(lm, item, near, prompt), kind="stable")
        ranked = [number[near[j]] for j in order]
        n = min(kept, len(ranked) // 2)  # none is both
        found.append(Contrast(i, tuple(ranked[:n]), tuple(ranked[-n:])))
    return found


class TwoEncoders(Module):
    """Linear maps of the features of questions and of demonstrations into one space: (n, D) each.

    d_features  width of the features;  d_model  D
    """

    def __init__(
        self, d_features: int, d_model: int, seed: int = 0, dtype: DType = np.float32
    ) -> None:
        rng = Random(seed, "retriever")
        std = d_features**-0.5  # keeps the size of a vector of independent entries
        sizes = {"bias": False, "std": std, "dtype": dtype}
        self.question = Linear(d_features, d_model, rng.child("question"), **sizes)
        self.demonstration = Linear(d_features, d_model, rng.child("demonstration"), **sizes)


@dataclass(frozen=True)
class _ContrastBatch(Batch):
    """Features of questions in `inputs` (B, d), the numbers of their positives in `targets` (B, 1).

    candidates  (B, 2, d) features of each question's positive and negative, so that a part of a
                batch keeps those of its questions;  numbers  (B, 2) in the pool
    """

    candidates: np.ndarray = None
    numbers: np.ndarray = None


class RetrievalTask:
    """The task of fitting.fit: one positive and one negative of each question, drawn anew.

    asked, shown  (n, d) features of the pool's questions and demonstrations
    Check: tinylm gradcheck prompt.RetrievalTask
    """

    def __init__(self, asked: np.ndarray, shown: np.ndarray) -> None:
        self.asked, self.shown = asked, shown

    def make_batch(self, examples: Sequence[Contrast], rng: Random) -> _ContrastBatch:
        """A batch of Contrasts."""
        drawn = []
        for name in ("positives", "negatives"):
            for example in examples:
                numbers = getattr(example, name)
                drawn.append(numbers[int(rng.integers(0, len(numbers)))])
        numbers = np.array(drawn).reshape(2, -1).T  # (2 B,) -> (B, 2)
        questions = self.asked[[example.question for example in examples]]
        return _ContrastBatch(questions, numbers[:, :1], self.shown[numbers], numbers)

    def loss(self, model: TwoEncoders, batch: _ContrastBatch) -> tuple[Tensor, dict[str, float]]:
        """(InfoNCE, its counts). What is a question's positive is never its negative too."""
        numbers = batch.numbers.T.reshape(-1)  # (2 B,): first all positives, then all negatives
        excluded = numbers[None, :] == batch.targets  # (B, 2 B)
        np.fill_diagonal(excluded, False)
        shown = batch.candidates.swapaxes(0, 1).reshape(len(numbers), -1)  # (2 B, d)
        questions = model.question(Tensor(batch.inputs))  # (B, D)
        scores = questions @ model.demonstration(Tensor(shown)).T  # (B, D) @ (D, 2 B)
        loss = info_nce(scores, excluded)
        return loss, {"tokens": len(batch), "loss": float(loss.item())}


class LearnedRetriever:
    """A selector (selection.py) by the inner product of learnt encodings.

    pool      list of Items with answers
    features  function from n texts to (n, d)
    model     TwoEncoders
    """

    def __init__(self, pool: Sequence[Item], features: BagOfWords, model: TwoEncoders) -> None:
        self.pool, self.features, self.model = list(pool), features, model
        shown = _rows(features, map(shown_text, self.pool), model)
        with no_grad():
            self.keys = model.demonstration(Tensor(shown)).data  # (n, D)

    def ranked(self, item: Item) -> np.ndarray:
        """All demonstrations, best first: (n,) integers; of equal scores the earlier first."""
        with no_grad():
            query = self.model.question(Tensor(_rows(self.features, [text_of(item)], self.model)))
        return np.argsort(-(self.keys @ query.data[0]), kind="stable")

    def __call__(self, item: Item, k: int) -> list[Item]:
        return first_allowed(self.ranked(item), self.pool, item, k)


def learn_retriever(
    lm: TextLM,
    pool: Sequence[Item],
    features: BagOfWords,
    nearest: NearestByWords | None = None,
    candidates: int = 50,
    kept: int = 5,
    d_model: int = 64,
    epochs: int = 30,
    learning_rate: float = 1e-2,
    batch_size: int = 32,
    seed: int = 0,
    prompt: FewShotPrompt | None = None,
) -> LearnedRetriever:
    """Train a retriever of demonstrations from a pool for a model: LearnedRetriever.

    features         function from n texts to (n, d), such as selection.BagOfWords
    nearest          selector that proposes candidates; None: NearestByWords
    candidates, kept as in contrasts();  prompt  FewShotPrompt
    raises           ConfigError for kept below 1
    """
    if kept < 1:
        raise ConfigError(f"learn_retriever: kept {kept} must be 1 or more")
    pool = list(pool)
    examples = contrasts(lm, pool, nearest or NearestByWords(pool), candidates, kept, prompt)
    width = np.shape(features([text_of(pool[0])]))[1]
    model = TwoEncoders(width, d_model, seed)
    asked, shown = (_rows(features, map(f, pool), model) for f in (text_of, shown_text))
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    fit(model, RetrievalTask(asked, shown), examples, **settings)
    return LearnedRetriever(pool, features, model)


def shown_text(item: Item) -> str:
    """The text of a demonstration: question and answer."""
    return f"{text_of(item)}\n{item.answer}"


def _rows(features, texts, model):
    """Features of texts in the dtype of a model: (n, d)."""
    return np.asarray(features(list(texts)), model.question.weight.dtype)
