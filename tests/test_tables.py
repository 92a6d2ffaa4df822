"""Tables of spreadsheets are read as records, strictly, with the line of what is wrong."""

import gzip

import pytest

from tinylm.errors import DataError
from tinylm.reading import BadLines
from tinylm.tables import is_table, table_records


@pytest.fixture
def read(tmp_path):
    def records(text, name="t.csv", bad=None):
        path = tmp_path / name
        data = text.encode() if isinstance(text, str) else text
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return list(table_records(path, bad))

    return records


def test_a_table_is_known_by_its_name():
    assert all(map(is_table, ("a.csv", "A.TSV", "b.csv.gz"))) and not is_table("a.jsonl")


def test_rows_are_records_by_the_names_of_the_first_row(read):
    assert read("a,b\n1,2\n\n3,4\n") == [
        ("line 2", {"a": "1", "b": "2"}),
        ("line 4", {"a": "3", "b": "4"}),
    ]
    assert read("a\tb, c\n1\t2, 3\n", "t.tsv") == [("line 2", {"a": "1", "b, c": "2, 3"})]
    assert read("a,b\n1,2\n", "t.csv.gz")[0][1] == {"a": "1", "b": "2"}


def test_a_cell_in_quotes_holds_commas_quotes_and_lines(read):
    found = read('a,b\n"x, ""y""","1\n2"\nz,3\n')
    assert found == [("line 2", {"a": 'x, "y"', "b": "1\n2"}), ("line 4", {"a": "z", "b": "3"})]


def test_what_programs_write_otherwise_is_read_too(read):
    # A byte order mark, CRLF, semicolons, spaces around names, an empty cell.
    found = read(b"\xef\xbb\xbfa; b\r\n1,5;x\r\n;y\r\n")
    assert found == [("line 2", {"a": "1,5", "b": "x"}), ("line 3", {"b": "y"})]


def test_a_cell_may_be_longer_than_the_csv_module_allows_by_default(read):
    long = "x" * 200_000
    assert read(f"a,b\n{long},1\n")[0][1]["a"] == long


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty: its first line names the columns"),
        ("a,\n1,2\n", "its first line must name the columns, each once, but is 'a,'"),
        ("a,a\n1,2\n", "each once"),
        ("a,b\n1,2,3\n", r"line 2: 3 cells for 2 columns \(a, b\): put cells with ',' in them"),
        ('a,b\n1,2\n"x"y,2\n', "line 3: .*quote a cell as a whole"),
        ('a,b\n"1,2\n', "line 2: "),
    ],
)
def test_what_is_no_table_is_an_error_with_its_line(text, message, read):
    with pytest.raises(DataError, match=message):
        read(text)


def test_bad_rows_may_be_left_out_and_counted(read):
    bad = BadLines(skip=True)
    assert [place for place, _ in read("a,b\n1,2\n1\n3,4\n", bad=bad)] == ["line 2", "line 4"]
    assert bad.count == 1
