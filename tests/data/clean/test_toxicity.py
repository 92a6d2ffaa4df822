"""Words of a list, whole and in either case."""

import pytest

from tinylm.data.clean.toxicity import WordList, read_words
from tinylm.errors import DataError


def test_whole_words_and_phrases_count_in_either_case():
    words = WordList(["bad", "very nasty"])
    assert words.share("Bad, and very NASTY things") == pytest.approx(2 / 5)
    assert words.share("bad") == 1.0
    assert words.share("badly very nice nasty") == 0.0 and words.share("") == 0.0


def test_the_share_decides_not_one_word():
    rule = WordList(["bad"]).clean(0.1)
    assert rule("bad " + "good " * 9) and not rule("bad " + "good " * 8)


def test_a_list_is_read_from_a_file(tmp_path):
    (tmp_path / "words.txt").write_text("# mine\nbad\n\nvery nasty\n")
    assert read_words(tmp_path / "words.txt") == ["bad", "very nasty"]
    with pytest.raises(DataError, match="none.txt cannot be read"):
        read_words(tmp_path / "none.txt")
