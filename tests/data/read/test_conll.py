import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.conll import read_conll, read_conllu, write_conll
from tinylm.errors import DataError

WORD = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=5)
WORDS = st.lists(st.tuples(WORD, st.sampled_from(["O", "B-x"])), min_size=1, max_size=5)
UNIVERSAL = """# sent_id = 1
# text = Don't stop.
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVB\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tstop\tstop\tVERB\tVB\t_\t0\troot\t_\t_
3.1\tnow\tnow\tADV\tRB\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\t_

1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_
"""


def test_words_and_tags_are_read_sentence_by_sentence(tmp_path):
    file = tmp_path / "a.conll"
    file.write_text(
        "-DOCSTART- O\n\nIn\tO\nNew\tB-location\nYork\tI-location\n\n\t\nHi\tO", encoding="utf-8"
    )
    assert read_conll(file) == [
        (["In", "New", "York"], ["O", "B-location", "I-location"]),
        (["Hi"], ["O"]),
    ]


def test_columns_are_chosen_by_number(tmp_path):
    file = tmp_path / "a.conll"
    file.write_text("U.N. NNP I-NP I-ORG\n", encoding="utf-8")
    assert read_conll(file, tag=1) == [(["U.N."], ["NNP"])] and read_conll(file) == [
        (["U.N."], ["I-ORG"])
    ]


def test_of_conllu_the_syntactic_words_are_read(tmp_path):
    file = tmp_path / "a.conllu.gz"
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.write(UNIVERSAL)
    first = ["Do", "n't", "stop", "."]
    assert read_conllu(file) == [(first, ["AUX", "PART", "VERB", "PUNCT"]), (["Yes"], ["INTJ"])]
    assert read_conllu(file, tag=4)[0] == (first, ["VB", "RB", "VB", "."])


@given(st.lists(WORDS, max_size=4))
def test_reading_undoes_writing(tmp_path_factory, drawn):
    sentences = [([w for w, _ in pairs], [t for _, t in pairs]) for pairs in drawn]
    file = tmp_path_factory.mktemp("conll") / "a.conll"
    write_conll(file, sentences)
    assert read_conll(file) == sentences


def test_damage_is_named_by_file_and_line(tmp_path):
    file = tmp_path / "bad.conll"
    file.write_text("a O\nb\n", encoding="utf-8")
    with pytest.raises(DataError, match="bad.conll, line 2: 'b' has 1 column"):
        read_conll(file)
    file.write_text("\n\n1\tYes\tyes\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3.* has 3 columns between tabs"):
        read_conllu(file)
    with pytest.raises(DataError, match="none.conll cannot be read"):
        read_conll(tmp_path / "none.conll")
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="not gzip"):
        read_conll(tmp_path / "broken.gz")
    with pytest.raises(DataError, match="white space"):
        write_conll(file, [(["two words"], ["O"])])
