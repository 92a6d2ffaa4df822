"""Copies are found, and nothing else."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean.dedup import (
    ExactDuplicates,
    MinHash,
    NearDuplicates,
    choose_bands,
    jaccard,
    lsh_probability,
    shingles,
)
from tinylm.data.clean.words import words
from tinylm.data.synthetic.junk import good_page
from tinylm.errors import ConfigError


def edited(text, changes, rng):
    """`text` with that many words replaced by words of no other text."""
    words = text.split()
    for place in rng.choice(len(words), changes, replace=False):
        words[place] = f"new{rng.integers(1 << 30)}"
    return " ".join(words)


def test_exact_copies_differ_in_white_space_alone():
    rule = ExactDuplicates()
    assert [rule(text) for text in ("a b", "a  b\n", "a c", "a b", "")] == [
        True,
        False,
        True,
        False,
        True,
    ]


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12), st.integers(1, 4))
def test_shingles_are_the_distinct_ngrams(words, n):
    n_or_all = min(n, max(len(words), 1))
    distinct = {tuple(words[i : i + n_or_all]) for i in range(max(len(words) - n_or_all + 1, 1))}
    assert len(shingles(" ".join(words), n)) == len(distinct)


def test_the_similarity_of_texts_is_that_of_their_ngrams():
    a, b = "one two three four five six", "one two three four five seven"
    grams = [{tuple(words(t)[i : i + 3]) for i in range(4)} for t in (a, b)]
    assert (
        jaccard(shingles(a, 3), shingles(b, 3))
        == len(grams[0] & grams[1]) / len(grams[0] | grams[1])
        == 3 / 5
    )


@pytest.mark.parametrize("changes", [0, 2, 5, 15])
def test_signatures_estimate_the_similarity(changes):
    rng, errors, exact = np.random.default_rng(changes), [], []
    minhash = MinHash(128)
    for _ in range(20):
        a = good_page(rng)
        b = edited(a, changes, rng)
        exact.append(jaccard(shingles(a), shingles(b)))
        errors.append((minhash(a) == minhash(b)).mean() - exact[-1])
    s = np.mean(exact)
    # The estimate is a mean of 128 trials: standard deviation sqrt(s (1 - s) / 128), and of the
    # mean of 20 of them a root of 20 less. The orders are the same for all 20, so allow five times
    # that and not four.
    assert abs(np.mean(errors)) <= 5 * np.sqrt(s * (1 - s) / 128 / 20) + 1e-12


def test_bands_find_what_they_promise():
    for similarity in (0.5, 0.8, 0.95):
        bands, rows = choose_bands(128, similarity, 0.95)
        assert bands * rows <= 128 and lsh_probability(similarity, bands, rows) >= 0.95
        assert (
            lsh_probability(similarity, 128 // (rows + 1), rows + 1) < 0.95
        )  # one row more would miss more
    assert lsh_probability(0.0, 9, 5) == 0 and lsh_probability(1.0, 9, 5) == 1


def test_recall_and_precision_against_brute_force():
    # 60 pages and an edited copy of each, of similarities around the threshold. Brute force
    # compares the word n-grams of all pairs. Near the threshold the estimate of 128 entries errs by
    # sqrt(0.7 * 0.3 / 128) = 0.04, so pairs within 0.08 of it are nobody's fault; of the others all
    # must be found and none invented.
    rng, similarity, margin = np.random.default_rng(0), 0.7, 0.08
    pages = [good_page(rng) for _ in range(60)]
    texts = pages + [edited(page, int(rng.integers(1, 16)), rng) for page in pages]
    grams = [shingles(text) for text in texts]
    nearest = [
        max((jaccard(grams[i], grams[j]) for j in range(i)), default=0.0) for i in range(len(texts))
    ]
    rule = NearDuplicates(similarity)
    dropped = [not rule(text) for text in texts]
    sure = [d for d, s in zip(dropped, nearest) if s >= similarity + margin]
    clear = [d for d, s in zip(dropped, nearest) if s < similarity - margin]
    assert len(sure) >= 15 and len(clear) >= 60
    # chance of missing one at 0.78: (1 - 0.78^rows)^bands with the bands chosen is below 1 %
    assert lsh_probability(similarity + margin, rule.bands, rule.rows) > 0.99
    assert sum(sure) / len(sure) == 1.0 and sum(clear) == 0


def test_a_kept_text_is_never_near_a_kept_text():
    rng, rule = np.random.default_rng(3), NearDuplicates(0.6)
    page = good_page(rng)
    kept = [
        t
        for t in [page, *(edited(page, n, rng) for n in (1, 2, 30, 60)), good_page(rng)]
        if rule(t)
    ]
    signatures = [rule.minhash(t) for t in kept]
    assert len(kept) >= 3 and all(
        (a == b).mean() < 0.6 for a, b in itertools.combinations(signatures, 2)
    )
    assert [NearDuplicates(0.6)(t) for t in kept] == [True] * len(kept)  # what was kept stays


def test_many_texts_make_room():
    rule, rng = NearDuplicates(length=16), np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(0, 10**6, 20))) for _ in range(200)]  # 64 fit at first
    assert all(map(rule, texts)) and not any(map(rule, texts))


def test_empty_texts_are_copies_of_each_other():
    rule = NearDuplicates()
    assert rule("") and not rule(" \n") and rule("word")
    assert rule("...")  # a text without letters is no empty text


def test_a_similarity_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"similarity is 1.5"):
        NearDuplicates(1.5)


def test_a_copy_is_one_however_its_letters_are_written():
    new = ExactDuplicates()
    assert new("Caf\u00e9 one") and not new("Cafe\u0301  one") and new("Cafe one")
