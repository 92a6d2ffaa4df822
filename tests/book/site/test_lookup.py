import json

from tests.book.site.conftest import small_rows
from tinylm.book import contents
from tinylm.book.site import frame, lookup


def pages(rows):
    numbers = {contents.page_of(number) for number in contents.titles()}
    return {number: frame.file_of(number) for number in numbers}


def test_every_row_is_there_with_its_page_and_its_words():
    rows = small_rows()
    data = lookup.data(rows, pages(rows))
    assert [row[0] for row in data["rows"]] == [row.id for row in rows]
    (grouped,) = [row for row in data["rows"] if row[0] == "C2b-55"]
    assert grouped[1:5] == [
        "2.3.4.html",
        "2.3.4",
        "Grouped-query attention",
        "grouped query attention",
    ]
    assert grouped[8] == ["2.73"]


def test_terms_name_rows_by_number_and_each_line_of_synonyms_stands_once():
    rows = small_rows()
    data = lookup.data(rows, pages(rows))
    (numbers,) = [numbers for phrases, numbers in data["terms"] if "gqa" in phrases]
    assert [rows[n].id for n in numbers] == ["C2b-55"]  # C2a-C09 has no page here
    assert len(data["terms"]) == len({tuple(phrases) for phrases, _ in data["terms"]})


def test_the_script_is_one_assignment_that_cannot_end_its_element():
    rows = small_rows()
    text = lookup.script(rows, pages(rows))
    assert "<" not in text and text.startswith("window.BOOK=") and text.endswith(";\n")
    assert json.loads(text[len("window.BOOK=") : -2]) == lookup.data(rows, pages(rows))
