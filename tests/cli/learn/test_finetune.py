import io
import json
import signal
import sys

import numpy as np
import pytest

from tinylm.cli import main
from tinylm.errors import CheckpointError, ConfigError
from tinylm.train import load_run
from tinylm.train.run.directory import lock

SAMPLES = [
    {"instruction": "Who sat?", "output": "the cat"},
    {"instruction": "Where?", "input": "the dog", "output": "on the log"},
    {
        "messages": [
            {"role": role, "content": content}
            for role, content in (
                ("user", "hi"),
                ("assistant", "ho"),
                ("user", "and?"),
                ("assistant", "bye"),
            )
        ]
    },
] * 3


@pytest.fixture(scope="module")
def base(text, tiny, tmp_path_factory):
    """A run with a context that holds a conversation."""
    path = tmp_path_factory.mktemp("base") / "base"
    settings = [word for word in tiny if "context" not in word]
    assert main(["train", "--data", str(text), "--out", str(path), *settings, "--context=48"]) == 0
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, SAMPLES)))
    return path


@pytest.fixture(scope="module")
def tuned(base, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("tuned") / "tuned"
    settings = "--epochs=30", "--lr=0.02", "--batch-size=4"
    assert main(["finetune", str(base), "--data", str(data), "--out", str(path), *settings]) == 0
    return path


def test_it_says_what_is_learnt_and_what_became_of_it(base, data, tmp_path, capsys):
    assert (
        main(
            [
                "finetune",
                str(base),
                "--data",
                str(data),
                "--out",
                str(tmp_path / "out"),
                "--steps",
                "3",
            ]
        )
        == 0
    )
    out, err = capsys.readouterr()
    # 3 x (1+8+1+7+1, 1+14+1+10+1, 1+2+1+2+1+1+4+1+3+1) tokens, of them answers with their ends 8 +
    # 11 + 3 + 4
    assert "data: 9 samples, 186 tokens, of which 78 are answers" in out
    assert (
        "conversations written as roles" in out
        and "after 3 steps" in out
        and f"tinylm chat {tmp_path / 'out'}" in out
    )
    assert "step 3/3" in err


def test_samples_come_from_several_files_and_folders(base, data, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "list.json").write_text(json.dumps(SAMPLES[:2]))
    files = [str(data), str(tmp_path / "more"), str(data)]  # the second time it is the same file
    argv = ["--data", *files, "--out", str(tmp_path / "out"), "--steps", "1"]
    assert main(["finetune", str(base), *argv]) == 0
    assert "data: 11 samples" in capsys.readouterr().out


def test_the_result_is_talked_with(tuned, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who sat?\n"))
    assert main(["chat", str(tuned), "--max-tokens", "20"]) == 0
    said = capsys.readouterr().out
    assert (
        said.count("\n") == 1 and len(said) < 15 and "<|" not in said
    )  # it ends by itself, with no mark to see


def test_the_result_answers_and_is_scored(tuned, text, capsys):
    assert main(["generate", str(tuned), "Who sat?", "--max-tokens", "12"]) == 0
    assert "Who sat?" not in capsys.readouterr().out  # it is asked, not continued
    assert main(["eval", str(tuned), "--data", str(text)]) == 0


def test_tuning_goes_on_from_a_tuned_model(tuned, data, tmp_path):
    assert (
        main(
            [
                "finetune",
                str(tuned),
                "--data",
                str(data),
                "--out",
                str(tmp_path / "more"),
                "--steps=1",
                "--turns=last",
            ]
        )
        == 0
    )
    assert (
        load_run(tmp_path / "more")[0].config.vocab_size == load_run(tuned)[0].config.vocab_size
    )  # no marks twice


def test_a_low_rank_change_is_merged_and_the_rest_stays(base, data, tmp_path, capsys):
    out = tmp_path / "lora"
    assert (
        main(
            [
                "finetune",
                str(base),
                "--data",
                str(data),
                "--out",
                str(out),
                "--steps",
                "2",
                "--lora",
                "2",
                "--pack",
            ]
        )
        == 0
    )
    before, after = load_run(base)[0].state_dict(), load_run(out)[0].state_dict()
    assert before.keys() == after.keys()
    changed = {
        name
        for name in before
        if before[name].shape == after[name].shape and (before[name] != after[name]).any()
    }
    assert changed and all(name.endswith(".weight") and "norm" not in name for name in changed)
    change = after["blocks.0.attention.qkv.weight"] - before["blocks.0.attention.qkv.weight"]
    s = np.linalg.svd(change, compute_uv=False)
    assert s[2] < 1e-5 * s[0]  # rank 2, but for float32's rounding


def test_published_weights_are_tuned(tmp_path, data, capsys, monkeypatch):
    from tinylm.models import GPT, GPTConfig
    from tinylm.models.published.save import save_pretrained
    from tinylm.tokenizers import BPETokenizer, save_gpt2

    tokenizer = BPETokenizer.train(["the cat sat on the mat " * 9], 270)
    parts = dict(norm="rms", positions="rope", activation="swiglu", bias=False, d_hidden=16)
    config = GPTConfig(tokenizer.vocab_size, 48, 1, 1, 8, **parts)
    save_pretrained(GPT(config, 0), tmp_path / "llama")
    save_gpt2(tokenizer, tmp_path / "llama" / "vocab.json", tmp_path / "llama" / "merges.txt")
    (tmp_path / "llama" / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "GPT2Tokenizer"}'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["finetune", "llama", "--data", str(data), "--steps", "2"]) == 0
    model, _, _ = load_run("runs/llama-tuned")
    assert model.config.norm == "rms" and model.config.vocab_size == tokenizer.vocab_size + 4
    assert main(["generate", "runs/llama-tuned", "hi", "--max-tokens", "3"]) == 0


def test_a_second_result_gets_a_name_of_its_own(base, data):
    for name in ("base-tuned", "base-tuned-2"):
        assert main(["finetune", str(base), "--data", str(data), "--steps", "1"]) == 0
        assert (base.parent / name / "checkpoints").is_dir()


@pytest.mark.parametrize(
    "argv, words",
    [
        ([], "needs --data"),
        (["--data", "DATA"], "needs RUN"),
        (["RUN", "--data", "nothing.jsonl"], "no file or directory 'nothing.jsonl'"),
        (["nowhere", "--data", "DATA"], "no run at 'nowhere'"),
        (["RUN", "--data", "DATA", "--lora", "99"], "rank 99 of a map"),
        (["RUN", "--data", "DATA", "--template", "nice"], "no chat template 'nice'"),
        (["RUN", "--data", "DATA", "--out", "RUN"], "is not overwritten"),
        (["SHORT", "--data", "DATA"], "`tinylm train --context N` makes one that reads more"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    argv, words, base, run, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    named = {"RUN": base, "DATA": data, "SHORT": run}
    if "SHORT" in argv:  # a context of 8, and a question that is longer
        named["DATA"] = tmp_path / "long.jsonl"
        named["DATA"].write_text(json.dumps(SAMPLES[1]))
    assert main(["finetune", *(str(named.get(word, word)) for word in argv)]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_what_is_no_decoder_is_refused_before_it_is_trained(data, text, tiny, tmp_path, capsys):
    assert (
        main(
            [
                "train",
                "--objective=masked",
                "--data",
                str(text),
                "--out",
                str(tmp_path / "run"),
                *tiny,
            ]
        )
        == 0
    )
    capsys.readouterr()
    assert (
        main(
            ["finetune", str(tmp_path / "run"), "--data", str(data), "--out", str(tmp_path / "out")]
        )
        == 1
    )
    assert (
        "it predicts hidden tokens" in capsys.readouterr().err and not (tmp_path / "out").exists()
    )


def test_other_verbs_say_what_a_tuned_model_lacks(tuned, capsys):
    assert (
        main(["eval", str(tuned)]) == 1 and "give one with --data FILE" in capsys.readouterr().err
    )
    assert (
        main(["train", "--resume", str(tuned)]) == 1
        and f"`tinylm finetune {tuned} --data FILE`" in capsys.readouterr().err
    )


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_tuning_that_is_stopped_is_saved(base, data, tmp_path, monkeypatch, number, status):
    from tinylm.train.trainer import Trainer

    advance = Trainer.advance

    def press(self, stop):
        if self.step == 1:
            signal.raise_signal(number)
        return advance(self, stop)

    monkeypatch.setattr(Trainer, "advance", press)
    assert (
        main(
            [
                "finetune",
                str(base),
                "--data",
                str(data),
                "--out",
                str(tmp_path / "out"),
                "--steps",
                "30",
            ]
        )
        == status
    )
    load_run(tmp_path / "out")


def test_bad_samples_are_left_out_and_counted(base, data, tmp_path, capsys):
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(
        b'{"prompt": NaN}\n' + data.read_bytes() + b"\n" + b'{"prompt": "a"}\n\xff\n'
    )
    argv = [
        "finetune",
        str(base),
        "--data",
        str(damaged),
        "--out",
        str(tmp_path / "out"),
        "--steps=1",
    ]
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert "line 1" in error and "--skip-bad" in error
    assert main([*argv, "--skip-bad"]) == 0
    told = capsys.readouterr().out
    assert "left out 3 bad lines" in told and "data: 9 samples" in told


@pytest.mark.parametrize(
    "words, reason",
    [
        (["--steps=3", "--epochs=2"], "--epochs would change nothing: --steps 3 says when"),
        (["--lora-alpha=4"], "--lora-alpha would change nothing: without --lora"),
    ],
)
def test_a_setting_without_effect_is_refused(words, reason, base, data, capsys):
    assert main(["finetune", str(base), "--data", str(data), *words]) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("exists", [True, False])
def test_a_failed_tuning_leaves_no_directory_that_it_made(base, tmp_path, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    assert main(["finetune", str(base), "--data", str(tmp_path / "none"), "--out", str(out)]) == 1
    assert out.exists() == exists and not (exists and list(out.iterdir()))


def test_two_tunings_do_not_share_a_directory(base, data, tmp_path, monkeypatch, capsys):
    """The other one begins while this one trains; neither would see the other's checkpoint yet."""
    from tinylm.finetune import fitting
    from tinylm.train.run.directory import begin

    out, real, seen = str(tmp_path / "out"), fitting.fit, []

    def fit(*args, **options):
        with pytest.raises(ConfigError, match="exists already"):
            begin(out)
        with pytest.raises(CheckpointError, match="is being trained by process"):
            lock(out)
        seen.append(1)
        return real(*args, **options)

    monkeypatch.setattr(fitting, "fit", fit)
    assert main(["finetune", str(base), "--data", str(data), "--out", out, "--steps", "1"]) == 0
    assert seen
    lock(out).close()  # and it is free afterwards
    assert main(["finetune", str(base), "--data", str(data), "--out", out, "--steps", "1"]) == 1
    said = capsys.readouterr().err
    assert "is not overwritten: choose another --out" in said and "--resume" not in said


@pytest.mark.parametrize("when", ["scored", "saved"])
def test_a_signal_after_training_loses_nothing(base, data, tmp_path, monkeypatch, when):
    from tinylm.finetune.instruct import instructions, saved

    module, name = {"scored": (instructions, "answer_loss"), "saved": (saved, "save_tuned")}[when]
    real, calls = getattr(module, name), []

    def hit(*args, **options):
        calls.append(1)
        if when == "saved" or len(calls) == 2:  # the first scoring is before training
            signal.raise_signal(signal.SIGTERM)
        return real(*args, **options)

    monkeypatch.setattr(module, name, hit)
    argv = ["--data", str(data), "--out", str(tmp_path / "out"), "--steps", "2"]
    status = main(["finetune", str(base), *argv])
    assert status == (143 if when == "scored" else 0) and calls
    load_run(tmp_path / "out")


def test_a_short_tuning_warms_up_for_less(base, data, tmp_path, capsys):
    argv = ["finetune", str(base), "--data", str(data), "--warmup", "1"]
    assert main([*argv, "--out", str(tmp_path / "out"), "--steps", "20"]) == 0
    told = capsys.readouterr().out
    assert "warm-up: 20 steps are not fewer than the 20 to train, so 2 steps warm up" in told


def test_blocks_that_are_computed_twice_train_the_same_weights(base, data, tmp_path):
    found = []
    for name, more in (("plain", []), ("twice", ["--checkpointing"])):
        words = ["--data", str(data), "--steps=3", "--batch-size=4", "--out", str(tmp_path / name)]
        assert main(["finetune", str(base), *words, *more]) == 0
        found.append(load_run(tmp_path / name)[0].state_dict())
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


SHORT_TEST = ["--steps=1", "--batch-size=2"]


@pytest.fixture(scope="module")
def rotary(text, tiny, tmp_path_factory):
    """A run whose positions are no table: its context can grow."""
    path = tmp_path_factory.mktemp("rotary") / "rotary"
    settings = [word for word in tiny if "context" not in word and "positions" not in word]
    more = ["--context=32", "--positions=rope"]
    assert main(["train", "--data", str(text), "--out", str(path), *settings, *more]) == 0
    return str(path)


def finetuned(run, data, out, capsys, *more, status=0):
    argv = ["finetune", str(run), "--data", str(data), "--out", str(out), *SHORT_TEST, *more]
    assert main(argv) == status
    return "".join(capsys.readouterr())


def samples(path, answer, count=4):
    record = json.dumps({"instruction": "x", "output": "y" * answer})
    path.write_text("\n".join([record] * count))
    return path


def test_the_context_grows_to_the_longest_sample_where_positions_allow_it(rotary, tmp_path, capsys):
    data = samples(tmp_path / "data.jsonl", 60)
    said = finetuned(rotary, data, tmp_path / "out", capsys)
    model, _, _ = load_run(tmp_path / "out")
    # Bytes: marks, "x", marks, 60 times "y", and the end, of which the last is only a target.
    longest = model.config.context
    assert 60 < longest < 80
    assert f"context: {longest} tokens instead of 32, as the longest sample has {longest};" in said
    assert "lost" not in said


def test_what_the_context_cuts_is_said_with_the_setting_that_mends_it(rotary, tmp_path, capsys):
    data = samples(tmp_path / "data.jsonl", 60)
    said = finetuned(rotary, data, tmp_path / "out", capsys, "--context=40")
    assert load_run(tmp_path / "out")[0].config.context == 40
    assert "the context of 40 tokens cuts 4 of 4 samples and leaves out 0" in said
    (mend,) = [line for line in said.splitlines() if "are lost; --context" in line]
    longest = int(mend.split("--context ")[1].split()[0])
    said = finetuned(rotary, data, tmp_path / "whole", capsys, f"--context={longest}")
    assert "lost" not in said
    # Alone a sample grows the context to four times its size at most.
    said = finetuned(rotary, samples(data, 300), tmp_path / "long", capsys)
    assert "context: 128 tokens instead of 32" in said and "cuts 4 of 4 samples" in said


def test_a_table_of_positions_does_not_grow(base, tmp_path, capsys):
    data = samples(tmp_path / "data.jsonl", 60)
    said = finetuned(base, data, tmp_path / "out", capsys)
    assert "the context of 48 tokens cuts 4 of 4 samples" in said
    assert "`tinylm train --context N` makes one that reads more" in said
    said = finetuned(base, data, tmp_path / "more", capsys, "--context=64", status=1)
    assert "--context 64: the model has learned positions, 48 of them" in said


def test_samples_are_read_from_tables(base, tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text('instruction,output\n"Who, sat?",the cat\nWhere?,"on ""the"" log"\n' * 1)
    said = finetuned(base, path, tmp_path / "out", capsys)
    assert "data: 2 samples" in said
    path.write_text("q,a\n1,2\n")
    said = finetuned(base, path, tmp_path / "out2", capsys, status=1)
    assert "line 2: the fields 'q', 'a' are of no form" in said
    assert "the first line of a table names its columns" in said


def test_plain_text_is_told_from_samples(base, text, tmp_path, capsys):
    said = finetuned(base, text, tmp_path / "out", capsys, status=1)
    assert "is no JSON, it begins with 'the cat sat on the mat" in said
    assert "`tinylm train` learns plain text" in said


def test_a_character_that_the_run_lacks_is_named_with_its_line(text, tiny, tmp_path, capsys):
    settings = [word for word in tiny if "context" not in word and "tokenizer" not in word]
    run = str(tmp_path / "chars")
    argv = ["train", "--data", str(text), "--out", run, "--tokenizer=chars", "--context=48"]
    assert main([*argv, *settings]) == 0
    data = tmp_path / "data.jsonl"
    good, bad = ({"prompt": "the cat", "completion": word} for word in ("sat", "saß"))
    data.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in (good, bad, good)))
    said = finetuned(run, data, tmp_path / "out", capsys, status=1)
    # Behind the mark of the assistant's turn, which the tokenizer has.
    assert "data.jsonl, line 2: character 'ß' (U+00DF) at position " in said
    assert "in 'saß'" in said
    said = finetuned(run, data, tmp_path / "out", capsys, "--skip-bad")
    assert "left out 1 bad line" in said and "data: 2 samples" in said
    # The same in a prompt.
    assert main(["generate", run, "the caß"]) == 1
    error = capsys.readouterr().err
    assert "character 'ß' (U+00DF) at position 6" in error and error.count("\n") == 1
