"""Beam search between greedy and exhaustive search; length penalties; when to stop; diverse groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.generate import EnumerableLM, conditional_logprob, exhaustive_map, generate
from tinylm.generate.strategies.beam import (
    beam_search,
    diverse_beam_search,
    gnmt_penalty,
    power_penalty,
)

V, LENGTH = 3, 4
MANY = V**LENGTH  # a beam of all strings forgets none
seeds = st.integers(0, 10_000)


def all_completions(lm, eos):
    """Every string of LENGTH tokens, or fewer where it ends with eos, with its log-probability."""
    strings, probabilities = lm.all_strings()
    found = {}
    for string, probability in zip(strings.tolist(), probabilities):
        end = string.index(eos) + 1 if eos in string else LENGTH
        found[tuple(string[:end])] = np.log(probability)
    return found


@given(seeds)
def test_a_beam_of_one_is_greedy_search(seed):
    lm = EnumerableLM.random(V, LENGTH, seed, eos=2)
    best = beam_search(lm, [0], LENGTH, width=1, eos=2)[0]
    assert list(best.tokens) == list(generate(lm, [0], LENGTH, temperature=0, eos=2))


@given(seeds)
def test_a_beam_of_all_strings_is_the_exhaustive_search(seed):
    lm = EnumerableLM.random(V, LENGTH, seed, eos=2)
    best = beam_search(lm, [0], LENGTH, width=MANY, eos=2)[0]
    tokens, logprob = exhaustive_map(lm, [0], LENGTH, eos=2)
    assert best.tokens == tokens and abs(best.logprob - logprob) < 1e-12


@given(seeds, st.sampled_from([None, power_penalty(1.0), gnmt_penalty(0.6), power_penalty(2.5)]))
def test_the_n_best_list_of_a_full_beam_is_the_list_of_all_strings_in_order(seed, penalty):
    lm = EnumerableLM.random(V, LENGTH, seed, eos=2)
    score = {y: p / (penalty(len(y)) if penalty else 1) for y, p in all_completions(lm, 2).items()}
    found = beam_search(lm, [0], LENGTH, width=MANY, eos=2, n_best=7, length_penalty=penalty)
    np.testing.assert_allclose(
        [h.score for h in found], sorted(score.values(), reverse=True)[:7], rtol=1e-12
    )
    assert all(abs(h.score - score[h.tokens]) < 1e-12 for h in found)


@given(seeds, st.integers(1, 6))
def test_scores_are_sums_of_token_scores_and_lie_between_nothing_and_the_maximum(seed, width):
    lm = EnumerableLM.random(V, LENGTH, seed)
    found = beam_search(lm, [1], LENGTH, width=width, n_best=width)
    _, most = exhaustive_map(lm, [1], LENGTH)
    assert len(found) == width == len({h.tokens for h in found})
    for h in found:
        assert (
            abs(h.logprob - conditional_logprob(lm, [1], h.tokens)) < 1e-12
            and h.logprob <= most + 1e-12
        )


def test_width_two_finds_what_greedy_search_misses():
    # the book's counter-example: 0.6 x 0.5 = 0.30 < 0.4 x 0.9 = 0.36
    first = np.array([[0.6, 0.4]] * 2)
    second = np.broadcast_to(np.array([[0.5, 0.5], [0.9, 0.1]]), (2, 2, 2))
    lm = EnumerableLM([first, second])
    greedy, beam = (beam_search(lm, [0], 2, width=width)[0] for width in (1, 2))
    assert greedy.tokens == (0, 0) and abs(np.exp(greedy.logprob) - 0.30) < 1e-12
    assert beam.tokens == (1, 0) and abs(np.exp(beam.logprob) - 0.36) < 1e-12


def test_penalties_by_hand():
    assert (power_penalty(0)(7), power_penalty(1)(7)) == (1, 7)
    assert gnmt_penalty(1)(7) == 2 and gnmt_penalty(0.6)(1) == 1  # (5 + 7) / 6 = 2, (5 + 1) / 6 = 1


def test_a_length_penalty_turns_a_short_winner_into_a_long_one():
    # eos = 1 at once: log 0.5 = -0.693. The other way 0.5 x 0.9 x 0.9: -0.904 in all, -0.301 a
    # token
    tables = [
        np.full((2, 2), 0.5),
        np.broadcast_to([0.9, 0.1], (2, 2, 2)),
        np.broadcast_to([0.9, 0.1], (2, 2, 2, 2)),
    ]
    lm = EnumerableLM(tables, eos=1)
    assert beam_search(lm, [0], 3, width=2, eos=1)[0].tokens == (1,)
    best = beam_search(lm, [0], 3, width=2, eos=1, length_penalty=power_penalty(1))[0]
    assert best.tokens == (0, 0, 0) and abs(best.score - np.log(0.405) / 3) < 1e-12


@given(seeds, st.integers(1, 5))
def test_counting_stops_early_and_never_finds_better_strings(seed, width):
    lm = EnumerableLM.random(V, LENGTH, seed, eos=2)
    options = {"width": width, "eos": 2, "length_penalty": power_penalty(1)}
    assert (
        beam_search(lm, [0], LENGTH, stopping="count", **options)[0].score
        <= beam_search(lm, [0], LENGTH, **options)[0].score
    )


def test_a_beam_over_a_transformer_follows_its_cache(gpt):
    model = gpt(vocab_size=5, context=12)
    for h in beam_search(model, [1, 4], 6, width=3, n_best=3, eos=0):
        assert abs(h.logprob - conditional_logprob(model, [1, 4], h.tokens)) < 1e-10


@settings(max_examples=15)
@given(seeds)
def test_groups_that_do_not_mind_each_other_all_find_the_same(seed):
    lm = EnumerableLM.random(V, LENGTH, seed, eos=2)
    alone = beam_search(lm, [0], LENGTH, width=2, eos=2, n_best=2)
    groups = diverse_beam_search(lm, [0], LENGTH, groups=3, width=2, strength=0.0, eos=2)
    assert all([h.tokens for h in group] == [h.tokens for h in alone] for group in groups)


def test_groups_that_mind_a_great_deal_never_choose_the_same_token_at_the_same_step():
    lm = EnumerableLM.random(4, 3, seed=1)
    strings = [
        group[0].tokens
        for group in diverse_beam_search(lm, [0], 3, groups=4, width=1, strength=1e6)
    ]
    for step in zip(*strings):
        assert sorted(step) == [0, 1, 2, 3]  # four groups share four tokens out
    # the cost decides, but is no part of the scores
    assert all(
        abs(group[0].logprob - conditional_logprob(lm, [0], group[0].tokens)) < 1e-12
        for group in diverse_beam_search(lm, [0], 3, groups=4, width=1, strength=1e6)
    )


@pytest.mark.parametrize("bad", [{"width": 0}, {"max_length": 0}, {"stopping": "soon"}], ids=str)
def test_impossible_beams_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        beam_search(EnumerableLM.random(2, 2), [0], **{"max_length": 2, **bad})


@given(seeds)
def test_who_watches_sees_what_is_kept_and_changes_nothing(seed):
    lm = EnumerableLM.random(V, LENGTH, seed, eos=2)
    steps = []
    options = {"width": 2, "eos": 2, "n_best": 2}
    watched = beam_search(lm, [0], LENGTH, watch=steps.append, **options)
    assert watched == beam_search(lm, [0], LENGTH, **options)
    strings, ended = [()], {}
    for looked_at in steps:
        extended = [(*strings[one.parent], one.token) for one in looked_at]
        for string, one in zip(extended, looked_at):
            assert abs(one.total - conditional_logprob(lm, [0], string)) < 1e-12
        fates = [one.fate for one in looked_at]
        assert fates.count("kept") <= 2 and len(fates) <= 4  # twice the width
        strings = [s for s, fate in zip(extended, fates) if fate == "kept"]
        ended |= {s: one.total for s, one in zip(extended, looked_at) if one.fate == "ended"}
    assert {h.tokens for h in watched} <= set(ended)
    assert all(ended[h.tokens] == h.logprob for h in watched)
