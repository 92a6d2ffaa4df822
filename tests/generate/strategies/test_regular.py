"""The automaton of a regular expression against Python's `re` on bytes."""
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.generate.strategies.regular import NOTHING, Regular, either, star, then

atoms = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "[b-d]", r"\d", r"\w", r"\W", r"\.", "(é)", "()", "[]x]", "[a-]"])
counts = st.sampled_from(["", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "{0}"])


def combine(inner):
    grouped = inner.map(lambda r: f"({r})")
    return st.one_of(st.tuples(inner, inner).map("".join), st.tuples(inner, inner).map(lambda p: f"({p[0]}|{p[1]})"),
                     st.tuples(grouped, counts).map("".join))


patterns = st.recursive(st.tuples(atoms, counts).map("".join), combine, max_leaves=6)
texts = st.text(alphabet="abcdx1 .é\n-]", max_size=6)


@given(patterns, st.lists(texts, min_size=5, max_size=5))
@example("(a|b)*abb", ["abb", "aabb", "ab", "", "babb"])
@example("(a*)*b|a{3}", ["aaab", "aaa", "aa", "b", ""])
def test_it_matches_what_re_matches_on_bytes(pattern, strings):
    automaton = Regular(pattern)
    for string in strings:
        data = string.encode()
        assert automaton.matches(data) == bool(re.fullmatch(pattern.encode(), data)), (pattern, string)


@given(patterns)
def test_there_are_few_states_and_each_of_them_can_still_end(pattern):
    automaton = Regular(pattern)
    found, new, into = {automaton.start}, [automaton.start], {}
    while new:
        state = new.pop()
        for byte in b"abcdx1 .\xc3\xa9\n-]":
            after = automaton.step(state, byte)
            if after is not None:
                into.setdefault(after, set()).add(state)
                if after not in found:
                    found.add(after)
                    new.append(after)
    assert len(found) < 200                                 # finitely many, small for patterns this small
    live, new = set(), [state for state in found if automaton.accepts(state)]
    while new:                                              # backwards from the accepting states
        state = new.pop()
        if state not in live:
            live.add(state)
            new.extend(into.get(state, ()))
    assert live == found or automaton.start == NOTHING


def test_a_character_of_several_bytes_is_repeated_as_a_whole():
    # `re` on bytes would repeat the last byte alone, hence the parentheses in the patterns above
    assert Regular("é*").matches("éé".encode()) and Regular("é*").matches(b"") and not Regular("é*").matches(b"\xc3\xa9\xa9")


def test_normal_forms_of_the_smallest_expressions():
    a, b = ("set", frozenset(b"a")), ("set", frozenset(b"b"))
    assert then(NOTHING, a) == then(a, NOTHING) == NOTHING and either(a, NOTHING) == a
    assert either(a, b) == ("set", frozenset(b"ab")) and star(star(a)) == star(a)
    assert then(then(a, b), a) == then(a, then(b, a))


@pytest.mark.parametrize("pattern, words", [
    ("(a", "'\\)' is missing"), ("a)", "closing parenthesis"), ("[ab", "'\\]' is missing"), ("a**", "repetition of a repetition"),
    ("*a", "nothing to act on"), ("^a$", "nothing to act on"), ("a{2,1}", "m <= n"), ("a{x}", "m <= n"), ("[é]", "only ASCII"),
    (r"\q", "escape"), ("(?:a)", "plain groups"), ("[b-a]", "range"), ("a{2", "'}' is missing"), ("\\", "escape")])
def test_what_is_not_understood_is_named_with_its_place(pattern, words):
    with pytest.raises(ConfigError, match=f"position .*{words}"):
        Regular(pattern)
