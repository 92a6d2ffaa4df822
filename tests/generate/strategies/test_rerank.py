"""Re-ranking: sums of hand-computed scores, batches that do not change them."""

import numpy as np
import pytest

from tinylm.errors import ShapeError
from tinylm.generate import conditional_logprob
from tinylm.generate.strategies.rerank import rescore_nbest, score_candidates

CANDIDATES = [([1, 2, 3], -1.0), ([4], -1.5), ([2, 2, 2, 2, 2], -2.0), ([], -9.0), ([4, 1], -1.0)]


def test_scores_in_a_batch_are_those_of_each_candidate_alone(gpt):
    model = gpt()
    alone = [conditional_logprob(model, [0, 3], y) if y else 0.0 for y, _ in CANDIDATES]
    np.testing.assert_allclose(
        score_candidates(model, [y for y, _ in CANDIDATES], [0, 3]), alone, rtol=0, atol=1e-12
    )


def test_weight_zero_keeps_the_order_of_the_base_scores(gpt):
    ranked = rescore_nbest(CANDIDATES, gpt(), 0.0, [0])
    assert [r.tokens for r in ranked] == [
        (1, 2, 3),
        (4, 1),
        (4,),
        (2, 2, 2, 2, 2),
        (),
    ]  # equals keep their order


@pytest.mark.parametrize("weight, reward", [(0.3, 0.0), (1.0, 0.0), (1.0, 2.0), (-1.0, 0.0)])
def test_the_order_is_that_of_sums_by_hand(gpt, weight, reward):
    model = gpt()
    by_hand = {
        tuple(y): base + weight * (conditional_logprob(model, [0], y) if y else 0) + reward * len(y)
        for y, base in CANDIDATES
    }
    ranked = rescore_nbest(CANDIDATES, model, weight, [0], reward)
    assert [r.tokens for r in ranked] == sorted(by_hand, key=lambda y: -by_hand[y])
    assert all(abs(r.score - by_hand[r.tokens]) < 1e-12 for r in ranked)


def test_an_empty_list_stays_empty_and_an_empty_context_is_refused(gpt):
    assert rescore_nbest([], gpt(), 1.0, [0]) == []
    with pytest.raises(ShapeError, match="context is empty"):
        score_candidates(gpt(), [[0]], [])
