import pytest

from tinylm import book
from tinylm.book import references
from tinylm.book.references import Reference


@pytest.mark.parametrize(
    "query, kind, number, rest",
    [
        ("eq 2.6", "equation", "2.6", ""),
        ("Eqs. (2.6)", "equation", "2.6", ""),
        ("equation 2.6 softmax", "equation", "2.6", "softmax"),
        ("the formula (4.55)", "equation", "4.55", "the"),
        ("(2.6)", "equation", "2.6", ""),
        ("Table 2.1", "table", "2.1", ""),
        ("tab. 2.1", "table", "2.1", ""),
        ("Fig. 2.5(b)", "figure", "2.5", ""),
        ("figure 3.1", "figure", "3.1", ""),
        ("2.3.5 rope", "section", "2.3.5", "rope"),
        ("\u00a7 2.3.5.", "section", "2.3.5", ""),
        ("Section 2.3", "section", "2.3", ""),
        ("chapter 4", "section", "4", ""),
        ("3", "section", "3", ""),
        (" 7 ", "section", "7", ""),
        ("d2l", "section", "D2L 11", ""),
        ("D2L 11.9.4", "section", "D2L 11.9.4", ""),
        ("11.9", "section", "D2L 11.9", ""),
    ],
)
def test_a_reference_is_read_in_every_spelling(query, kind, number, rest):
    assert references.read(query) == ([Reference(kind, number)], rest)


@pytest.mark.parametrize("query", ["gpt-2", "llama 2", "top 5", "v2.1x", "softmax"])
def test_other_numbers_are_no_references(query):
    assert references.read(query) == ([], query)


@pytest.mark.parametrize(
    "section, kind, numbers",
    [
        ("2.3.4, eqs (2.70)-(2.72)", "equation", {"2.70", "2.71", "2.72"}),
        ("4.3.3, eqs 4.53-4.54", "equation", {"4.53", "4.54"}),
        ("4.4.2, eq (4.81), (4.82)", "equation", {"4.81", "4.82"}),
        ("2.3.2, eq (2.48), Fig 2.5(b)", "equation", {"2.48"}),
        ("2.3.2, eq (2.48), Fig 2.5(b)", "figure", {"2.5"}),
        ("2.1.1, Table 2.2", "table", {"2.2"}),
        ("2.1.1, Table 2.2", "equation", set()),
    ],
)
def test_numbers_of_a_row(section, kind, numbers):
    row = book.Row("X", section, "c", "-", "-", "-")
    assert references.numbers(row, kind) == numbers


def test_rows_that_carry_an_equation_come_before_rows_that_mention_it():
    table = [
        book.Row("X", "3", "Combine (eq. 3.6)", "-", "-", "-"),
        book.Row("Y", "3, eq (3.6)", "c", "-", "-", "-"),
    ]
    rows, note = references.rows_of(table, [Reference("equation", "3.6")])
    assert [row.id for row in rows] == ["Y", "X"] and note == ""


def test_a_number_that_is_no_section_may_be_an_equation_or_a_part_of_one():
    table = book.rows()
    rows, note = references.rows_of(table, [Reference("section", "2.6")])
    assert [row.id for row in rows] == ["C2a-C06"] and "this is equation (2.6)" in note
    rows, note = references.rows_of(table, [Reference("section", "1.3.2.1")])
    assert [row.id for row in rows] == ["C1-080"] and "this is 1.3.2" in note


def test_several_references_must_all_be_met():
    table = book.rows()
    both = [Reference("section", "2.1.1"), Reference("equation", "2.6")]
    assert [row.id for row in references.rows_of(table, both)[0]] == ["C2a-C06"]
    assert references.rows_of(table, [Reference("section", "3"), both[1]])[0] == []
