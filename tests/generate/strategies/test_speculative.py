"""Speculative decoding gives the large model's distribution, whatever drafts."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.generate import EnumerableLM, Sampling, generate
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import filtered, probabilities
from tinylm.generate.strategies.speculative import acceptance, residual, speculative_generate, take

weights = st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(any)


@given(weights, weights)
def test_accepting_and_drawing_again_gives_the_target_exactly(p, q):
    # in fractions, so that "exactly" is meant: q min(1, p/q) + (refused mass) residual = p
    p, q = ([Fraction(n, sum(row)) for n in row] for row in (p, q))
    accepted = [q[x] * min(1, p[x] / q[x]) if q[x] else 0 for x in range(4)]
    left = [max(a - b, Fraction(0)) for a, b in zip(p, q)]
    again = [(1 - sum(accepted)) * part / sum(left) if sum(left) else 0 for part in left]
    assert [a + b for a, b in zip(accepted, again)] == p
    # and the code computes these
    P, Q = np.array(p, float), np.array(q, float)
    rounding = 1e-15 * 4
    assert all(
        abs(acceptance(P, Q, x) - float(min(1, p[x] / q[x]))) < rounding for x in range(4) if q[x]
    )
    if sum(left):
        np.testing.assert_allclose(
            residual(P, Q), np.array([part / sum(left) for part in left], float), atol=2e-15
        )
    else:
        np.testing.assert_array_equal(residual(P, Q), P)


def test_taking_never_gives_a_token_of_probability_zero():
    p = np.array([0.0, 0.5, 0.0, 0.5, 0.0])
    assert [take(p, u) for u in (0.0, 0.499, 0.5, np.nextafter(1, 0))] == [1, 1, 3, 3]


def sampled(lm, draft, runs, **options):
    counts = np.zeros((lm.vocab_size,) * lm.context)
    accepted = drafted = 0
    for seed in range(runs):
        found = speculative_generate(lm, draft, [0], lm.context, seed=seed, **options)
        counts[tuple(found.tokens)] += 1
        accepted, drafted = accepted + found.accepted, drafted + found.drafted
    return counts.ravel(), accepted / drafted


def exact(lm, sampling):
    """Probability of every string when each step draws from the filtered distribution."""
    strings, _ = lm.all_strings()

    def step(prefix):
        return probabilities(filtered(lm.next_logits(np.array([prefix])), sampling))[0]

    return np.array(
        [
            np.prod([step([0, *string[:i]])[string[i]] for i in range(len(string))])
            for string in strings
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("lookahead", [1, 2, 5])
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7, "top_k": 2}], ids=["plain", "filtered"]
)
def test_strings_have_the_large_models_distribution(lookahead, options, assert_sampled_from):
    lm, draft = EnumerableLM.random(3, 3, seed=0), EnumerableLM.random(3, 3, seed=1)
    counts, _ = sampled(lm, draft, 4000, lookahead=lookahead, **options)
    assert_sampled_from(counts, exact(lm, Sampling(**options)))


def test_strings_have_the_large_models_distribution_in_short(assert_sampled_from):
    lm, draft = EnumerableLM.random(2, 3, seed=2), EnumerableLM.random(2, 3, seed=3)
    counts, _ = sampled(lm, draft, 1500, lookahead=2)
    assert_sampled_from(counts, exact(lm, Sampling()))


def test_a_draft_like_the_model_is_always_accepted_and_saves_readings():
    lm = EnumerableLM.random(3, 4, seed=0)
    found = speculative_generate(lm, lm, [0], 4, lookahead=3)
    assert found.acceptance_rate == 1 and (found.drafted, found.readings) == (
        3,
        1,
    )  # three drafted, one for free


def test_a_draft_is_accepted_as_often_as_the_distributions_overlap():
    # one token drafted a run: min(p, q) in sum. 2,000 runs: standard error at most sqrt(.25 / 2000)
    # = 0.0112; five of them
    lm, draft = EnumerableLM.random(3, 2, seed=0), EnumerableLM.random(3, 2, seed=1)
    start = np.array([[0]])
    p, q = (np.exp(log_probabilities(model.next_logits(start)))[0] for model in (lm, draft))
    _, rate = sampled(lm, draft, 2000, lookahead=1)
    assert abs(rate - np.minimum(p, q).sum()) < 5 * 0.0112


@pytest.mark.parametrize("lookahead", [1, 3, 7])
def test_greedy_speculation_is_greedy_decoding_on_transformers(gpt, lookahead):
    model, draft = gpt(context=24), gpt(context=24, seed=1, n_layer=1)
    found = speculative_generate(model, draft, [1, 2], 20, lookahead, temperature=0)
    assert found.tokens == list(generate(model, [1, 2], 20, temperature=0))
    assert found.readings < 20 or found.accepted == 0


def test_it_ends_with_the_end_token(gpt):
    model, draft = gpt(context=24), gpt(context=24, seed=1)
    for seed in range(10):
        tokens = speculative_generate(model, draft, [1], 20, 4, seed=seed, eos=2).tokens
        assert 2 not in tokens[:-1] and (tokens[-1] == 2 or len(tokens) == 20)


def test_models_that_do_not_fit_are_refused(gpt):
    model = gpt(context=8)
    for draft, count, options, words in [
        (gpt(vocab_size=6), 2, {}, "vocabularies"),
        (model, 9, {}, "do not fit"),
        (model, 2, {"lookahead": 0}, "lookahead"),
        (model, 2, {"repetition_penalty": 1.5}, "repetition penalty"),
    ]:
        with pytest.raises(ConfigError, match=words):
            speculative_generate(model, draft, [0], count, **options)


@given(st.integers(0, 10_000))
def test_who_watches_sees_the_rounds_and_changes_nothing(seed):
    lm, draft = (EnumerableLM.random(4, 4, seed=s) for s in (seed, seed + 1))
    rounds = []
    options = {"seed": seed, "temperature": 1.0}
    watched = speculative_generate(lm, draft, [0], 4, 2, watch=rounds.append, **options)
    assert watched == speculative_generate(lm, draft, [0], 4, 2, **options)
    assert [token for one in rounds for token in one.taken] == watched.tokens
    assert sum(len(one.uniforms) for one in rounds) == watched.drafted
    assert len(rounds) == watched.readings
    kept = 0
    for one in rounds:
        chances = [acceptance(p, q, token) for p, q, token in zip(one.p, one.q, one.guesses)]
        accepted = [u < chance for u, chance in zip(one.uniforms, chances)]
        assert False not in accepted[:-1]  # the first rejection ends a round
        n = sum(accepted)
        assert one.taken[:n] == one.guesses[:n] and len(one.taken) == n + 1
        kept += n
    assert kept == watched.accepted
