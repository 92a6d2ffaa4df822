"""CoNLL-U and CoNLL's tags as their formats define them: what is malformed has its line."""

import pytest

from tinylm.data.read.conll import read_conll
from tinylm.data.read.conllu import read_conllu
from tinylm.errors import ConfigError, DataError


def row(number, head="0", relation="root", form="a", upos="X", features="_"):
    return f"{number}\t{form}\t_\t{upos}\t_\t{features}\t{head}\t{relation}\t_\t_\n"


RANGE = "\tab" + "\t_" * 8 + "\n"
EMPTY = "\tb\t_\tX\t_\t_\t_\t_\t1:dep\t_\n"


@pytest.mark.parametrize(
    "text, words",
    [
        (row(1), ["a"]),
        ("# newdoc\n" + row(1) + "\n", ["a"]),
        ("1-2" + RANGE + row(1) + row(2, "1", "dep"), ["a", "a"]),
        ("0.1" + EMPTY + row(1) + "1.1" + EMPTY + "1.2" + EMPTY, ["a"]),
        (row(1, form="1 000"), ["1 000"]),
        (row(1, "_", "_"), ["a"]),
        (row(1, features="A=b|C=d,e"), ["a"]),
        (row(1, form="x"), ["x"]),
        (row(1, form="#"), ["#"]),
        (row(1, "2", "dep") + row(2, relation="root:x"), ["a", "a"]),
    ],
)
def test_what_the_format_allows_is_read(tmp_path, text, words):
    (tmp_path / "a.conllu").write_text(text, encoding="utf-8")
    assert read_conllu(tmp_path / "a.conllu") == [(words, ["X"] * len(words))]


@pytest.mark.parametrize(
    "text, line, reason",
    [
        (row(1) + row(3, "1", "dep"), 2, "ID 3 where 2 is next"),
        (row(1) + row(1, "1", "dep"), 2, "ID 1 where 2"),
        (row("9" * 5000), 1, "ID '99"),
        (row(1, "9" * 5000), 1, "HEAD '99"),
        (row("01"), 1, "ID '01'"),
        (row("x"), 1, "ID 'x'"),
        (row(2), 1, "where 1 is next"),
        (row(0), 1, "ID '0'"),
        (row("1-"), 1, "ID '1-'"),
        ("2-3" + RANGE + row(1), 1, "ID 2-3: a range stands before"),
        ("1-1" + RANGE + row(1), 1, "range"),
        ("1-2" + RANGE + "1-2" + RANGE + row(1), 2, "range"),
        ("1-2" + RANGE + row(1), 2, "goes up to 2, the words up to 1"),
        (row("1-2") + row(1), 1, "only FORM and MISC"),
        ("1.1" + EMPTY + row(1), 1, "0.1 would be next"),
        (row(1) + "1.2" + EMPTY, 2, "1.1 would be next"),
        (row(1) + row("1.1"), 2, "no HEAD"),
        (row(1, upos="NN"), 1, "UPOS 'NN'"),
        (row(1, "1"), 1, "itself as HEAD"),
        (row(1, "x"), 1, "HEAD 'x'"),
        (row(1, "-1"), 1, "HEAD '-1'"),
        (row(1, "5", "dep"), 1, "HEAD 5, which is no word"),
        (row(1, "2", "dep") + row(2, "1", "dep"), 1, "circle"),
        (row(1) + row(2), 2, "word 2 is a second root, after word 1"),
        (row(1, relation="dep"), 1, "root is the relation to 0"),
        (row(1) + row(2, "1", "root"), 2, "root is the relation"),
        (row(1, form=""), 1, "empty FORM"),
        (row(1, form=" a"), 1, "spaces around"),
        (row(1, upos="X Y"), 1, "white space inside UPOS"),
        (row(1, features="Case"), 1, "FEATS 'Case'"),
        (row(1, features="A=b|A=c"), 1, "each name once"),
        (row(1) + "# late\n", 2, "comment inside"),
        ("# alone\n\n" + row(1), 1, "no word"),
        (row(1) + " \n" + row(1), 2, "1 columns"),
        (row(1).replace("\t_\n", "\n"), 1, "9 columns"),
        (row(1).replace("\t", "    "), 1, "1 columns"),
    ],
)
def test_what_is_malformed_is_named_with_its_line(tmp_path, text, line, reason):
    (tmp_path / "a.conllu").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"line {line}.*{reason}"):
        read_conllu(tmp_path / "a.conllu")


@pytest.mark.parametrize(
    "scheme, tags",
    [
        ("iob1", "I-A O I-A B-A I-B"),
        ("iob2", "B-A I-A O B-B B-B"),
        ("iobes", "B-A I-A E-A S-B O"),
        ("bilou", "U-A B-A L-A O"),
    ],
)
def test_tags_of_every_scheme_are_read_named_or_not(tmp_path, scheme, tags):
    (tmp_path / "a.conll").write_text("".join(f"w {tag}\n" for tag in tags.split()))
    assert read_conll(tmp_path / "a.conll", scheme=scheme) == read_conll(tmp_path / "a.conll")


@pytest.mark.parametrize(
    "scheme, tags, line",
    [
        ("iob2", "O I-A", 2),
        ("iob2", "B-A I-B", 2),
        ("iob1", "O B-A", 2),
        ("iob1", "I-B B-A", 2),
        ("iobes", "B-A O", 2),
        ("iobes", "B-A", 1),
        ("iobes", "I-A", 1),
        ("bilou", "B-A E-A", 2),
        ("iob2", "O B-", 2),
        ("iob2", "B_A", 1),
        ("", "B-A I-A O I-B", 4),
        ("", "B-A I-A x", 3),
        ("", "O B-A b-A", 3),
    ],
)
def test_a_tag_that_cannot_stand_there_is_named(tmp_path, scheme, tags, line):
    (tmp_path / "a.conll").write_text("".join(f"w {tag}\n" for tag in tags.split()))
    with pytest.raises(DataError, match=f"a.conll, line {line}: the tag"):
        read_conll(tmp_path / "a.conll", scheme=scheme)
    assert read_conll(tmp_path / "a.conll", scheme="any")
    with pytest.raises(ConfigError, match="none of any, iob1"):
        read_conll(tmp_path / "a.conll", scheme="bio")


@pytest.mark.parametrize(
    "text, read",
    [
        ("a\u00a0b O\n", [["a\u00a0b"]]),
        ("a b\tO\n", [["a b"]]),
        ("a O\n-DOCSTART- -X-\nb O\n", [["a"], ["b"]]),
        ("\ufeffa O\r\n\r\nb O", [["a"], ["b"]]),
        ("# O\n", [["#"]]),
        ("-DOCSTART-x O\n", [["-DOCSTART-x"]]),
    ],
)
def test_words_are_what_stands_between_the_columns(tmp_path, text, read):
    (tmp_path / "a.conll").write_bytes(text.encode())
    assert [words for words, _ in read_conll(tmp_path / "a.conll")] == read


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a X O\nb O\n", "line 2: .* 2 columns, the lines before have 3"),
        ("a O\nb\t\tO\n", "line 2: column 2 of .* is empty"),
        ("a O\n\nb X O\n", "line 3: .* 3 columns"),
    ],
)
def test_lines_of_a_file_have_the_same_columns(tmp_path, text, reason):
    (tmp_path / "a.conll").write_text(text)
    with pytest.raises(DataError, match=reason):
        read_conll(tmp_path / "a.conll")
