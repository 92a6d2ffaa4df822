import math
from dataclasses import dataclass
from typing import Literal, Optional

import pytest

from tinylm.cli.options import parse, refuse
from tinylm.errors import ConfigError
from tinylm.settings import above, setting


@dataclass
class Model:
    n_layer: int = setting(4, "blocks")
    tied: bool = setting(True, "share input and output embedding")
    activation: Literal["gelu", "swiglu"] = setting("gelu", "non-linearity")


@dataclass
class Training:
    learning_rate: float = setting(1e-3, "peak of the schedule", above(0))
    betas: tuple[float, float] = setting((0.9, 0.95), "Adam's decay rates")
    clip: Optional[float] = setting(1.0, "gradient norm at most; none: no clipping")
    stop: tuple[str, ...] = setting((), "texts that end the sample")
    widths: tuple[int, ...] = setting((1,), "sizes")
    out: str = setting("", "run directory")
    workers: int | Literal["auto"] = setting("auto", "processes")
    scale: float = setting(1.0, "any number at all, infinity included")


@dataclass
class Needed:
    data: str = setting(help="text file")


def test_no_words_give_the_defaults():
    assert parse([], Model) == Model()


def test_every_spelling_of_a_setting_means_the_same():
    spellings = (
        ["--learning-rate", "0.5"],
        ["--learning_rate", "0.5"],
        ["--learning-rate=0.5"],
        ["--set", "learning_rate=0.5"],
        ["--set", "learning-rate=0.5"],
        ["--set=learning_rate=0.5"],
    )
    assert {parse(words, Training).learning_rate for words in spellings} == {0.5}


def test_several_dataclasses_share_one_command_line():
    model, training = parse(["--n-layer", "2", "--clip", "0.1"], Model, Training)
    assert (model.n_layer, training.clip) == (2, 0.1)


def test_two_dataclasses_with_the_same_field_are_a_bug_of_the_verb():
    with pytest.raises(TypeError, match="n_layer"):
        parse([], Model, Model)


@pytest.mark.parametrize("word, value", [("1e-3", 1e-3), ("3", 3.0), ("1E2", 100.0)])
def test_numbers_may_be_written_with_exponents(word, value):
    assert parse(["--learning-rate", word], Training).learning_rate == value


@pytest.mark.parametrize("word, value", [("12", 12), ("1e3", 1000), ("12_000", 12000), ("-1", -1)])
def test_integers_may_be_written_as_people_write_them(word, value):
    found = parse(["--n-layer", word], Model).n_layer
    assert found == value and type(found) is int


@pytest.mark.parametrize("word", ["1.5", "many", "inf", "nan", ""])
def test_an_integer_that_is_none_is_refused(word):
    with pytest.raises(ConfigError, match="n_layer must be an integer"):
        parse([f"--n-layer={word}"], Model)


@pytest.mark.parametrize(
    "words, value",
    [
        ([], True),
        (["--tied"], True),
        (["--no-tied"], False),
        (["--tied", "false"], False),
        (["--tied=off"], False),
        (["--set", "tied=no"], False),
    ],
)
def test_a_truth_value_is_a_switch_or_a_word(words, value):
    assert parse(words, Model).tied is value


def test_a_switch_leaves_the_plain_word_after_it_alone():
    model, words = parse(["--tied", "RUN"], Model, positionals=("RUN",))
    assert model.tied and words == ["RUN"]


def test_none_is_a_value_of_an_optional_setting_only():
    assert parse(["--clip", "none"], Training).clip is None
    with pytest.raises(ConfigError, match="learning_rate must be a number, not 'none'"):
        parse(["--learning-rate", "none"], Training)


def test_a_tuple_of_numbers_is_written_with_commas():
    training = parse(["--betas", "0.8,0.99", "--widths", "8,16,32"], Training)
    assert (training.betas, training.widths) == ((0.8, 0.99), (8, 16, 32))


def test_a_pair_needs_two_values():
    with pytest.raises(ConfigError, match="betas must be 2 values with commas between, not '0.9'"):
        parse(["--betas", "0.9"], Training)


def test_a_tuple_of_texts_grows_with_every_use_and_keeps_commas():
    assert parse(["--stop", "a, b", "--stop", "\n"], Training).stop == ("a, b", "\n")


def test_a_union_takes_the_first_type_that_fits():
    assert parse(["--workers", "2"], Training).workers == 2
    assert parse(["--workers", "auto"], Training).workers == "auto"


def test_a_choice_outside_the_list_names_the_list():
    with pytest.raises(ConfigError, match="activation must be one of gelu, swiglu, not 'tanh'"):
        parse(["--activation", "tanh"], Model)


@pytest.mark.parametrize("word", ["inf", "-inf", "nan", "1e999", "0"])
def test_a_learning_rate_that_cannot_be_is_refused_by_the_field(word):
    with pytest.raises(ConfigError, match="learning_rate must be a finite number above 0"):
        parse([f"--learning-rate={word}"], Training)


def test_infinity_is_a_number_where_the_field_does_not_mind():
    assert parse(["--scale", "inf"], Training).scale == math.inf


def test_an_unknown_setting_names_the_near_ones():
    with pytest.raises(
        ConfigError, match="no setting named 'lerning-rate': did you mean --learning-rate"
    ):
        parse(["--lerning-rate", "1"], Training)
    with pytest.raises(ConfigError, match="did you mean --n-layer"):
        parse(["--set", "layer=3"], Model)
    with pytest.raises(
        ConfigError, match=r"did you mean --n-layer\?"
    ):  # one letter wrong: nothing else is meant
        parse(["--n-layr", "3"], Model)


def test_an_unknown_setting_with_nothing_near_points_to_help():
    with pytest.raises(ConfigError, match="--help lists them all"):
        parse(["--zzz", "1"], Model)


@pytest.mark.parametrize("words", [["--out"], ["--out", "--scale", "1"], ["--set"]])
def test_a_setting_without_its_value_says_so(words):
    with pytest.raises(ConfigError, match="needs a value"):
        parse(words, Training)


def test_a_value_that_starts_with_dashes_goes_behind_an_equals_sign():
    assert parse(["--out=--odd"], Training).out == "--odd"


def test_words_after_two_dashes_are_plain():
    assert parse(["--", "--tied"], Model, positionals=("PROMPT",))[1] == ["--tied"]


def test_a_single_dash_option_is_refused_and_a_negative_number_is_a_plain_word():
    with pytest.raises(ConfigError, match="no option '-v'"):
        parse(["-v"], Model)
    assert parse(["-1"], Model, positionals=("WORD",))[1] == ["-1"]


def test_plain_words_are_counted():
    run_prompt = ("RUN", "[PROMPT]")
    assert parse(["r"], Model, positionals=run_prompt)[1] == ["r"]
    with pytest.raises(ConfigError, match="needs RUN"):
        parse([], Model, positionals=run_prompt)
    with pytest.raises(ConfigError, match="one word too many, 'b'.*quote"):
        parse(["r", "a", "b"], Model, positionals=run_prompt)
    assert len(parse(list("abc"), Model, positionals=("RUN...",))[1]) == 3
    with pytest.raises(ConfigError, match="takes no plain words, but got 'extra'"):
        parse(["extra"], Model)


@dataclass
class Texts:
    data: tuple[str, ...] = setting((), "texts", several=True)
    steps: int = setting(1, "steps")


def test_an_option_of_several_words_takes_them_up_to_the_next_option():
    assert parse(["--data", "a", "b,c", "--steps", "2"], Texts) == Texts(("a", "b,c"), 2)
    assert parse(["--data", "a", "--steps", "2", "--data=b", "c"], Texts).data == ("a", "b", "c")
    for argv in ["RUN --data a b", "--data a b --steps 3 RUN", "--data a b RUN"]:
        config, words = parse(argv.split(), Texts, positionals=("RUN",))
        assert (config.data, words) == (("a", "b"), ["RUN"])
    with pytest.raises(ConfigError, match="needs RUN"):
        parse(["--data", "a"], Texts, positionals=("RUN",))


def test_a_plain_word_where_a_text_is_an_option_is_shown_as_that_option():
    with pytest.raises(ConfigError, match="got 'my book.txt'.*--data 'my book.txt'"):
        parse(["my book.txt"], Texts)
    with pytest.raises(ConfigError, match="too many, 'book.txt'.*--data book.txt"):
        parse(["RUN", "book.txt"], Texts, positionals=("RUN",))


def test_a_field_without_default_must_be_given():
    with pytest.raises(ConfigError, match="needs --data"):
        parse([], Needed)
    assert parse(["--data", "x"], Needed).data == "x"


def test_given_receives_only_what_the_user_named():
    given = {}
    parse(["--n-layer", "4"], Model, given=given)
    assert given == {"n_layer": 4}


def test_help_names_every_setting_with_type_default_and_help(capsys):
    with pytest.raises(SystemExit) as done:
        parse(
            ["--help", "--n-layer", "2"],
            Model,
            Training,
            verb="train",
            about="Train.",
            examples=("tinylm train",),
        )
    text = capsys.readouterr().out
    assert done.value.code == 0 and text.startswith("usage: tinylm train [--setting value ...]")
    for part in (
        "--n-layer INT",
        "blocks (default 4)",
        "--[no-]tied",
        "--activation gelu|swiglu",
        "--betas NUMBER,NUMBER",
        "(default 0.9,0.95)",
        "--learning-rate NUMBER",
        "(default 0.001)",
    ):
        assert part in text


@pytest.mark.parametrize("width", [20, 40, 60])
def test_a_help_page_fits_a_narrow_terminal(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    about = (
        "Train a model of words, which takes a sentence\nthat goes on.\n\n    a    table\n"
        "    b    whose row is longer than that of a narrow terminal"
    )
    with pytest.raises(SystemExit):
        parse(["--help"], Model, Training, verb="train", about=about, examples=())
    lines = capsys.readouterr().out.splitlines()
    # Names of options are never broken; "  --[no-]use-cache" and the like have 24 at most.
    texts = [line for line in lines if "--" not in line]
    assert max(map(len, texts)) <= max(width, 26)
    words = " ".join(" ".join(lines).split())
    assert "a sentence that goes on." in words and "blocks (default 4)" in words
    # The rest of a row of a table stands further in.
    assert any(line.startswith("    b    whose") or line.startswith("    b") for line in lines)


def test_show_config_prints_final_values_and_the_default_that_was_changed(capsys):
    with pytest.raises(SystemExit) as done:
        parse(["--n-layer", "2", "--show-config"], Model)
    lines = capsys.readouterr().out.splitlines()
    assert done.value.code == 0
    assert lines[0] == "settings that were given:"
    assert lines[1].split() == ["n_layer", "=", "2", "blocks", "(default", "4)"]
    assert lines[2] == "defaults:" and "  tied = true" in lines[3:]


def test_show_config_tells_what_was_given_from_what_follows(capsys, tmp_path):
    @dataclass
    class Sizes:
        depth: int | None = setting(None, help="one dial")
        width: int | None = setting(None, help="none: by depth")
        steps: int = setting(10)

        def __post_init__(self):
            self.width = self.width or 32 * (self.depth or 1)

    (tmp_path / "mine.json").write_text('{"depth": 3}')
    given = ["--config", str(tmp_path / "mine.json")]
    for words, width, part in (([], 96, 1), (["--width", "7"], 7, 0), (["--width", "96"], 96, 0)):
        with pytest.raises(SystemExit):
            parse([*given, *words, "--show-config"], Sizes)
        titles = "settings that were given:\n", "settings that follow:\n", "defaults:\n"
        parts = [""] * 3
        for line in capsys.readouterr().out.splitlines(keepends=True):
            if line in titles:
                part_now = titles.index(line)
            else:
                parts[part_now] += line
        assert "depth = 3" in parts[0] and f"width = {width} " in parts[part]
        assert parts[2] == "  steps = 10\n" and "(default" not in parts[0]


def test_settings_that_change_nothing_are_refused_if_they_were_changed():
    given = {}
    parse(["--n-layer", "2", "--tied", "--activation", "swiglu"], Model, given=given)
    with pytest.raises(ConfigError) as found:
        refuse(given, ("activation", "n_layer", "tied"), "nothing has blocks", Model)
    # `tied` was given its default, and asks for nothing.
    assert str(found.value) == (
        "--activation and --n-layer would change nothing: nothing has blocks; leave it out"
    )
    refuse(given, ("tied",), "nothing has blocks", Model)
    refuse({}, ("n_layer",), "nothing has blocks", Model)
