import signal
import subprocess
import sys
import types

import pytest

from tinylm.cli import VERBS, main
from tinylm.errors import ConfigError, DataError


@pytest.fixture
def verb(monkeypatch):
    """Put a function in place of `tinylm book`."""

    def install(function):
        monkeypatch.setitem(
            sys.modules, "tinylm.cli.look.book", types.SimpleNamespace(main=function)
        )

    return install


def raiser(error):
    def main(argv):
        raise error

    return main


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_tinylm_alone_shows_every_verb_with_an_example(argv, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # no purpose is broken
    assert main(argv) == 0
    text = capsys.readouterr().out
    for name, (purpose, example) in VERBS.items():
        assert purpose in text and example in text and example.startswith(f"tinylm {name}")


@pytest.mark.parametrize("width", [20, 40])
def test_on_a_narrow_terminal_descriptions_are_broken_and_commands_are_not(
    width, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [line for line in lines if line.strip().startswith("tinylm ")]
    for _, example in VERBS.values():
        assert any(line.strip() == example for line in commands)
    # 20 columns of text at least, behind a margin of 13
    assert max(len(line) for line in lines if line not in commands) <= max(width, 33)


@pytest.mark.parametrize("words", [["help", "corrupt"], ["--help", "corrupt"], ["-h", "corrupt"]])
def test_help_of_a_verb_is_the_same_before_and_behind_it(words, capsys):
    assert main(["corrupt", "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("usage: tinylm corrupt [TEXT]")
    assert main(words) == 0
    assert capsys.readouterr().out == page


def test_help_of_a_method_and_of_an_unknown_verb(capsys):
    assert main(["help", "align", "dpo"]) == 0
    assert capsys.readouterr().out.startswith("usage: tinylm align dpo RUN")
    assert main(["help", "trian"]) == 2
    assert capsys.readouterr().err == "tinylm: no verb 'trian': did you mean train?\n"


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version_is_said(word, capsys):
    import tinylm

    assert main([word]) == 0
    assert capsys.readouterr().out == f"tinylm {tinylm.__version__}\n"


def test_an_unknown_verb_names_the_near_ones(capsys):
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "tinylm: no verb 'trian': did you mean train?\n"


def test_an_unknown_verb_with_nothing_near_names_all(capsys):
    assert main(["zzz"]) == 2
    assert ", ".join(VERBS) in capsys.readouterr().err


@pytest.mark.parametrize(
    "error, line",
    [
        (ConfigError("steps must be\n  positive"), "tinylm book: steps must be positive\n"),
        (
            FileNotFoundError(2, "No such file", "x.txt"),
            "tinylm book: [Errno 2] No such file: 'x.txt'\n",
        ),
        (MemoryError(), "tinylm book: MemoryError\n"),
        (DataError("book: no row X"), "tinylm book: no row X\n"),
        (DataError("no \x1b[2Jfile\r"), "tinylm book: no \\x1b[2Jfile\\r\n"),
    ],
)
def test_a_deliberate_error_is_one_line_on_stderr(verb, capsys, monkeypatch, error, line):
    monkeypatch.delenv("TINYLM_DEBUG", raising=False)
    verb(raiser(error))
    assert main(["book"]) == 1
    assert capsys.readouterr() == ("", line)


def test_debug_shows_the_traceback(verb, monkeypatch):
    monkeypatch.setenv("TINYLM_DEBUG", "1")
    verb(raiser(ConfigError("no")))
    with pytest.raises(ConfigError):
        main(["book"])


def test_a_bug_keeps_its_traceback(verb):
    verb(raiser(IndexError("list index out of range")))
    with pytest.raises(IndexError):
        main(["book"])


def test_ctrl_c_ends_with_one_line_and_130(verb, capsys):
    verb(raiser(KeyboardInterrupt()))
    assert main(["book", "rope"]) == 130
    assert capsys.readouterr() == ("", "tinylm book: stopped by Ctrl-C\n")


def test_sigterm_ends_with_143_and_what_was_begun_is_cleaned_up(verb, capsys):
    cleaned = []

    def work(argv):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleaned.append(True)

    verb(work)
    assert main(["book"]) == 143 and cleaned == [True]
    assert capsys.readouterr().err == "tinylm book: stopped by SIGTERM\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("returned, status", [(None, 0), (0, 0), (1, 1)])
def test_the_status_of_a_verb_is_the_status_of_the_command(verb, returned, status):
    verb(lambda argv: returned)
    assert main(["book"]) == status


def test_the_words_after_the_verb_reach_it(verb):
    seen = []
    verb(seen.extend)
    main(["book", "2.1", "--check"])
    assert seen == ["2.1", "--check"]


def test_a_reader_that_closes_the_pipe_is_no_error():
    # The reading end is closed before anything is written, so the command always meets a broken
    # pipe.
    code = "import sys; sys.stdin.read(); from tinylm.cli import main; sys.exit(main([]))"
    command = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    command.stdout.close()
    command.stdin.close()
    assert command.stderr.read() == b""
    assert command.wait() == 141  # 128 + SIGPIPE


def test_the_command_starts_without_any_verb_or_optional_library():
    code = (
        "import sys; from tinylm.cli import ROOMS, main; main([]);"
        "heavy = ('matplotlib', 'tqdm', 'torch', 'cupy', *(f'tinylm.cli.{room}' for room in ROOMS));"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
