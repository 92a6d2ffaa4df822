"""Byte-level BPE encodes by its merges, quickly for pieces of any length."""

import doctest
import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.errors import ConfigError, DataError
from tinylm.tokenizers import BPETokenizer, bpe, from_dict
from tinylm.tokenizers.bpe import (
    SHORT,
    encode_by_definition,
    learn_merges_by_definition,
    merge_long,
    merge_short,
    merge_steps,
    tokens_of,
)

TEXTS = [
    "the cat and the hat",
    "the hat of that cat",
    "a cat, a hat; 12 cats' hats",
    "aaaa aaaaaaaa",
]
TOKENIZER = BPETokenizer.train(TEXTS, 300, min_count=1)


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(bpe)
    # One count, one step, three lines of learning, three of encoding.
    assert results.attempted == 8 and results.failed == 0


# Two letters make runs and overlaps, in which the places of a pair overlap.
COUNTS = st.dictionaries(st.text("ab", max_size=12).map(str.encode), st.integers(1, 3), max_size=6)


@given(COUNTS, st.integers(0, 20), st.text("abc", max_size=60).map(str.encode))
def test_fast_encoding_is_by_definition(counts, n_merges, piece):
    merges = learn_merges_by_definition(counts, n_merges, min_count=1)
    tokens = tokens_of(merges)
    expected = encode_by_definition(piece, merges)
    assert BPETokenizer(tokens, merges).encode_piece(piece) == expected
    assert b"".join(tokens[i] for i in expected) == piece


def apply_merges_in_order(tokenizer, piece):
    """All merges in the order in which they were learnt, each applied from left to right."""
    ids = list(piece)  # a trained vocabulary numbers bytes by value
    for rank, (left, right) in enumerate(tokenizer.merges):
        for i in range(len(ids)):
            if ids[i : i + 2] == [left, right]:
                ids[i : i + 2] = [256 + rank]
    return ids


@given(st.text(st.sampled_from("thecaf 12,;'é"), max_size=40))
def test_encoding_applies_the_merges_in_order(text):
    expected = [
        i
        for piece in TOKENIZER.pattern.pieces(text)
        for i in apply_merges_in_order(TOKENIZER, piece.encode())
    ]
    assert TOKENIZER.encode(text).tolist() == expected


@st.composite
def merge_tables(draw):
    """Random merges over a few ids, and not only such as training makes: later ones may enable
    earlier ones.
    """
    pair = st.tuples(st.integers(0, 5), st.integers(0, 5))
    pairs = draw(st.lists(pair, unique=True, max_size=12))
    return {p: rank for rank, p in enumerate(pairs)}, [draw(st.integers(0, 5)) for _ in pairs]


@given(merge_tables(), st.lists(st.integers(0, 5), max_size=40))
@settings(max_examples=200)  # short examples, and rare ones are what it is about
def test_both_ways_to_merge_agree(table, ids):
    assert merge_long(list(ids), *table) == merge_short(list(ids), *table)


@pytest.mark.parametrize("length", [SHORT - 1, SHORT, SHORT + 1])
def test_the_change_of_method_changes_no_ids(length):
    piece = "".join(random.Random(length).choices("theca", k=length))
    assert TOKENIZER.encode(piece).tolist() == apply_merges_in_order(TOKENIZER, piece.encode())


def test_long_pieces_go_to_the_method_for_long_pieces(monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(bpe, "merge_short", refuse)
    assert TOKENIZER.encode("a" * (SHORT + 1)).size > 0
    monkeypatch.undo()
    monkeypatch.setattr(bpe, "merge_long", refuse)
    assert TOKENIZER.encode("c" * SHORT).size > 0


def test_a_very_long_piece_takes_work_in_proportion():
    class Counted(dict):
        looked_up = 0

        def get(self, key):
            Counted.looked_up += 1
            return super().get(key)

    n = 100_000
    ids = merge_long([ord("a")] * n, Counted(TOKENIZER._ranks), TOKENIZER._products)
    assert TOKENIZER.decode(ids) == "a" * n
    # Each pair is looked up once at first, each heap entry once when it comes up, two new pairs
    # after each of the fewer than n merges; and an entry exists for at most n + 2n pairs: n + 3n +
    # 2n.
    assert Counted.looked_up < 6 * n


def test_a_long_run_is_written_with_the_longest_token():
    ids = TOKENIZER.encode("a" * 1024).tolist()
    assert TOKENIZER.decode(ids) == "a" * 1024 and {TOKENIZER.decode([i]) for i in ids} == {"aaaa"}


def test_training_leaves_the_bytes_first_and_the_special_tokens_last():
    tokenizer = BPETokenizer.train(TEXTS, 270, special=["<|end|>", "<|pad|>"], min_count=1)
    assert tokenizer.vocab_size == 270 and len(tokenizer.merges) == 270 - 256 - 2
    assert [tokenizer.token_bytes(i) for i in range(256)] == [bytes([i]) for i in range(256)]
    assert tokenizer.special == {"<|end|>": 268, "<|pad|>": 269}


def test_training_takes_any_source(tmp_path):
    text = "\n".join(TEXTS)
    (tmp_path / "text").write_text(text)
    expected = BPETokenizer.train(text, 290).to_dict()
    for source in (
        tmp_path / "text",
        io.StringIO(text),
        io.BytesIO(text.encode()),
        iter([text]),
        [text.encode()],
    ):
        assert BPETokenizer.train(source, 290).to_dict() == expected


def test_pairs_that_run_out_give_a_smaller_vocabulary():
    tokenizer = BPETokenizer.train("ab ab", 1000, special=["<|end|>"])
    assert tokenizer.vocab_size == 258 and tokenizer.merges == [(ord("a"), ord("b"))]
    assert BPETokenizer.train([], 1000, special=[]).vocab_size == 256


def test_special_tokens_part_the_training_text_and_are_not_learnt():
    tokenizer = BPETokenizer.train("ab<|end|>" * 9, 300, special=["<|end|>"])
    assert tokenizer.merges == [(ord("a"), ord("b"))]


def test_tokens_do_not_cross_the_borders_of_pieces():
    tokenizer = BPETokenizer.train("of the " * 9, 300)
    assert tokenizer.encode("of the").size == 2
    assert BPETokenizer.train("of the " * 9, 300, pattern="whole").encode("of the ").size == 1


def test_a_full_cache_is_emptied_and_forgets_no_ids(monkeypatch):
    tokenizer = BPETokenizer.train(TEXTS, 290)
    text = " ".join(TEXTS)
    expected = tokenizer.encode(text).tolist()
    tokenizer._cache.clear()
    monkeypatch.setattr(type(tokenizer._cache), "MOST", 2)
    assert tokenizer.encode(text).tolist() == expected and len(tokenizer._cache) <= 2


def test_ids_can_be_changed_by_their_owner():
    ids = TOKENIZER.encode("the cat")
    before = ids.copy()
    ids[:] = 0
    np.testing.assert_array_equal(TOKENIZER.encode("the cat"), before)


def test_impossible_settings_are_refused():
    with pytest.raises(
        ConfigError, match="vocab_size 256 is too small: 256 bytes and 1 special tokens need 257"
    ):
        BPETokenizer.train("text", 256)
    with pytest.raises(ConfigError, match="min_count is 0"):
        BPETokenizer.train("text", 300, min_count=0)


BYTES = [bytes([value]) for value in range(256)]


@pytest.mark.parametrize(
    ("tokens", "merges", "special", "message"),
    [
        (BYTES[:-1], [], {}, "lacks 1 of the 256 bytes, the first 0xff"),
        (BYTES + [b"a"], [], {}, "two ids for the same bytes"),
        (BYTES, [(97, 98)], {}, r"merge 0 joins the ids \(97, 98\)"),
        (BYTES, [(97, 256)], {}, r"merge 0 joins the ids \(97, 256\)"),
        (BYTES + [b"ab"], [(97, 98)] * 2, {}, r"merge 1 of the ids \(97, 98\) is merge 0 already"),
        (BYTES + [None], [], {}, "do not fill the 1 ids"),
        (BYTES, [], {"<|end|>": 256}, "do not fill the 0 ids"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(tokens, merges, special, message):
    with pytest.raises(DataError, match=message):
        BPETokenizer(tokens, merges, special)


def test_a_partial_vocabulary_leaves_out_the_bytes_it_lacks():
    tokens = [
        bytes([value]) for value in range(256) if value != 0xF1
    ]  # as SmolLM2's, which never saw planes 4 to 7
    with pytest.raises(DataError, match="lacks 1 of the 256 bytes, the first 0xf1"):
        BPETokenizer(tokens, [])
    tokenizer = BPETokenizer(tokens, [], partial=True)
    assert (
        tokenizer.decode_bytes(tokenizer.encode("a\U00040000b")) == b"a\x80\x80\x80b"
    )  # U+40000 is F1 80 80 80
    again = from_dict(tokenizer.to_dict())
    assert again.encode("a\U00040000b").tolist() == tokenizer.encode("a\U00040000b").tolist()


@given(st.text("ab ", max_size=40).map(str.encode))
def test_the_steps_lead_to_what_encoding_gives(piece):
    ids = list(piece)
    steps = TOKENIZER.steps_of_piece(piece)
    for before, ranks, place in steps:
        assert before == ids and len(ranks) == len(ids) - 1
        rank = ranks[place]
        assert TOKENIZER.merges[rank] == tuple(before[place : place + 2])
        assert rank == min(r for r in ranks if r is not None)
        ids = [*ids[:place], 256 + rank, *ids[place + 2 :]]  # merge k makes the token 256 + k
    assert ids == TOKENIZER.encode_piece(piece)
    assert merge_steps(ids, TOKENIZER._ranks, TOKENIZER._products) == []
