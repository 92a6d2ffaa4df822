"""The words that a shell completes are those that the verbs accept."""

import pytest

from tinylm.cli import VERBS, main
from tinylm.cli.look.completion import commands
from tinylm.cli.options import accepted
from tinylm.pretrain.objectives import OBJECTIVES


@pytest.fixture(scope="module")
def found():
    return {" ".join(command.words): command for command in commands()}


def option(command, name):
    return next(one for one in command.options if one.name == name)


def test_every_verb_and_every_method_of_align_is_there(found):
    assert set(VERBS) <= set(found)
    assert {"align sft", "align dpo", "align ppo"} <= set(found)
    assert set(found["align"].plain) == {name[6:] for name in found if name.startswith("align ")}


def test_options_are_the_settings_of_the_verb(found):
    from tinylm.cli.use.fill import main as fill

    fields, positionals = accepted(fill)
    names = [f"--{name.replace('_', '-')}" for name in fields]
    assert positionals == ("RUN", "TEXT") and "--top" in names
    listed = [one.name for one in found["fill"].options]
    assert set(names) < set(listed) and {"--no-json", "--help", "--show-config"} < set(listed)
    assert all(option(found[verb], "--config").value == "path" for verb in ("train", "align dpo"))


def test_values_are_choices_paths_or_numbers(found):
    train = found["train"]
    assert set(option(train, "--objective").choices) > {*OBJECTIVES, "mlm", "t5"}
    assert option(train, "--norm").choices == ("layer", "rms")
    assert option(train, "--device").choices == ("cpu", "gpu")
    assert (option(train, "--data").value, option(train, "--steps").value) == ("path", "other")
    assert option(train, "--no-tied").value == "none"
    assert "simpo" in option(found["align dpo"], "--loss").choices
    assert "self-consistency" in option(found["prompt"], "--method").choices
    assert "llama3-8b" in found["models"].plain and "smollm2" in found["generate"].plain


def test_what_a_verb_accepts_is_found_without_running_it():
    def verb(argv):
        raise AssertionError("it was run")

    with pytest.raises(AssertionError):
        accepted(verb)
    with pytest.raises(TypeError, match="returns without a call of parse"):
        accepted(lambda argv: None)
    # And afterwards verbs run as before.
    assert main(["corrupt", "--list"]) == 0


def test_the_verb_prints_the_script_of_a_shell(capsys):
    assert main(["completion", "/bin/bash"]) == 0
    assert capsys.readouterr().out.startswith("# Completion of tinylm for bash")
    assert main(["completion", "tcsh"]) == 1
    assert "no script for 'tcsh': choose one of bash, zsh, fish" in capsys.readouterr().err
