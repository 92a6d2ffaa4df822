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


SEQ2SEQ = (
    "--tokenizer=chars --n-layer=1 --n-head=2 --d-model=16 --context=12 --batch-size=8 "
    "--warmup=0 --workers=1"
).split()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function: objective, further words -> the run of an encoder-decoder that has seen the
    alphabet."""
    folder, runs = tmp_path_factory.mktemp("seq2seq"), {}
    (folder / "text.txt").write_text("abcdef" * 100)

    def train(objective, *more):
        path = str(folder / objective)
        if objective not in runs:
            argv = ["train", "--data", str(folder / "text.txt"), "--out", path, *SEQ2SEQ, *more]
            assert main([*argv, "--objective", objective]) == 0
            runs[objective] = path
        return path

    return train


def greedy(path, source, start, count):
    """The text of `count` tokens after `start`, given the source: letters and marks as ids."""
    from tinylm.generate import generate
    from tinylm.generate.protocol.conditional import Conditional
    from tinylm.pretrain.marked_text import MarkedText
    from tinylm.train import load_run

    model, tokenizer, config = load_run(path)
    special = config.special(tokenizer.vocab_size)
    text = MarkedText(tokenizer, special)
    lm = Conditional(model, [special.cls, *text.encode(source)])
    begun = [special.start, *text.encode(start)]
    ids = generate(lm, begun, count, eos=special.end, temperature=0.0)
    return text.decode([i for i in ids if i != special.end])


def test_an_encoder_decoder_writes_its_answer_to_a_text(trained, capsys):
    path, text = trained("token-masking", "--steps=2"), "abc[MASK]ef"
    capsys.readouterr()
    expected = greedy(path, text, "", 9)
    assert expected and output(capsys, path, text, "--max-tokens", "9") == expected + "\n"
    # Greedy, unless a setting of sampling is given.
    again = output(capsys, path, text, "--max-tokens", "9", "--seed", "2")
    assert again == expected + "\n"
    drawn = output(capsys, path, text, "--max-tokens", "9", "--temperature", "2")
    assert drawn != again
    both = output(capsys, path, text, "--max-tokens", "9", "--beams", "8", "--num", "2")
    assert both.count("--- log-probability") == 2


def test_the_text_after_a_prefix_is_shown_behind_it(trained, capsys):
    path = trained("prefix-seq2seq", "--steps=2")
    capsys.readouterr()
    text = output(capsys, path, "abc", "--max-tokens", "4")
    assert text.startswith("abc")
    assert "abc" + output(capsys, path, "abc", "--max-tokens", "4", "--no-echo") == text


def test_a_decoder_whose_encoder_reads_nothing_continues_a_text(trained, capsys):
    path = trained("causal", "--steps=2", "--architecture=seq2seq")
    capsys.readouterr()
    expected = "abc" + greedy(path, "", "abc", 4)
    assert output(capsys, path, "abc", "--max-tokens", "4") == expected + "\n"


@pytest.mark.parametrize(
    "objective, argv, words",
    [
        ("mass", ["abc"], "predicts hidden tokens and writes no text: `tinylm fill "),
        ("token-masking", [""], "is an encoder-decoder: give it a text to read"),
        ("token-masking", ["abcdef" * 9], "the text has 55 tokens with its marks, and"),
        ("token-masking", ["abc", "--bits", "8"], "--bits would change nothing: "),
        ("token-masking", ["abc", "--raw"], "this is a setting of decoders"),
        ("token-masking", ["abc", "--top-k", "1", "--num", "2"], "--num 2: samples of the most"),
    ],
)
def test_what_an_encoder_decoder_cannot_do_is_one_line(objective, argv, words, trained, capsys):
    path = trained(objective, "--steps=2")
    capsys.readouterr()
    assert main(["generate", path, *argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
