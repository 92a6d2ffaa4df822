import io
import sys

import pytest

from tinylm.cli import main


def output(capsys, *argv):
    assert main(["generate", *map(str, argv)]) == 0
    return capsys.readouterr().out


def test_the_prompt_comes_first_and_the_text_has_the_length_asked(run, capsys):
    text = output(capsys, run, "the cat", "--max-tokens", "5", "--top-k", "1")
    # Greedy, one byte a token: the prompt, at most five characters more, and the line's end.
    assert (
        text.startswith("the cat") and text.endswith("\n") and len(text) <= len("the cat") + 5 + 1
    )


def test_the_same_seed_gives_the_same_text_and_another_seed_another(run, capsys):
    first, again, other = (output(capsys, run, "the", "--seed", seed) for seed in (1, 1, 2))
    assert first == again != other


def test_several_samples_have_seeds_of_their_own(run, capsys):
    both = output(capsys, run, "the", "--num", "2", "--seed", "7", "--max-tokens", "50")
    alone = output(capsys, run, "the", "--seed", "8", "--max-tokens", "50")
    assert both.startswith("--- seed 7\nthe") and both.endswith(f"--- seed 8\n{alone}")


def test_the_prompt_may_be_left_out_of_the_output(run, capsys):
    whole = output(capsys, run, "the", "--max-tokens", "20")
    assert "the" + output(capsys, run, "the", "--max-tokens", "20", "--no-echo") == whole


def test_without_a_prompt_the_model_begins_by_itself(run, capsys):
    assert len(output(capsys, run, "--max-tokens", "3")) > 1


def test_a_dash_reads_the_prompt_from_the_standard_input(run, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("on the"))
    assert output(capsys, run, "-", "--max-tokens", "0") == "on the\n"


def test_a_prompt_longer_than_the_context_says_what_is_kept(run, capsys):
    assert main(["generate", str(run), "nine char", "--max-tokens", "1"]) == 0  # the context is 8
    assert (
        "tinylm generate: the prompt has 9 tokens, more than the context of 8: its last 8"
        in capsys.readouterr().err
    )


def test_beams_show_the_most_probable_texts_best_first(run, capsys):
    one = output(capsys, run, "the", "--beams", "4", "--max-tokens", "5")
    assert one.startswith("the") and one == output(
        capsys, run, "the", "--beams", "4", "--max-tokens", "5", "--seed", "9"
    )
    three = output(capsys, run, "the", "--beams", "4", "--max-tokens", "5", "--num", "3")
    scores = [
        float(line.split()[2].rstrip(","))
        for line in three.splitlines()
        if line.startswith("--- log-probability")
    ]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True) and f"\n{one}" in three


@pytest.mark.parametrize(
    "argv, words",
    [
        (["nowhere", "x"], "no run at 'nowhere'"),
        ([], "needs RUN"),
        (["RUN", "a", "b"], "one word too many, 'b'"),
        (
            ["RUN", "x", "--temperature", "-1"],
            "temperature must be a finite number, at least 0, not -1.0",
        ),
        (["RUN", "x", "--top-p", "0"], "top_p must be above 0"),
        (["RUN", "x", "--topk", "3"], "did you mean --top-k"),
        (
            ["RUN", "x", "--beams", "2", "--top-k", "3"],
            "leave out --stop and the options of sampling",
        ),
        (["RUN", "x", "--reward", "f.py:f"], "--reward would change nothing: it chooses among"),
        (
            ["RUN", "x", "--best-of", "2", "--num", "3", "--stop", "a", "--stats"],
            "--num and --stop and --stats would change nothing: --best-of shows one",
        ),
        (["RUN", "x", "--length-penalty", "1"], "--length-penalty would change nothing"),
        (["RUN", "x", "--beams", "2", "--stats"], "--stats would change nothing: the speed"),
        (
            ["RUN", "x", "--temperature", "0", "--top-k", "3", "--min-p", ".1"],
            "--top-k and --min-p would change nothing where the most probable token is taken",
        ),
        (["RUN", "x", "--temperature", "0", "--num", "2"], "--num 2: samples of the most probable"),
        (["RUN", "x", "--top-k", "1", "--num", "2"], "--num 2: samples of the most probable"),
        (
            ["RUN", "x", "--repetition-penalty", "1e-300"],
            "repetition_penalty must be between 0.01 and 100, not 1e-300",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, run, capsys):
    assert main(["generate", *(str(run) if word == "RUN" else word for word in argv)]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_beam_that_no_memory_holds_is_refused(run, capsys):
    for option, value, message in [
        ("--beams", "1e9", "beams must be between 1 and 1000, not 1000000000"),
        ("--beams", "0", "beams must be between 1 and 1000"),
        ("--length-penalty", "1e300", "length_penalty must be between 0 and 10"),
    ]:
        assert main(["generate", str(run), "the", option, value]) == 1
        assert message in capsys.readouterr().err
