import json

import pytest

from tinylm.cli import main

OWN = """
import tinylm.autograd as tl

def inputs(rng):
    return (rng.normal(size=(3, 4)),)

def right(x):
    return tl.exp(x) * x

def wrong(x):                                                # the gradient through the second factor is cut
    return tl.exp(x) * x.detach()
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_a_table_has_a_row_for_each_name_and_a_count(capsys):
    assert main(["gradcheck", "softmax", "exp"]) == 0
    head, *rows, count = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "name",
        "1st",
        "order",
        "2nd",
        "order",
        "points",
        "dtype",
        "device",
        "verdict",
    ]
    assert {row.split()[0] for row in rows} == {"exp", "softmax"} and len(rows) == 2
    assert all(row.split()[-3:] == ["float64", "cpu", "ok"] for row in rows)
    assert count.startswith("2 checked, 0 failed")


def test_json_is_a_list_of_reports(capsys):
    assert main(["gradcheck", "exp", "--json", "--dtype", "float64", "--dtype", "float32"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["dtype"], row["verdict"]) for row in rows] == [
        ("float64", "ok"),
        ("float32", "ok"),
    ]


def test_code_of_the_user_is_checked(own, capsys):
    assert main(["gradcheck", "--module", f"{own}:right"]) == 0
    assert "1 checked, 0 failed" in capsys.readouterr().out


def test_a_wrong_derivative_ends_with_1_and_its_reason(own, capsys):
    assert main(["gradcheck", "--module", f"{own}:wrong"]) == 1
    said = capsys.readouterr().out
    assert "wrong" in said and "the engine gives" in said and "1 checked, 1 failed" in said
    assert main(["gradcheck", "--module", f"{own}:wrong", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "wrong"


def test_a_part_of_a_name_is_found_in_either_case(capsys):
    assert main(["gradcheck", "lora"]) == 0
    assert "finetune.LoRA" in capsys.readouterr().out


def test_the_list_names_every_entry(capsys):
    from tinylm.autograd import registry

    assert main(["gradcheck", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(registry.load_all())


@pytest.mark.parametrize(
    "argv, words",
    [
        (["sofmax"], "did you mean softmax"),
        (["exp", "--dtype", "float8"], "dtype 'float8' is not one of float64"),
        (["exp", "--module", "a:b"], "--module checks a:b alone"),
        (["--module", "nowhere"], "package.file:callable"),
        (["exp", "--device", "tpu"], "no device named 'tpu'"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, capsys):
    assert main(["gradcheck", *argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
