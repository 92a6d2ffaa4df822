"""Contrastive decoding and search against their formulas computed without caches."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.generate import EnumerableLM, ModelLM, generate
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.strategies.contrastive import (
    contrastive_decode,
    contrastive_scores,
    contrastive_search,
)


def test_scores_by_hand():
    expert, amateur = np.log([[0.5, 0.4, 0.06, 0.04]]), np.log([[0.8, 0.1, 0.05, 0.05]])
    # plausible from 0.1 x 0.5 = 0.05 on: 0.04 is out, though its ratio 0.8 beats token 0's 0.625;
    # 0.4 / 0.1 wins
    scores = contrastive_scores(expert, amateur, 0.1)
    np.testing.assert_allclose(scores[0, :3], np.log([0.5 / 0.8, 4.0, 1.2]), rtol=1e-12)
    assert scores[0, 3] == -np.inf and scores.argmax() == 1


def test_decoding_takes_the_best_score_at_every_step(gpt):
    expert, amateur, sequence = gpt(context=16), gpt(context=16, seed=1, n_layer=1), [1]
    for _ in range(12):
        scores = [ModelLM(model).logits(np.array([sequence]))[0, -1] for model in (expert, amateur)]
        sequence.append(int(contrastive_scores(*scores, 0.2).argmax()))
    assert contrastive_decode(expert, amateur, [1], 12, 0.2) == sequence[1:]


def test_alpha_one_is_greedy_decoding(gpt):
    expert, amateur = gpt(context=16), gpt(context=16, seed=1)
    assert contrastive_decode(expert, amateur, [1], 12, 1.0) == list(
        generate(expert, [1], 12, temperature=0)
    )


def searched(lm, sequence, k, alpha):
    """One step of contrastive search from its definition, everything read anew."""
    hidden, logits = lm.hidden_and_logits(np.array([sequence]))
    p = np.exp(log_probabilities(logits[0, -1]))

    def score(token):
        after = lm.hidden_and_logits(np.array([[*sequence, token]]))[0][0, -1]
        cosines = hidden[0] @ after / (np.linalg.norm(hidden[0], axis=1) * np.linalg.norm(after))
        return (1 - alpha) * p[token] - alpha * cosines.max()

    return max(np.argsort(-p, kind="stable")[:k].tolist(), key=score)


@pytest.mark.parametrize("k, alpha", [(2, 0.3), (4, 0.6), (5, 1.0)])
def test_search_takes_what_the_formula_says(gpt, k, alpha):
    model, sequence = gpt(context=16, positions="rope"), [1, 3]
    for _ in range(10):
        sequence.append(searched(ModelLM(model), sequence, k, alpha))
    assert contrastive_search(model, [1, 3], 10, k, alpha) == sequence[2:]


@pytest.mark.parametrize("options", [{"k": 1}, {"alpha": 0.0}], ids=str)
def test_without_choice_or_penalty_it_is_greedy_search(gpt, options):
    model = gpt(context=16)
    assert contrastive_search(model, [1], 12, **options) == list(
        generate(model, [1], 12, temperature=0)
    )


def test_both_end_with_the_end_token(gpt):
    model = gpt(context=32)
    free = contrastive_search(model, [1], 20)
    assert contrastive_search(model, [1], 20, eos=free[3]) == free[: free.index(free[3]) + 1]
    free = contrastive_decode(model, gpt(context=32, seed=1), [1], 20)
    assert (
        contrastive_decode(model, gpt(context=32, seed=1), [1], 20, eos=free[3])
        == free[: free.index(free[3]) + 1]
    )


def test_what_cannot_be_is_refused(gpt):
    with pytest.raises(ConfigError, match="hidden states"):
        contrastive_search(EnumerableLM.random(2, 2), [0], 1)
    with pytest.raises(ConfigError, match="alpha 2"):
        contrastive_search(gpt(), [0], 1, alpha=2)
    with pytest.raises(ConfigError, match="vocabularies"):
        contrastive_decode(gpt(), gpt(vocab_size=6), [0], 1)
