"""Labeled sentences and pairs are read strictly, and parts of them are fair."""

import gzip
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.labeled import read_classes, read_columns, read_labeled, share_of
from tinylm.data.synthetic.reviews import _BAD, _GOOD, made_up_reviews
from tinylm.errors import ConfigError, DataError
from tinylm.reading import BadLines


def test_a_label_is_what_stands_after_the_last_tab(tmp_path):
    path = tmp_path / "reviews.txt"
    path.write_bytes("So good.\t1\r\nA tab\there.  \t0\n\nNext\x85line\t1\n".encode())
    assert read_labeled(path) == [
        ("So good.", 1),
        ("A tab\there.", 0),
        ("Next\x85line", 1),
    ]  # \x85 ends no line


def test_the_line_that_is_wrong_is_named(tmp_path):
    path = tmp_path / "reviews.txt"
    path.write_text("fine\t1\nno label\n")
    with pytest.raises(DataError, match="line 2"):
        read_labeled(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_labeled(tmp_path / "none")
    path.write_bytes(b"\xff\t1\n")
    with pytest.raises(DataError, match="line 1: byte 0xff.*not UTF-8"):
        read_labeled(path)


@pytest.mark.parametrize("label", ["٣", "３", "1_0", "²", "-1", "1.0", ""])
def test_a_label_is_written_in_the_digits_0_to_9(tmp_path, label):
    path = tmp_path / "reviews.txt"
    path.write_text(f"fine\t1\ngood\t{label}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2: needs a sentence, a tab and a whole number"):
        read_labeled(path)


def test_columns_of_a_gzipped_file(tmp_path):
    path = tmp_path / "verses.tsv.gz"
    path.write_bytes(gzip.compress("1\tone\tuno\n2\ttwo\tdos\n".encode()))
    assert read_columns(path, 1, 2) == [("one", "uno"), ("two", "dos")]
    with pytest.raises(DataError, match="line 1: has 3 columns, needs 4"):
        read_columns(path, 3)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
    st.integers(0, 5),
)
def test_every_label_keeps_its_share_and_smaller_parts_lie_in_larger(labels, low, high, seed):
    low, high = sorted((low, high))
    examples = [(i, label) for i, label in enumerate(labels)]
    small, _ = share_of(examples, low, seed)
    part, rest = share_of(examples, high, seed)
    assert sorted(part + rest) == examples and set(small) <= set(part)
    for label, n in Counter(labels).items():
        assert sum(y == label for _, y in part) == max(1, round(high * n))


def test_a_share_is_above_none_and_at_most_all():
    with pytest.raises(ConfigError, match="share 0"):
        share_of([("a", 1)], 0)


def test_made_up_reviews_are_balanced_and_the_last_remark_decides():
    examples = made_up_reviews(200, seed=3)
    assert examples == made_up_reviews(200, seed=3) != made_up_reviews(200, seed=4)
    assert sum(label for _, label in examples) == 100
    for text, label in examples:
        words = text.lower().rstrip(".").split()
        assert (words[-1] in _GOOD) != (words[-1] in _BAD)
        assert label == ((words[-1] in _GOOD) != (words[-2] == "not"))


def test_texts_and_pairs_come_with_the_names_of_their_classes(tmp_path):
    (tmp_path / "a.tsv").write_text("one text\t good \n\ntwo\tbad\n")
    assert read_classes(tmp_path / "a.tsv") == [("one text", "good"), ("two", "bad")]
    (tmp_path / "b.csv").write_text('text,Label\n"a, b",1\nc,0\n')
    assert read_classes(tmp_path / "b.csv") == [("a, b", "1"), ("c", "0")]
    (tmp_path / "c.tsv").write_text("a\tb\tsame\nc\td\tother\n")
    assert read_classes(tmp_path / "c.tsv") == [(("a", "b"), "same"), (("c", "d"), "other")]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a\n", "line 1: has 1 columns, needs 2"),
        ("a\t1\n\t2\n", "line 2: an empty text or class"),
        ("a\t\n", "line 1: an empty text or class"),
        ("a\tb\tc\t1\n", "line 1: has 4 columns: needs a text and its class"),
        ("a\t1\nb\tc\t1\n", "line 2: has 3 columns, the lines before have 2"),
    ],
)
def test_a_line_without_a_text_or_a_class_is_named(text, message, tmp_path):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_classes(tmp_path / "a.tsv")
    bad = BadLines(True)
    read_classes(tmp_path / "a.tsv", bad)
    assert bad.count == 1
