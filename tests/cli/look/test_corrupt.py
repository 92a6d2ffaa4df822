import pytest

from tinylm.cli import main
from tinylm.cli.look.corrupt import shown
from tinylm.pretrain.example import PAIR
from tinylm.pretrain.objectives import OBJECTIVES


def test_the_list_names_every_objective_one_a_line(capsys):
    assert main(["corrupt", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(OBJECTIVES)
    assert main(["corrupt", "--list", "--family", "permuted"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["permuted"]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_a_picture(name, capsys):
    assert main(["corrupt", "--objective", name]) == 0
    text = capsys.readouterr().out
    assert (
        text.startswith(f"{name}: {OBJECTIVES[name].about}")
        and "■" in text
        and max(map(len, text.splitlines())) <= 160
    )


def test_the_picture_of_a_causal_model():
    assert shown("causal", "a b .")[3:] == [
        "input   <s> a b",
        "target  a   b .",
        "mask    ■   ■ ■",
        "",
        "mask: the loss counts what is marked ■",
        "",
        "attention: a row sees the columns marked ■",
        "      0 1 2",
        "<s> 0 ■ · ·",
        "a   1 ■ ■ ·",
        "b   2 ■ ■ ■",
    ]


def test_the_seed_decides_what_is_drawn():
    assert shown("masked", "a b c d e f g h", 1) == shown("masked", "a b c d e f g h", 1)
    assert len({tuple(shown("permuted", "a b c d e", seed)) for seed in range(5)}) > 1


def test_a_source_and_a_target_have_three_patterns():
    lines = shown("sentinels", "The early bird catches the worm .")
    assert [line.split(":")[0] for line in lines if line.endswith("■") and "row sees" in line] == [
        "encoder",
        "decoder",
        "cross",
    ]
    assert any("[X]" in line for line in lines if line.startswith("source"))


def test_code_is_switched_where_there_is_a_translation():
    assert any(
        "Vogel" in line or "frühe" in line
        for seed in range(20)
        for line in shown("code-switching", "The early bird", seed)
    )


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--objective", "maskd"], "did you mean masked"),
        (["one"], "fewer than two words"),
        (["--objective", "translation", "no bar here"], f'with | between them, "{PAIR}", not 1'),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, capsys):
    assert main(["corrupt", *argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.startswith("tinylm corrupt: ") and error.count("\n") == 1


def test_an_objective_is_shown_by_a_synonym_and_the_list_names_them(capsys):
    assert main(["corrupt", "--objective", "T5"]) == 0
    assert capsys.readouterr().out.startswith("sentinels: ")
    assert main(["corrupt", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("masked ") and "(also mlm, " in line for line in lines)


def test_families_are_chosen_in_any_case_and_an_unknown_one_is_an_error(capsys):
    assert main(["corrupt", "--list", "--family", "Masked"]) == 0
    assert capsys.readouterr().out.startswith("masked ")
    assert main(["corrupt", "--list", "--family", "zzz"]) == 1
    assert "none of language modeling, masked LM, " in capsys.readouterr().err


def test_controls_of_a_text_are_escapes_in_columns_of_their_width():
    lines = shown("causal", "a \x1b b")
    assert lines[3] == "input   <s> a    \\x1b"
    assert lines[4] == "target  a   \\x1b b"
