import pytest

from tinylm.cli import main
from tinylm.cli.look.models import other_families
from tinylm.models.decoder.presets import DECODERS


def test_every_family_has_a_line_with_its_count(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(DECODERS) + 1]] == list(DECODERS)
    assert all(len(line) <= 140 for line in lines)
    (bloom,) = (line for line in lines if line.startswith("bloom-176b"))
    assert "176,247,271,424" in bloom and bloom.endswith("alibi, embedding_norm")


def test_one_model_shows_its_parts_and_what_the_book_prints_of_it(capsys):
    assert main(["models", "mistral-7b"]) == 0
    text = capsys.readouterr().out
    # 2 * 32 layers * 8 heads * 128 * 2 bytes
    for part in (
        "7,241,732,096 parameters",
        "131,072 bytes a token",
        "* window = 4096",
        "heads 32/32: the real model groups",
    ):
        assert part in text
    assert main(["models", "mixtral-8x7b"]) == 0
    assert "12,879,925,248 of them for each token" in capsys.readouterr().out


def test_a_name_that_is_not_there_gives_near_ones(capsys):
    assert main(["models", "mistral-8b"]) == 1
    assert "did you mean mistral-7b" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, words",
    [
        (["chat", "RUN"], "was not tuned to follow instructions"),
        (["chat"], "needs MODEL"),
        (["generate", "RUN", "x", "--bits", "5"], "bits must be one of 32, 8, 4"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, run, capsys):
    assert main([str(run) if word == "RUN" else word for word in argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_speed_is_told_when_asked_for(run, capsys):
    assert main(["generate", str(run), "the", "--max-tokens", "9", "--stats"]) == 0
    assert "tokens/s after" in capsys.readouterr().err


def test_the_list_holds_encoders_and_encoder_decoders_with_their_published_counts():
    lines = {line.split()[0]: line for line in other_families()}
    assert (
        "110,106,428" in lines["bert-base-uncased"]
    )  # BERT-base with its masked-language and pair heads
    assert "60,506,624" in lines["t5-small"] and "xlnet-large" in lines


def test_an_encoder_is_described_by_its_configuration(capsys):
    assert main(["models", "roberta-base"]) == 0
    assert "124,697,433 parameters" in (said := capsys.readouterr().out) and "d_model = 768" in said
