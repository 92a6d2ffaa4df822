import pytest

from tinylm import book
from tinylm.errors import DataError

HEADING = "id\tsection\tconcept\tsymbol\ttest\tscript\n"
SMALL = HEADING + "".join(
    "\t".join(row) + "\n"
    for row in [
        (
            "X-1",
            "2.1.1, eq (2.6)",
            "Scaled dot-product attention",
            "tinylm.backend:Random",
            "-",
            "-",
        ),
        ("X-2", "2.1.10", "Causal mask", "tinylm.errors", "-", "tinylm book"),
        ("X-3", "2.1.1", "Cross attention; see rope", "tinylm.book:rows", "-", "-"),
        ("X-4", "2.3", "Rotary positions (RoPE)", "tinylm.book.find", "-", "-"),
    ]
)


@pytest.fixture
def table(tmp_path):
    (tmp_path / "2.tsv").write_text(SMALL)
    return book.rows(tmp_path)


def ids(rows):
    return [row.id for row in rows]


def test_rows_come_in_the_order_of_the_tables(table, tmp_path):
    (tmp_path / "1.tsv").write_text(HEADING + "A\t1\tb\t-\t-\t-\n")
    assert ids(book.rows(tmp_path)) == ["A", "X-1", "X-2", "X-3", "X-4"]


def test_sections_are_in_the_order_of_the_book():
    sections = ["D2L 11.9", "2.10", "2.9", "3", "2.9.1"]
    ordered = ["2.9", "2.9.1", "2.10", "3", "D2L 11.9"]
    assert sorted(sections, key=book.section_key) == ordered


def test_a_section_is_named_without_its_equations(table):
    assert [book.section_number(row) for row in table] == ["2.1.1", "2.1.10", "2.1.1", "2.3"]
    other = book.Row("Y", "D2L 11.9, eq (1)", "c", "-", "-", "-")
    assert book.section_number(other) == "D2L 11.9"


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("id\tconcept\n", "first line must be id, section, concept, symbol, test, script"),
        (HEADING + "A\t1\tb\n", "line 2: a row has 6 columns"),
        (HEADING + "A\t1\tb\t\t-\t-\n", "line 2: a row has 6 columns, '-' where there is nothing"),
        (SMALL + "X-1\t2\tb\t-\t-\t-\n", "line 6: X-1 was already in 2.tsv, line 2"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_line(tmp_path, text, complaint):
    (tmp_path / "2.tsv").write_text(text)
    with pytest.raises(DataError) as error:
        book.rows(tmp_path)
    assert complaint in str(error.value)
