"""The scripts complete words in the shells themselves, where these are installed."""

import shutil
import subprocess

import pytest

from tinylm.cli.look.completion import Command, Option
from tinylm.cli.look.shells import SHELLS

COMMANDS = [
    Command(
        ("train",),
        "train: a model's weights",
        (
            Option("--data", "files [of text]", "path"),
            Option("--objective", "what is learnt; it's one of many", "choices", ("mlm", "mass")),
            Option("--steps", "how many", "other"),
            Option("--tied", "one table", "none"),
            Option("--no-tied", "not: one table", "none"),
        ),
        files=False,
    ),
    Command(("align",), "align", (Option("--list", "list", "none"),), ("sft", "dpo"), files=False),
    Command(("align", "dpo"), "pairs", (Option("--beta", "a number", "other"),)),
    Command(("generate",), "continue", (), ("smollm2",)),
]
CASES = [
    (["t"], {"train"}),
    (["help", "ge"], {"generate"}),
    (["train", "--t"], {"--tied"}),
    (["train", "--no"], {"--no-tied"}),
    (["train", "--objective", "m"], {"mlm", "mass"}),
    (["train", "--data", "no"], {"notes.txt", "no spaces.txt"}),
    (["train", "--steps", ""], set()),
    (["train", "n"], set()),
    (["align", ""], {"sft", "dpo"}),
    (["align", "dpo", "--b"], {"--beta"}),
    (["align", "dpo", "not"], {"notes.txt"}),
    (["help", "align", "d"], {"dpo"}),
    (["generate", "smo"], {"smollm2"}),
    (["generate", "not"], {"notes.txt"}),
]


@pytest.fixture
def folder(tmp_path):
    for name in ("notes.txt", "no spaces.txt"):
        (tmp_path / name).touch()
    for shell, write in SHELLS.items():
        (tmp_path / f"script.{shell}").write_text(write(COMMANDS))
    return tmp_path


def shell(name, code, folder):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([name, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("words, expected", CASES)
def test_bash_completes(words, expected, folder):
    quoted = " ".join(f"'{word}'" for word in ["tinylm", *words])
    code = (
        f"source script.bash; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _tinylm; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert set(shell("bash", code, folder).splitlines()) - {""} == expected


def test_bash_completes_a_value_behind_an_equals_sign(folder):
    for words, count in (("--objective = ml", 4), ("--objective =", 3)):
        code = (
            f"source script.bash; COMP_WORDS=(tinylm train {words}); COMP_CWORD={count}; _tinylm; "
            'echo "${COMPREPLY[@]}"'
        )
        assert "mlm" in shell("bash", code, folder)


@pytest.mark.parametrize("words, expected", CASES)
def test_fish_completes(words, expected, folder):
    typed = " ".join(["tinylm", *words])
    found = shell("fish", f"source script.fish; complete -C '{typed}'", folder).splitlines()
    assert {line.split("\t")[0].replace("\\ ", " ") for line in found} == expected


def test_zsh_reads_its_script(folder):
    assert shell("zsh", "zsh -n script.zsh; echo read", folder) == "read\n"
    text = (folder / "script.zsh").read_text()
    assert text.startswith("#compdef tinylm\n")
    # Colons, brackets and apostrophes of help texts stay in their place.
    assert "'train:train\\: a model'\\''s weights'" in text
    assert "'*--data=[files (of text)]:value:_files'" in text
    assert "'*--objective=[what is learnt; it'\\''s one of many]:value:(mlm mass)'" in text
