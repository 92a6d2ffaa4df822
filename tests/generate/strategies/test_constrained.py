"""Decoding inside a language: every text is in it, and the probabilities are the renormalized ones."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import EnumerableLM, ModelLM
from tinylm.generate.sample import probabilities
from tinylm.generate.strategies import constrained
from tinylm.generate.strategies.beam import beam_search
from tinylm.generate.strategies.constrained import (
    ConstrainedLM,
    StringSet,
    TokenAutomaton,
    constrained_generate,
)
from tinylm.generate.strategies.regular import Regular
from tinylm.generate.strategies.speculative import speculative_generate


class Pieces:
    """A tokenizer of given byte strings; the last id is the end token."""

    def __init__(self, *pieces):
        self.pieces = [*pieces, b""]
        self.vocab_size = len(self.pieces)
        self.special = {"<end>": self.vocab_size - 1}

    def token_bytes(self, token):
        """The bytes of one token."""
        return self.pieces[token]

    def text(self, tokens):
        """The bytes of several."""
        return b"".join(self.pieces[token] for token in tokens)


LETTERS = Pieces(b"a", b"b", b"ab", b"ba", b"1", b"12", b"-")
END = LETTERS.vocab_size - 1
MODEL = make_gpt(vocab_size=LETTERS.vocab_size, context=24)
PATTERNS = ["(ab|ba)+-1{1,3}", "a*", "[ab]{3}(-[12]+)?", "12|1-?a"]


@settings(max_examples=20)
@given(st.sampled_from(PATTERNS), st.integers(0, 1000))
def test_whole_texts_match_and_cut_ones_are_beginnings(pattern, seed):
    automaton = TokenAutomaton(Regular(pattern), LETTERS, END)
    tokens, whole = constrained_generate(MODEL, [0], automaton, 12, seed=seed)
    text = LETTERS.text(tokens)
    if whole:
        assert re.fullmatch(pattern.encode(), text)
    else:
        assert len(tokens) == 12 and not re.fullmatch(pattern.encode(), text)


def test_a_token_may_span_several_characters_and_is_refused_if_the_last_one_does_not_fit():
    automaton = TokenAutomaton(Regular("ab1?"), LETTERS, END)
    assert set(automaton.following(automaton.start)) == {0, 2}  # a, ab; not ba, 12
    after = automaton.following(automaton.start)[2]
    assert set(automaton.following(after)) == {4, END}  # 1 or the end; not 12


def test_tokens_that_lead_into_a_dead_end_are_left_out():
    # "1" begins "12", but no token begins with "2": only the whole "12" will do; "-" is followed by
    # either
    automaton = TokenAutomaton(StringSet(["12", "-1"]), LETTERS, END)
    assert set(automaton.following(automaton.start)) == {5, 6}
    bytes_too = Pieces(*(bytes([i]) for i in range(256)), b"12")
    automaton = TokenAutomaton(StringSet(["12", "-1"]), bytes_too, 257)
    assert set(automaton.following(automaton.start)) == {ord("1"), ord("-"), 256}


def test_only_strings_of_the_set_come_out_whatever_their_tokens():
    automaton = TokenAutomaton(StringSet(["abba", "a1", "12"]), LETTERS, END)
    found = {
        LETTERS.text(constrained_generate(MODEL, [0], automaton, 8, seed=seed)[0])
        for seed in range(60)
    }
    assert found == {b"abba", b"a1", b"12"}  # 60 draws of three likely strings


def test_a_long_string_takes_no_more_memory_than_its_bytes():
    long = StringSet([b"ab" * 10_000, b"ab" * 9_999 + b"c", b""])
    assert len(long._children) == 20_000 + 2  # the root, one node a byte, and the c
    state = long.start
    assert long.accepts(state) and long.step(state, ord("b")) is None
    for byte in b"ab" * 10_000:
        state = long.step(state, byte)
    assert long.accepts(state) and long.step(state, ord("a")) is None


def test_draws_follow_the_distribution_renormalized_at_every_step(assert_sampled_from):
    names = Pieces(b"a", b"b")  # 2 is the end
    lm = EnumerableLM.random(3, 3, seed=7, eos=2)
    automaton = TokenAutomaton(StringSet(["a", "ab", "ba"]), names, 2)

    def allowed(prefix, tokens):
        p = probabilities(lm.next_logits(np.array([[0, *prefix]])))[0]
        return p[tokens] / p[tokens].sum()

    first, second = allowed([], [0, 1]), allowed([0], [1, 2])
    exact = [first[0] * second[1], first[0] * second[0], first[1]]  # a, ab, ba: then all is forced
    counts = dict.fromkeys([(0,), (0, 1), (1, 0)], 0)
    for seed in range(3000):
        tokens, whole = constrained_generate(lm, [0], automaton, 3, seed=seed)
        counts[tuple(tokens)] += 1
        assert whole
    assert_sampled_from(list(counts.values()), exact)


def test_beam_search_and_speculation_work_under_the_constraint_unchanged():
    automaton = TokenAutomaton(Regular("(ab|ba)+-1"), LETTERS, END)
    lm, draft = (
        ConstrainedLM(model, automaton, [0, 3])
        for model in (MODEL, make_gpt(vocab_size=8, context=24, seed=1))
    )
    for h in beam_search(lm, [0, 3], 20, width=4, eos=END, n_best=3):
        assert h.tokens[-1] != END or re.fullmatch(b"(ab|ba)+-1", LETTERS.text(h.tokens))
    for seed in range(5):
        tokens = speculative_generate(lm, draft, [0, 3], 20, 3, seed=seed, eos=END).tokens
        assert tokens[-1] != END or re.fullmatch(b"(ab|ba)+-1", LETTERS.text(tokens))


def test_masked_scores_of_allowed_tokens_are_the_models_own():
    automaton = TokenAutomaton(Regular("(ab)*"), LETTERS, END)
    tokens = np.array([[0, 3, 0, 1]])  # prompt 0 3, then a b
    masked = ConstrainedLM(MODEL, automaton, [0, 3]).logits(tokens)
    plain = ModelLM(MODEL).logits(tokens)
    np.testing.assert_array_equal(masked[:, 0], plain[:, 0])
    for t, allowed in (1, [0, 2, END]), (2, [1, 3]), (3, [0, 2, END]):
        assert np.flatnonzero(np.isfinite(masked[0, t])).tolist() == allowed
        np.testing.assert_array_equal(masked[0, t, allowed], plain[0, t, allowed])


def test_a_language_with_too_many_states_is_refused_and_one_without_strings(monkeypatch):
    monkeypatch.setattr(constrained, "LISTED_STATES", 1000)
    many = Regular("(a|b)*a(a|b){20}")  # 2^21 states; no token for every byte
    with pytest.raises(ConfigError, match="1,000 states"):
        TokenAutomaton(many, LETTERS, END)
    every_byte = Pieces(*(bytes([i]) for i in range(256)))
    whole = TokenAutomaton(many, every_byte, 256)  # nothing is listed
    assert set(whole.following(whole.start)) == {ord("a"), ord("b")}
    for tokenizer, end in (LETTERS, END), (every_byte, 256):
        with pytest.raises(DataError, match="no string of the language"):
            TokenAutomaton(Regular(r"[^\s\S]"), tokenizer, end)


def test_what_may_follow_is_forgotten_and_found_again(monkeypatch):
    monkeypatch.setattr(constrained, "KEPT_TOKENS", 4)
    every_byte = Pieces(*(bytes([i]) for i in range(256)))
    automaton = TokenAutomaton(Regular("(a|b)*a(a|b){3}"), every_byte, 256)
    state, text = automaton.start, b"abbabaabbbaba"
    for byte in text:
        assert len(automaton._following) <= 4
        state = automaton.following(state)[byte]
    assert (256 in automaton.following(state)) == bool(re.fullmatch(b"[ab]*a[ab]{3}", text))


def test_characters_beyond_ascii_are_spelled_with_byte_tokens():
    every_byte = Pieces(*(bytes([i]) for i in range(256)), "é中".encode())
    automaton = TokenAutomaton(Regular("[à-ÿ一-龥]{2}"), every_byte, 257)
    assert 256 in automaton.following(automaton.start)
    lead, state = "中".encode()[0], automaton.start
    assert lead in automaton.following(state) and ord("a") not in automaton.following(state)
    state = automaton.following(state)[lead]
    assert all(0x80 <= token < 0xC0 for token in automaton.following(state))


def test_what_cannot_be_is_refused():
    automaton = TokenAutomaton(Regular("ab"), LETTERS, END)
    lm = ConstrainedLM(MODEL, automaton, [0])
    with pytest.raises(ShapeError, match="column 0 is 1"):
        lm.logits(np.array([[1]]))
    with pytest.raises(DataError, match="outside the language"):
        lm.logits(np.array([[0, 4]]))
    with pytest.raises(ConfigError, match="do not fit the context"):
        constrained_generate(MODEL, [0], automaton, 30)
    with pytest.raises(ConfigError, match="no strings"):
        StringSet([])
    with pytest.raises(DataError, match="can be spelled"):
        TokenAutomaton(StringSet(["x", "2"]), LETTERS, END)


def test_only_tokens_whose_first_byte_may_come_are_read():
    class Counted(Regular):
        steps = 0

        def step(self, state, byte):
            Counted.steps += 1
            return super().step(state, byte)

    words = [b"word%d" % n for n in range(500)]
    tokenizer = Pieces(*(bytes([i]) for i in range(256)), *words)
    automaton = TokenAutomaton(Counted("[0-9]{3}"), tokenizer, 756)
    assert set(automaton.following(automaton.start)) == set(b"0123456789")
    assert Counted.steps == 256  # a step for each first byte; no word is begun
