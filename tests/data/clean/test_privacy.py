"""Planted personal data are found, everything else is left alone, and masking twice is masking
once.
"""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data import python_documentation
from tinylm.data.clean.privacy import KINDS, Masker, guarded, masked

LABEL = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
EMAIL = st.builds(
    "{}.{}@{}.{}".format, LABEL, LABEL, LABEL, st.sampled_from(["org", "com", "co.uk"])
)
BYTE = st.integers(0, 255)
IP = st.one_of(
    st.builds("{}.{}.{}.{}".format, BYTE, BYTE, BYTE, BYTE),
    st.ip_addresses(v=6).map(str).filter(lambda ip: sum(map(bool, ip.split(":"))) > 2),
)
SOCIAL = st.builds(
    "{:03d}-{:02d}-{:04d}".format, st.integers(1, 665), st.integers(1, 99), st.integers(1, 9999)
)


def with_check_digit(digits):
    """A card number: the last digit makes the Luhn sum a multiple of ten."""
    total = sum(d if i % 2 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits[::-1]))
    return "".join(map(str, digits)) + str(-total % 10)


CARD = st.lists(st.integers(0, 9), min_size=15, max_size=15).map(with_check_digit)
PHONE = st.builds(
    "+{} {} {:03d} {:04d}".format,
    st.integers(1, 99),
    st.integers(100, 999),
    st.integers(0, 999),
    st.integers(0, 9999),
)
PLANTED = {"EMAIL": EMAIL, "IP": IP, "ID": SOCIAL, "CARD": CARD, "PHONE": PHONE}


@pytest.mark.parametrize("kind", PLANTED)
@given(data=st.data())
def test_what_was_planted_is_masked(kind, data):
    secret = data.draw(PLANTED[kind])
    assert masked(f"Before {secret}, and after.") == f"Before [{kind}], and after."


@given(st.text("ab1 +-().@:/[]", max_size=60) | st.text())
def test_masking_twice_is_masking_once(text):
    once = masked(text, names=["Ada Lovelace", "Ab"])
    assert masked(once, names=["Ada Lovelace", "Ab"]) == once


@pytest.mark.parametrize(
    "text",
    [
        "Version 3.11.7 of 2024-05-17, 1939-1945; pi is 3.14159265358979.",
        "It costs 1,234,567.89 or 12 345 678 in all.",
        "12:30:45 and a::b, std::vector, 10.5.3",
        "user @ home, @handle, a@b",
        "Chapter 12-34, pages 100-200, ISBN 978",
        "1234567890123456 is no card: its check digit is wrong",
        "000-12-3456 and 123-00-4567 were never given out",
    ],
)
def test_innocent_numbers_stay(text):
    assert masked(text) == text


def test_reference_prose_is_left_alone():
    text = python_documentation()
    assert Masker()(text) == text  # half a megabyte with numbers, versions and slices


@pytest.mark.parametrize(
    "text, clean",
    [
        ("Mail bob@x.org or +44 20 7946 0958.", "Mail [EMAIL] or [PHONE]."),
        ("(030) 1234567", "[PHONE]"),
        ("555-867-5309", "[PHONE]"),
        ("from 127.0.0.1 to ::1", "from [IP] to [IP]"),
        ("GB82 WEST 1234 5698 7654 32", "[IBAN]"),
        ("4111 1111 1111 1111", "[CARD]"),
        ("SSN 123-45-6789", "SSN [ID]"),
        ("Ada Lovelace met Adam", "[NAME] met Adam"),
    ],
)
def test_kinds_by_example(text, clean):
    assert masked(text, names=["Ada Lovelace"]) == clean


def test_kinds_can_be_chosen_and_are_counted():
    masker = Masker(kinds=["EMAIL"])
    assert masker("a@b.org 127.0.0.1 c@d.org") == "[EMAIL] 127.0.0.1 [EMAIL]"
    assert masker.found == {"EMAIL": 2} and set(KINDS) == {
        "EMAIL",
        "IBAN",
        "IP",
        "CARD",
        "ID",
        "PHONE",
    }


@given(
    st.text("ab \n", max_size=8),
    st.text("ab \n", max_size=8),
    st.sampled_from(["swordfish", "SWORD fish", "s w o r d\nfish"]),
)
def test_a_secret_never_passes_the_guard(before, after, spelled):
    answer = guarded(
        lambda question: f"{before}{spelled}{after} and mail x@y.org",
        secrets=["Swordfish", "sword"],
    )
    said = answer("What is the password?")
    assert "swordfish" not in "".join(said.split()).lower() and "[EMAIL]" in said


def test_the_guard_lets_the_rest_through():
    assert guarded(str.upper)("hello") == "HELLO"


def test_names_and_secrets_are_found_however_their_letters_are_written():
    one, several = "Jos\u00e9", "Jose\u0301"
    for name, met in ((one, several), (several, one), (one, one)):
        assert masked(f"{met} sat.", (), (name,)) == "[NAME] sat."
        assert guarded(lambda met=met: f"It is {met}", secrets=[name])() == "It is [SECRET]"


def test_of_two_names_at_one_place_the_longer_is_masked():
    for names in (["Ada", "Ada Lovelace"], ["Ada Lovelace", "Ada"]):
        assert masked("Ada Lovelace met Ada.", (), names) == "[NAME] met [NAME]."
        assert guarded(lambda: "Ada Lovelace!", secrets=names)() == "[SECRET]!"


def test_what_stands_side_by_side_is_masked_in_one_pass():
    # The digit before "(" or ":" is no border until it is masked.
    text = "(555) 123-4567::1(555) 123-4567"
    masker = Masker()
    assert masker._once(text) == "[PHONE][IP][PHONE]"
    assert masker.found == {"PHONE": 2, "IP": 1}


def test_a_name_that_ends_in_a_mark_needs_no_border_there():
    assert masked("C#C# and C#x", (), ["C#"]) == "[NAME][NAME] and [NAME]x"
    assert masked("anna, ann", (), ["ann"]) == "anna, [NAME]"
