"""A small model chooses data."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.selection import cross_entropies, detection, perplexity_filter, rank_by_ce
from tinylm.align.supervised import plain_text
from tinylm.errors import ConfigError
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.generate import conditional_logprob

LOSSES = [2.0, 0.5, 3.0, 1.0]


def test_it_is_minus_the_mean_log_probability_of_a_token_in_any_batch():
    m = model()
    sequences = [[0, 1, 2, 3], [0, 4], encode_sft([0, 1, 2], [3, 4])]
    found = cross_entropies(m, sequences)
    expected = [
        -conditional_logprob(m, [0], [1, 2, 3]) / 3,
        -conditional_logprob(m, [0], [4]),
        -conditional_logprob(m, [0, 1, 2], [3, 4]) / 2,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(cross_entropies(m, sequences, batch_size=1), found, rtol=1e-12)
    assert len(cross_entropies(m, [])) == 0


def test_planted_noise_has_higher_cross_entropy():
    rng = np.random.default_rng(0)
    # Texts go round a cycle of six tokens from any start; noise is the same tokens shuffled.
    texts = [[0, *((s + np.arange(12)) % 6 + 1).tolist()] for s in range(29)]
    noise = [[0, *rng.permutation(text[1:]).tolist()] for text in texts[20:]]
    small = model(np.float32)
    fit(
        small,
        InstructionTuning(),
        [plain_text(text) for text in texts[:20]],
        epochs=40,
        batch_size=10,
        learning_rate=1e-2,
    )
    mixed, good = [*texts[20:], *noise], np.arange(18) < 9
    losses = cross_entropies(small, mixed)
    assert detection(-losses, good) > 0.95
    assert perplexity_filter(losses, keep_fraction=0.5).tolist() == list(range(9))


def test_the_most_probable_are_kept_in_their_order():
    assert rank_by_ce(LOSSES).tolist() == [1, 3, 0, 2]
    assert perplexity_filter(LOSSES, max_ce=2.0).tolist() == [0, 1, 3]  # the limit itself is kept
    assert perplexity_filter(LOSSES, keep_fraction=0.5).tolist() == [1, 3]
    assert perplexity_filter(LOSSES, keep_fraction=0.51).tolist() == [0, 1, 3]  # rounded up
    many = perplexity_filter(np.arange(100.0), keep_fraction=0.07)
    assert many.tolist() == list(range(7))  # .07 * 100 is 7.000000000000001
    assert perplexity_filter(LOSSES, keep_fraction=1).tolist() == [0, 1, 2, 3]
    assert perplexity_filter(LOSSES, keep_fraction=0).tolist() == []


@pytest.mark.parametrize(
    "options",
    [{}, {"max_ce": 1, "keep_fraction": 1}, {"keep_fraction": 1.1}, {"keep_fraction": -0.1}],
)
def test_one_criterion_is_given(options):
    with pytest.raises(ConfigError, match="perplexity_filter"):
        perplexity_filter(LOSSES, **options)
