"""What was read is not read again, and the keys and values are those of reading it whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tests.prompt.small import KINDS
from tinylm.errors import ConfigError
from tinylm.finetune.peft.prompt_cache import prompt_keys_values
from tinylm.generate import generate
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.prompt.protocol.prefix_store import (
    LEAST,
    ContinuedLM,
    PrefixStore,
    common_length,
    shared_length,
)

GPT = make_gpt(5, 64, n_layer=1)


@pytest.mark.parametrize(
    "a, b, n", [([1, 2, 3], [1, 2, 4], 2), ([1, 2], [1, 2, 3], 2), ([], [1], 0), ([1], [2], 0)]
)
def test_common_length(a, b, n):
    assert common_length(a, b) == common_length(b, a) == n


@pytest.mark.parametrize(
    "rows, n",
    [
        ([[1, 2, 3], [1, 2, 4], [1, 5]], 1),
        ([[1, 2, 3], [1, 2, 3, 4]], 2),  # the 3 is left to read
        ([[1, 2], [1, 2, 3, 4], [1, 2, 3, 5]], 1),
        ([[1, 2, 3]], 2),
        ([[1], [1]], 0),
        ([[1, 2], [2, 2]], 0),
    ],
)
def test_every_row_has_a_token_behind_the_shared_ones(rows, n):
    assert shared_length(rows) == shared_length(rows[::-1]) == n


@pytest.mark.parametrize("changes", KINDS)
def test_keys_and_values_are_those_of_the_whole_text(changes):
    model = make_gpt(5, 64, **changes)
    store, text = PrefixStore(model), [1, 2, 3, 4] * 6
    store.read(text[:12])
    found, read = store.read(text)
    assert read == 12
    np.testing.assert_allclose(found, prompt_keys_values(model, text), rtol=0, atol=1e-12)


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=24), min_size=1, max_size=8))
def test_any_sequence_of_texts_gives_the_keys_and_values_of_each(texts):
    store = PrefixStore(GPT, texts=2)
    for ids in texts:
        ids = [2] * LEAST + ids  # long enough that common beginnings are used
        found, read = store.read(ids)
        assert 0 <= read <= len(ids)
        np.testing.assert_allclose(found, prompt_keys_values(GPT, ids), rtol=0, atol=1e-12)
        assert len(store._kept) <= 2


def test_a_text_is_read_once():
    store = PrefixStore(GPT)
    text = [1, 2, 3, 4] * 4
    assert store.read(text)[1] == 16
    assert store.read(text)[1] == 0
    assert store.read(text[:10])[1] == 0  # a beginning of it
    assert store.read(text[:LEAST] + [0, 0])[1] == 2
    # Too little in common: copying would cost what reading does.
    assert store.read(text[: LEAST - 1] + [0] * 4)[1] == LEAST + 3


def test_the_text_used_longest_ago_leaves_first():
    store = PrefixStore(GPT, texts=2)
    first, second, third = [1] * 10, [2] * 10, [3] * 10
    store.read(first)
    store.read(second)
    store.read(first)
    store.read(third)
    assert store.read(first)[1] == 0
    assert store.read(second)[1] == 10


def test_a_cleared_store_reads_anew():
    store = PrefixStore(GPT)
    store.read([1] * 10)
    store.clear()
    assert store.read([1] * 10)[1] == 10


def test_it_keeps_at_least_one_text():
    with pytest.raises(ConfigError, match="at least 1 text, not 0"):
        PrefixStore(GPT, texts=0)


@pytest.mark.parametrize("changes", KINDS)
def test_a_model_that_continues_generates_what_it_would_after_the_whole_text(changes):
    model = make_gpt(5, 64, **changes)
    text = [1, 2, 3, 4] * 3
    for lm in (ModelLM(model), fastest(ModelLM(model))):
        continued = ContinuedLM(lm, prompt_keys_values(model, text[:-1]))
        assert continued.context == 64 - 11
        expected = list(generate(model, text, 10, temperature=0.0))
        assert list(generate(continued, text[-1:], 10, temperature=0.0)) == expected
        np.testing.assert_allclose(
            continued.logits(np.array([text[-1:] + [2, 0]]))[0, -1],
            ModelLM(model).next_logits(np.array([text + [2, 0]]))[0],
            rtol=0,
            atol=1e-10,
        )
        np.testing.assert_allclose(
            continued.next_logits(np.array([text[-1:]])),
            ModelLM(model).next_logits(np.array([text])),
            rtol=0,
            atol=1e-10,
        )


def test_a_beginning_that_is_used_keeps_its_text():
    store = PrefixStore(GPT, texts=2)
    first, second, third = [1] * 12, [2] * 12, [3] * 12
    store.read(first)
    store.read(second)
    for n in 10, 9, 8:  # beginnings take no room of their own
        assert store.read(first[:n])[1] == 0
    assert len(store._kept) == 2
    store.read(third)
    assert store.read(first)[1] == 0  # used after the second, which has left
    assert store.read(second)[1] == 12


def test_a_text_of_which_a_part_is_used_leaves_last():
    store = PrefixStore(GPT, texts=3)
    first, second, third = [1] * 12, [2] * 12, [3] * 12
    for text in first, second, third:
        store.read(text)
    assert store.read([1] * 10 + [4] * 2)[1] == 2  # in place of the second
    assert store.read(first)[1] == 0
    assert store.read(third)[1] == 0
    assert store.read(second)[1] == 12
