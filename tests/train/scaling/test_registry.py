"""The table of published models, divided and multiplied out."""

import pytest

from tinylm.train.scaling.registry import MODELS, find_model, table, table_2_3_losses


@pytest.mark.parametrize(
    "name, parameters, tokens",
    [
        ("BERT-large", 350e6, 250e9),
        ("RoBERTa-large", 350e6, 2000e9),
        ("T5-11B", 11e9, 1000e9),
        ("T5-XXL encoder", 4.6e9, None),
        ("GPT", 100e6, None),
        ("GPT-2", 1.5e9, None),
        ("GPT-3", 175e9, 300e9),
        ("MT-NLG", 530e9, 270e9),
        ("Gopher", 280e9, 300e9),
        ("Chinchilla", 70e9, 1.4e12),
        ("PaLM", 540e9, 780e9),
    ],
)
def test_the_numbers_are_those_that_are_printed(name, parameters, tokens):
    row = find_model(name)
    assert (row.parameters, row.tokens) == (parameters, tokens)
    assert row.flops == (None if tokens is None else pytest.approx(6 * parameters * tokens))


def test_parti_has_four_sizes_and_llama_2_read_two_fifths_more():
    assert [row.parameters for row in MODELS if row.name == "Parti"] == [350e6, 750e6, 3e9, 20e9]
    assert find_model("Llama 2 70B").tokens / 1.4e12 == pytest.approx(1.4, abs=0.05)


def test_chinchilla_and_gopher_took_about_the_same_compute():
    gopher, chinchilla = find_model("Gopher"), find_model("Chinchilla")
    assert gopher.flops == 5.04e23 and chinchilla.flops == pytest.approx(
        5.88e23
    )  # 6 x 280e9 x 300e9, 6 x 70e9 x 1.4e12
    assert chinchilla.flops / gopher.flops == pytest.approx(1.17, abs=5e-3)
    assert (
        gopher.tokens_per_parameter == pytest.approx(1.07, abs=5e-3)
        and chinchilla.tokens_per_parameter == 20
    )
    assert chinchilla.predicted_loss < gopher.predicted_loss  # 1.9366 and 1.9933


def test_gpt3_took_3646_days_of_a_petaflop():
    assert find_model("GPT-3").flops == 3.15e23 and round(find_model("GPT-3").pf_days) == 3646
    assert (
        find_model("GPT-3").parameters / find_model("GPT-2").parameters > 100
    )  # "two orders of magnitude"


@pytest.mark.parametrize(
    "name, row",
    [
        # N and D in billions, D / N, 6 N D, that over 8.64e19 a day, and the loss of the law
        ("GPT-3", "175B 300B 1.714 3.15e+23 3646"),
        ("Chinchilla", "70B 1400B 20 5.88e+23 6806"),
        ("Gopher", "280B 300B 1.071 5.04e+23 5833"),
        ("PaLM", "540B 780B 1.444 2.53e+24 29250"),
    ],
)
def test_the_columns_of_the_table_by_hand(name, row):
    lines = [line.split() for line in table()]
    assert lines[0] == ["model", "N", "D", "D/N", "6ND", "PF-days", "eq.", "2.39"]
    *columns, loss = next(line for line in lines if line[0] == name)[1:]
    assert columns == row.split()
    N, D = find_model(name).parameters, find_model(name).tokens
    # eq. (2.39) with the constants that Hoffmann et al. 2022 print
    assert float(loss) == pytest.approx(1.69 + 406.4 / N**0.34 + 410.7 / D**0.28, abs=5e-5)


def test_a_model_that_predicts_no_next_token_has_no_loss_in_the_table():
    bert = next(line for line in table() if line.startswith("BERT"))
    assert bert.split() == ["BERT-large", "0.35B", "250B", "714.3", "5.25e+20", "6", "-"]


def test_a_row_without_tokens_says_so():
    assert find_model("GPT-2").flops is None and find_model("GPT-2").predicted_loss is None
    assert (
        find_model("BERT-large").flops == 5.25e20
        and find_model("BERT-large").predicted_loss is None
    )  # it predicts no next token
    line = next(line for line in table() if line.startswith("GPT-2"))
    assert line.split() == ["GPT-2", "1.5B", "-", "-", "-", "-", "-"]
    with pytest.raises(KeyError, match="not one of"):
        find_model("GPT-5")


def test_the_law_prefers_more_text_for_table_2_3():
    losses = table_2_3_losses()
    fewest, most = losses["LLaMA2-65B"]
    assert most < fewest and most == pytest.approx(
        1.9387758, abs=5e-8
    )  # the vector of eq. (2.39) at 65e9, 1.4e12
    # Falcon: 180e9 and 3.5e12 tokens, the largest product of the table, has the lowest loss
    assert min(losses, key=lambda name: losses[name][1]) == "Falcon-180B"
