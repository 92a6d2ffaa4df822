"""Few good samples: chosen by a judge's score, or by length   (book section 4.2.3).

A thousand curated samples can tune a model as well as tens of thousands (Zhou et al. 2023, LIMA).
AlpaGasus lets a model score every sample, and keeps those above a threshold (Chen et al. 2024);
the longest answers are a baseline that is hard to beat (Zhao et al. 2024). How well scores find bad
samples is the area under their ROC curve. Read next: clusters.py.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.data.clean.words import words
from tinylm.data.read.instructions import Instruction
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import render_fields

JUDGE = (
    "Please rate the response to the instruction and the input below by its accuracy, on a scale "
    "from 0 to 5, where a higher score is better. Write the score first."
)
THRESHOLD = 4.5  # of 5   (Chen et al. 2024)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def judge_prompt(sample: Instruction) -> str:
    """The prompt for the score of a sample, 0 to 5: str."""
    fields = [("", JUDGE), ("Instruction", sample.instruction)]
    if sample.input:
        fields.append(("Input", sample.input))
    return render_fields([*fields, ("Response", sample.output), ("Score", None)])


def lm_judge(lm: TextLM, *, seed: int = 0, max_tokens: int = 16, **sampling: Any) -> Callable:
    """A judge: function Instruction -> score from 0 to 5, or nan if the reply has none.

    lm       TextLM
    """

    def judge(sample):
        reply = lm.complete(judge_prompt(sample), seed=seed, max_tokens=max_tokens, **sampling)
        found = _NUMBER.search(reply.text)
        score = float("nan")
        if found and float(found[0]) <= 5:
            score = float(found[0])
        return lm.parsed("score", score)

    return judge


def score_with_judge(judge: Callable, samples: Sequence[Instruction]) -> np.ndarray:
    """The score of each sample: (n,) float64.

    judge    function sample -> number, larger is better; nan if it has no opinion
    """
    return np.array([judge(sample) for sample in samples], np.float64)


def top_quality(
    scores: np.ndarray, *, k: int | None = None, threshold: float | None = None
) -> np.ndarray:
    """The numbers of the best samples: the k best, or all with `threshold` or more.

    scores   (n,); a sample with nan is never chosen
    returns  (m,) int, best first, of equal scores the earlier one
    raises   ConfigError unless one of k and threshold is given, or for a k that is not 0 .. n;
             DataError if fewer than k samples have a score
    """
    scores = np.asarray(scores, np.float64)
    if (k is None) == (threshold is None):
        raise ConfigError("top_quality: give either k or threshold")
    order = np.argsort(-scores, kind="stable")
    order = order[~np.isnan(scores[order])]
    if threshold is not None:
        return order[scores[order] >= threshold]
    if not 0 <= k <= len(scores):
        raise ConfigError(f"top_quality: k={k} of {len(scores)} samples")
    if k > len(order):
        raise DataError(f"top_quality: {k} are wanted and {len(order)} samples have a score")
    return order[:k]


def longest(
    samples: Sequence[Instruction], k: int, length: int = lambda sample: len(words(sample.output))
) -> np.ndarray:
    """The numbers of the k samples with the longest answers, the longest first   (Zhao et al. 2024)

    length   function sample -> number; words of the output unless given
    """
    return top_quality([length(sample) for sample in samples], k=k)


def detection(scores: np.ndarray, good: np.ndarray) -> float:
    """The probability that a good sample has a higher score than a bad one: the area under the ROC
    curve, where a tie counts half   (Mann and Whitney 1947)

    scores   (n,);  good (n,) bool
    returns  float: 1/2 for a judge that knows nothing
    raises   DataError without a good or a bad sample; ShapeError for unequal numbers
    """
    scores, good = np.asarray(scores, np.float64), np.asarray(good, bool)
    if scores.shape != good.shape:
        raise ShapeError(f"detection: {scores.shape} scores for {good.shape} samples")
    if good.all() or not good.any():
        raise DataError("detection: it compares good samples with bad ones, and needs both")
    gap = scores[good][:, None] - scores[~good]  # (good, bad)
    return float(((gap > 0) + (gap == 0) / 2).mean())
