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


def test_a_section_holds_its_subsections_and_not_its_namesakes(table):
    assert ids(book.find(table, "2.1.1")) == ["X-1", "X-3"]  # 2.1.10 is another section
    assert ids(book.find(table, "2.1")) == ["X-1", "X-2", "X-3"]


def test_an_id_finds_its_row_alone_in_any_case(table):
    assert ids(book.find(table, "x-2")) == ["X-2"]
    assert ids(book.find(table, "X-4 x-1")) == ["X-1", "X-4"]  # several ids: those rows


def test_words_must_all_occur_and_a_concept_in_order_comes_first(table):
    assert ids(book.find(table, "attention cross")) == ["X-3"]
    assert ids(book.find(table, "find")) == ["X-4"]  # only in the symbol
    assert ids(book.find(table, "book")) == ["X-2", "X-3", "X-4"]
    assert book.find(table, "quaternion") == []


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
