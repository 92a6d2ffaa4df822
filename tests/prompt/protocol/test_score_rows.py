"""Continuations of prompts read side by side: their probabilities are those of each alone."""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tests.prompt.small import text_model
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.generate.protocol.score import conditional_logprob
from tinylm.prompt.protocol import score_rows as module
from tinylm.prompt.protocol.score_rows import score_rows


def test_many_long_continuations_are_scored_in_parts(monkeypatch):
    lm = text_model()
    texts = ["abc", "abd", "xy", "q", "zzzz"]
    whole = lm.score("A prompt with enough text.", texts).sums
    # Room for the logits of one continuation at a time: the cache is copied for each.
    monkeypatch.setattr("tinylm.prompt.protocol.score_rows.LOGITS", 1)
    parts = text_model().score("A prompt with enough text.", texts).sums
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("logits", [1, 40, 1 << 20])  # 1: a continuation at a time; all at once
def test_every_token_has_its_probability_after_all_before_it(logits, monkeypatch):
    monkeypatch.setattr(module, "LOGITS", logits)
    lm = ModelLM(make_gpt(5, 16))
    rows = [[1, 2, 3], [4]]
    continuations = [[[1], [1, 2, 3, 0], [4, 4]], [[2, 2, 2], [0]]]
    for ids, texts, terms in zip(rows, continuations, score_rows(lm, rows, continuations)):
        for y, found in zip(texts, terms, strict=True):
            expected = conditional_logprob(lm, ids, y, reduction="none")
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
