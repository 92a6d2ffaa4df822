"""What a model has not read it pays for: text of two domains, and of one."""

import numpy as np
import pytest

from tinylm.data.clean.ngram import CharNGram
from tinylm.data.synthetic.junk import good_page


@pytest.mark.parametrize("seed", [0, 1])
def test_half_of_each_of_two_domains_serves_both_better_than_all_of_one(seed):
    rng = np.random.default_rng(seed)
    pages = [good_page(rng, 2) for _ in range(12)]
    shifted = [
        page.translate({ord(c): ord(c) + 500 for c in "abcdefghijklmnopqrstuvwxyz"})
        for page in pages
    ]
    tests = pages[-1], shifted[-1]  # the last page of each was not read
    one = CharNGram(pages[:10])
    both = CharNGram(pages[:5] + shifted[:5])
    costs = [[model.bits_per_character(text) for text in tests] for model in (one, both)]
    assert sum(costs[1]) < sum(costs[0])
    assert costs[0][0] < costs[1][0] + 0.1  # in its own domain the narrow model lost nothing
