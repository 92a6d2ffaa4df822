from tinylm import book
from tinylm.book import contents


def test_every_row_and_every_mention_stands_in_a_section_that_has_a_title():
    table = book.rows()
    known = contents.sections(table)
    assert sum(len(part.rows) for part in known) == len(table)
    assert sum(len(part.mentions) for part in known) == len(contents.mentions())


def test_titles_are_in_the_order_of_the_book():
    numbers = list(contents.titles())
    assert numbers == sorted(numbers, key=book.section_key)


def test_what_is_only_mentioned_is_no_row():
    assert not {m.id for m in contents.mentions()} & {row.id for row in book.rows()}


def test_a_section_holds_its_subsections():
    assert contents.within("2.1.1", "2.1") and contents.within("2.1", "2.1")
    assert not contents.within("2.10", "2.1")


def test_the_way_to_a_section_and_the_page_it_stands_on():
    assert contents.path("2.3.3.2") == ["2", "2.3", "2.3.3", "2.3.3.2"]
    assert contents.path("D2L 11.9.4") == ["D2L 11", "D2L 11.9", "D2L 11.9.4"]
    assert contents.page_of("2.3.3.2") == "2.3.3" and contents.page_of("4") == "4"
