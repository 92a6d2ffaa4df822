"""The automaton of a regular expression against Python's `re` on whole strings."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.generate.strategies import regular
from tinylm.generate.strategies.expression import NESTING, PLACES, REPEATS
from tinylm.generate.strategies.regular import Regular

# `re` warns of [[ and [a--b], which a later version may read otherwise.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

LETTERS = "ab-]^{},1é٣中𝄞\n "
members = st.sampled_from(
    [
        "a",
        "b",
        "-",
        "^",
        "[",
        "1",
        "é",
        "中",
        "𝄞",
        "a-b",
        "à-ÿ",
        "中-𝄞",
        r"\]",
        r"\\",
        r"\n",
        r"\-",
        r"\d",
        r"\w",
        r"\s",
        r"\D",
        r"\W",
        r"\S",
        r"\xe9",
        r"\u4e2d",
        r"\U0001D11E",
        r"\101",
        r"\b",
        r"\N{LATIN SMALL LETTER E WITH ACUTE}",
        r"\x20-\x7e",
        r"\0-\037",
    ]
)
classes = st.builds(
    lambda no, first, rest: f"[{no}{first}{''.join(rest)}]",
    st.sampled_from(["", "^"]),
    st.sampled_from(["", "]"]),
    st.lists(members, min_size=1, max_size=3),
)
atoms = st.one_of(
    classes,
    st.sampled_from(
        [
            "a",
            "b",
            "é",
            "中",
            "𝄞",
            ".",
            "-",
            "]",
            "}",
            "{",
            "{a}",
            "{,b",
            ",",
            "()",
            "(?:)",
            "(|a)",
            r"\d",
            r"\w",
            r"\s",
            r"\D",
            r"\W",
            r"\S",
            r"\.",
            r"\n",
            r"\t",
            r"\xe9",
            r"\u4e2d",
            r"\é",
            r"\U0001D11E",
            r"\N{DIGIT ONE}",
            r"\060",
            r"\141",
            r"\0",
            r"\-",
            "[]a]",
            "[^]a]",
            "[a-]",
        ]
    ),
)
counts = st.sampled_from(
    [
        "",
        "",
        "*",
        "+",
        "?",
        "{2}",
        "{0,2}",
        "{1,}",
        "{0}",
        "{,2}",
        "{,}",
        "*?",
        "+?",
        "??",
        "{1,2}?",
        "{}",
        "{1,a}",
    ]
)


def combine(inner):
    grouped = st.builds(lambda opening, r: f"{opening}{r})", st.sampled_from(["(", "(?:"]), inner)
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(grouped, counts).map("".join),
    )


def is_taken_by_re(pattern):
    try:
        re.compile(pattern)
    except re.error:  # a range that the draws put together
        return False
    return True


patterns = st.recursive(st.tuples(atoms, counts).map("".join), combine, max_leaves=6)
patterns = patterns.filter(is_taken_by_re)
texts = st.text(alphabet=LETTERS, max_size=6)


@given(patterns, st.lists(texts, min_size=5, max_size=5))
@example("(a|b)*abb", ["abb", "aabb", "ab", "", "babb"])
@example("(a*)*b|a{3}", ["aaab", "aaa", "aa", "b", ""])
@example(r"[^\s\S]|a", ["a", "", " ", "\n", "aa"])
@example("(?:é|中)+", ["é", "中é", "", "中中中", "a"])
def test_it_matches_whole_strings_as_re_does(pattern, strings):
    automaton = Regular(pattern)
    for string in strings:
        expected = bool(re.fullmatch(pattern, string))
        assert automaton.matches(string.encode()) == expected, (pattern, string)
        assert automaton.matches(string) == expected


@given(st.text(alphabet="ab(?:)|*+?{}[]^-,12\\dwsnxN.é$", max_size=8))
def test_what_re_rejects_is_rejected_and_what_is_taken_means_the_same(pattern):
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError):
        compiled = None
    try:
        automaton = Regular(pattern)
    except ConfigError as error:
        refused = "anchor|reference|begin with|possessive|limit"  # what is left out on purpose
        assert compiled is None or re.search(refused, str(error)), error
        return
    assert compiled is not None, pattern
    for string in "", "a", "b", "é", "ab", "a{1", "12", "aa":
        assert automaton.matches(string.encode()) == bool(compiled.fullmatch(string)), string


@pytest.mark.parametrize("letter", "dDwWsS")
def test_a_category_is_that_of_re_for_every_character(letter):
    automaton, pattern = Regular("\\" + letter), re.compile("\\" + letter)
    # The first alphabets whole, then every 61st character.
    for code in [*range(0x500), *range(0x500, 0x110000, 61)]:
        if not 0xD800 <= code < 0xE000:
            char = chr(code)
            assert automaton.matches(char.encode()) == bool(pattern.fullmatch(char)), hex(code)


@pytest.mark.parametrize(
    "data",
    [
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"\x80",
        b"\xc3",
        b"\xe4\xb8",
        b"\xc3a",
        b"\xf5\x80\x80\x80",
    ],
)
def test_bytes_that_are_not_utf8_match_nothing(data):
    automaton = Regular(r"(?:.|\n|[^a]|\w|\W)*")
    assert not automaton.matches(data) and not automaton.matches(b"a" + data + b"b")


@given(patterns)
def test_there_are_few_states_and_each_of_them_can_still_end(pattern):
    automaton = Regular(pattern)
    found, new, into = {automaton.start}, [automaton.start], {}
    while new:
        state = new.pop()
        for byte in {*range(128), *LETTERS.encode()}:
            after = automaton.step(state, byte)
            if after is not None:
                into.setdefault(after, set()).add(state)
                if after not in found:
                    found.add(after)
                    new.append(after)
    inside = {state for state in found if isinstance(state, tuple)}
    # Finitely many, small for patterns this small; within characters a few times as many.
    assert len(found - inside) < 200 and len(inside) < 2000
    live, new = set(), [state for state in found if automaton.accepts(state)]
    while new:  # backwards from the accepting states
        state = new.pop()
        if state not in live:
            live.add(state)
            new.extend(into.get(state, ()))
    # What is inside a character may await another letter than those tried.
    assert live | inside == found or automaton.start == b""


def test_a_character_of_several_bytes_is_repeated_as_a_whole():
    automaton = Regular("é*")
    assert automaton.matches("éé".encode()) and automaton.matches(b"")
    assert not automaton.matches(b"\xc3\xa9\xa9")


REJECTED = [
    ("(a", "'\\)' is missing"),
    ("a)", "closing parenthesis"),
    ("[ab", "'\\]' is missing"),
    ("[", "'\\]' is missing"),
    ("[]", "'\\]' is missing"),
    ("[^]", "'\\]' is missing"),
    ("a**", "repetition of a repetition"),
    ("a{2}{3}", "repetition of a repetition"),
    ("a*??", "repetition of a repetition"),
    ("*a", "without anything before"),
    ("a|*", "without anything"),
    ("(+)", "without anything"),
    ("(?:{2})", "without anything"),
    ("{1,2}", "without anything"),
    ("a{2,1}", "m <= n"),
    (r"\q", "escape"),
    (r"[\q]", "escape"),
    (r"[\8]", "escape"),
    ("\\", "escape"),
    ("[b-a]", "range"),
    (r"[\d-a]", "range"),
    (r"[a-\w]", "range"),
    ("[a", "'\\]' is missing"),
    ("[a-", "'\\]' is missing"),
    (r"\x1", "2 hexadecimal"),
    (r"\u12", "4 hexadecimal"),
    (r"\U0011FFFF", "beyond the last"),
    (r"\N{NO SUCH NAME}", "no character is named"),
    (r"\N", "NAME OF A CHARACTER"),
    (r"\N{DIGIT ONE", "NAME OF A"),
    (r"\777", "beyond"),
    (r"[\777]", "beyond"),
    (r"\1", "reference"),
    (r"[\A]", "escape"),
    (r"[\Z]", "escape"),
    (r"[\B]", "escape"),
]


@pytest.mark.parametrize("pattern, words", REJECTED)
def test_what_re_rejects_is_named_with_its_place(pattern, words):
    with pytest.raises(re.error):
        re.compile(pattern)
    with pytest.raises(ConfigError, match=f"position .*{words}"):
        Regular(pattern)


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("^a", "anchor"),
        ("a$", "anchor"),
        (r"\ba", "anchor"),
        (r"a\Z", "anchor"),
        (r"\Aa", "anchor"),
        (r"a\Bb", "anchor"),
        ("(?P<x>a)", "begin with"),
        ("(?=a)", "begin with"),
        ("(?i)a", "begin with"),
        ("(a)\\1", "reference"),
        ("a*+", "possessive"),
        ("(?<!a)b", "begin with"),
        ("(?#x)", "begin with"),
    ],
)
def test_what_is_no_regular_language_or_of_no_use_is_refused_with_the_reason(pattern, words):
    with pytest.raises(ConfigError, match=words):
        Regular(pattern)


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("\\N{" + "A" * 100_000 + "}", "no character is named"),
        ("[" * 100_000, "is missing"),
        ("a{1000000}", f"more than {REPEATS:,} times"),
        ("a{0,1000000}", "times"),
        ("a{99999,}", "times"),
        ("a{" + "9" * 5000 + "}", "times"),
        ("((a{300}){300}){300}", f"limit is {PLACES:,}"),
        ("(" * 50_000, f"nested deeper than {NESTING}"),
        ("(?:" * 2000 + ")" * 2000, "nested deeper"),
        ("(?:" + "|" * 5000 + "){9}", "limit is"),
        ("a" * 1_000_000, "limit is"),
        ("a|" * 100_000, "limit is"),
        ("(" + "[^é]|" * 5000 + "a){9}", "limit"),
    ],
)
def test_limits_are_named(pattern, words):
    with pytest.raises(ConfigError, match=words) as error:
        Regular(pattern)
    assert len(str(error.value)) < 400  # not the million letters


@pytest.mark.parametrize(
    "pattern, string",
    [
        ("(?:(?:(?:){4096}){4096}a{0}){4096}b?", "b"),
        ("(?:a" + "()" * 5000 + "){4000}", "a" * 4000),
        (f"a{{{REPEATS}}}", "a" * REPEATS),
        (f"a{{0,{REPEATS}}}", "a" * 17),
        ("a{0000012}", "a" * 12),
        ("(?:" * NESTING + "a" + ")+" * NESTING, "a" * 50),
        ("(a?){2000}", "a" * 100),
        ("(a|b)*a(a|b){1000}", "a" * 1001),
        ("(?:a*)*" * 50 + "b", "a" * 200 + "b"),
    ],
)
def test_up_to_the_limits_patterns_are_matched(pattern, string):
    assert Regular(pattern).matches(string.encode())
    assert not Regular(pattern).matches(string.encode() + b"c")


def test_states_are_forgotten_so_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(regular, "STATES", 50)
    automaton = Regular("(a|b)*a(a|b){12}")  # 2^13 states
    text = "".join("ab"[n * n % 7 % 2] for n in range(3000))
    assert automaton.matches(text.encode()) == (text[-13] == "a")
    assert len(automaton._moves) <= 50


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "(a?)" * n,
        lambda n: "(a*)*" * n,
        lambda n: "".join(f"[{chr(300 + i)}-ꀀ]" for i in range(n)),
        lambda n: "(?:a" + "()" * n + "b{0}" * n + "){100}",
        lambda n: "(?:" + "a|" * n + "b){9}",
        lambda n: "(a|b)*a" + "(a|b)" * n,
        lambda n: f"(\\w{{0,{n}}})",
        lambda n: "{1" * n,
    ],
)
def test_the_automaton_grows_as_the_pattern_does(make):
    sizes = [len(Regular(make(n)).places.waits) for n in (100, 200, 400)]
    assert sizes[1] <= 2 * sizes[0] and sizes[2] <= 2 * sizes[1]
