"""Table 2.3 of the book, divided out."""

import pytest

from tinylm.train.scaling.amounts import TABLE_2_3


@pytest.mark.parametrize(
    "name, low, high",
    [
        ("GPT3-175B", 2.9, 2.9),
        ("Falcon-180B", 19.4, 19.4),
        ("LLaMA2-65B", 15.4, 21.5),
        ("PaLM-450B", 1.4, 1.4),
        ("Gemma-7B", 857.1, 857.1),
    ],
)
def test_tokens_for_each_parameter(name, low, high):
    # 0.5e12 / 175e9 = 2.857, 3.5e12 / 180e9 = 19.44, 1.0 and 1.4e12 / 65e9 = 15.38 and 21.54,
    # 0.78e12 / 540e9 = 1.444
    row = next(row for row in TABLE_2_3 if row.book == name)
    assert [round(n, 1) for n in row.tokens_per_parameter] == [low, high]


def test_web_pages_are_the_one_source_of_them_all():
    assert [
        source for source in TABLE_2_3[0].sources if all(source in row.sources for row in TABLE_2_3)
    ] == ["webpages"]
