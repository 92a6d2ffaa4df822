"""The text comes back, in as many bits as the loss says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import DataError
from tinylm.generate import EnumerableLM, ModelLM
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.measure.compression import (
    BITS,
    HEADER,
    TOTAL,
    Decoder,
    Encoder,
    compress,
    counts,
    decompress,
    encode_tokens,
)

# A token: the interval is cut at 62 bits for counts of 32, so its width is off by at most 2^-28 of
# itself (it is never narrower than 2^60), and counts are off by V / 2^32 of a probability: for V <=
# 256 together below 1e-7 bits.
PER_TOKEN = 1e-7


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=9))
def test_counts_are_whole_positive_and_sum_to_two_to_the_32(logits):
    found = counts(np.array(logits))
    assert found.sum() == TOTAL and found.min() >= 1
    p = np.exp(np.array(logits) - np.logaddexp.reduce(logits))
    assert np.abs(found - p * TOTAL).max() <= 2 * len(logits)


def test_a_token_of_probability_zero_can_still_be_coded():
    assert counts(np.array([0.0, -np.inf])).tolist() == [TOTAL - 1, 1]


@given(
    st.lists(
        st.lists(st.integers(1, 2**20), min_size=3, max_size=3).flatmap(
            lambda row: st.tuples(st.just(row), st.integers(0, 2))
        ),
        max_size=40,
    )
)
def test_any_sequence_of_distributions_goes_through_and_costs_its_code_length(steps):
    encoder, loss, tables = Encoder(), 0.0, []
    for row, token in steps:
        heights = np.cumsum(counts(np.log(np.array(row, float))))
        tables.append(heights)
        start = int(heights[token - 1]) if token else 0
        encoder.encode(start, int(heights[token]))
        loss -= np.log2((int(heights[token]) - start) / TOTAL)
    bits = encoder.finish()
    decoder = Decoder(bits)
    assert [decoder.decode(heights) for heights in tables] == [token for _, token in steps]
    assert loss - 1e-6 <= len(bits) <= loss + 2 + PER_TOKEN * len(steps)


def test_extreme_probabilities_at_the_middle_of_the_interval():
    # the interval closes in on one half: pending bits pile up before the first is certain
    heights = np.array([TOTAL // 2 - 1, TOTAL // 2 + 1, TOTAL])
    encoder, tokens = Encoder(), [1] * 30 + [0] + [1] * 30 + [2]
    for token in tokens:
        encoder.encode(int(heights[token - 1]) if token else 0, int(heights[token]))
    decoder = Decoder(encoder.finish())
    assert [decoder.decode(heights) for _ in tokens] == tokens


def test_the_uniform_model_takes_log_v_bits_a_token():
    lm = EnumerableLM([np.full((4,) * (i + 1), 0.25) for i in (1, 2, 3)])
    bits, loss = encode_tokens(lm, [3, 0, 2], [0])
    assert loss == 6 and 6 <= len(bits) <= 8  # 3 log2 4 = 6


def test_likely_strings_are_short_on_average_the_entropy():
    lm = EnumerableLM.random(3, 4, seed=2, spread=2.0)
    strings, p = lm.all_strings()
    sizes = np.array([len(encode_tokens(lm, string, [0])[0]) for string in strings])
    entropy = -(p * np.log2(p)).sum()
    assert entropy <= (p * sizes).sum() <= entropy + 2 + 4 * PER_TOKEN
    assert (sizes <= -np.log2(p) + 2 + 4 * PER_TOKEN).all()


@pytest.mark.parametrize(
    "changes", [{}, {"positions": "rope", "n_kv_head": 1}], ids=["learned", "rope"]
)
def test_a_text_longer_than_the_context_comes_back_at_the_size_of_its_loss(gpt, changes, rng):
    model, ids = gpt(context=8, dtype=np.float32, **changes), rng.integers(0, 5, 60).tolist()
    data = compress(model, ids, [0])
    assert decompress(model, data, [0]) == ids
    bits, loss = encode_tokens(fastest(ModelLM(model)), ids, [0])
    assert (
        len(data) == HEADER + -(-len(bits) // 8)
        and loss - 1e-6 <= len(bits) <= loss + 2 + 60 * PER_TOKEN
    )


def test_damage_is_noticed(gpt, rng):
    model, ids = gpt(context=8), rng.integers(0, 5, 60).tolist()
    data = compress(model, ids, [0])
    flipped = bytearray(data)
    flipped[HEADER + 3] ^= 16
    for bad, words in (
        (data[:5], "header"),
        (bytes(flipped), "check sum"),
        (data[: HEADER + 2], "ends before"),
    ):
        with pytest.raises(DataError, match=words):
            decompress(model, bad, [0])
    with pytest.raises(DataError, match="check sum|ends before"):
        decompress(gpt(context=8, seed=1), data, [0])  # another model


def test_an_empty_text_is_a_header_and_two_bits():
    model = EnumerableLM.random(2, 2)
    data = compress(model, [], [0])
    assert len(data) == HEADER + 1 and decompress(model, data, [0]) == []
    assert decompress(model, data[:HEADER], [0]) == []  # no token needs a bit
    # The number of tokens comes first, in four bytes, the most significant first.
    assert compress(model, [1, 0], [0])[:4] == bytes([0, 0, 0, 2])
    assert BITS == 62
