import io
import re
import signal
import sys

import numpy as np
import pytest

from tests.cli.learn.pairs import PAIRS
from tinylm.align.preference.divergences import DERIVATIVES
from tinylm.align.preference.losses import LOSSES
from tinylm.align.rlhf.methods.method import PLACES, WHITEN
from tinylm.align.rlhf.methods.on_policy import BASELINES
from tinylm.align.run.saved import open_reward
from tinylm.align.run.settings import ALIASES
from tinylm.align.run.tunable import weights_sha256
from tinylm.cli import main
from tinylm.train import load_run
from tinylm.train.log import read


def weights(path):
    return load_run(path)[0].state_dict()


# Every method and loss


@pytest.mark.parametrize("loss", [*LOSSES, *ALIASES])
def test_every_loss_of_pairs_trains(loss, align):
    path, said = align("dpo", f"--loss={loss}")
    steps = [event for event in read(path) if event["event"] == "step"]
    assert [event["step"] for event in steps] == [1, 2]
    row = LOSSES[ALIASES.get(loss, (loss, {}))[0]]
    if row.start:  # where policy and reference agree; rewards are 0 in every loss
        assert steps[0]["loss"] == pytest.approx(row.start(row.beta), abs=1e-5)
        assert steps[0]["margin"] == pytest.approx(0, abs=1e-5)
    assert "held back, after" in said


@pytest.mark.parametrize("method", ["sft", "reward", "kto"])
def test_every_other_method_trains(method, align):
    path, said = align(method)
    events = read(path)
    assert events[0]["event"] == "start" and events[0]["method"] == method
    validations = [event["step"] for event in events if event["event"] == "validation"]
    assert validations[0] == 0 and validations[-1] == events[-2]["step"]
    assert "held back, after: loss" in said


def test_an_option_of_a_loss_reaches_it_and_another_loss_refuses_it(align):
    path, _ = align("dpo", "--loss=ipo", "--beta=0.5")
    first = next(event for event in read(path) if event["event"] == "step")
    assert first["loss"] == pytest.approx(1.0, abs=1e-5)  # (1 / (2 beta))^2
    _, said = align("dpo", "--loss=simpo", "--divergence=0.5", out="two", status=1)
    assert "'simpo' has no option 'divergence'; it has beta, gamma" in said


def test_low_rank_updates_are_merged_into_the_result(base, align):
    path, said = align("dpo", "--lora=1")
    before, after = weights(base), weights(path)
    changed = [
        n for n in before if before[n].shape == after[n].shape and (before[n] != after[n]).any()
    ]
    assert changed and all(name.endswith("weight") and "norm" not in name for name in changed)
    assert (
        before["tokens.weight"].shape[0] < after["tokens.weight"].shape[0]
    )  # marks of the template


@pytest.mark.parametrize("method", ["dpo", "reward"])
def test_blocks_that_are_computed_twice_train_the_same_weights(method, align):
    plain, _ = align(method, "--lora=1", out="plain")
    twice, _ = align(method, "--lora=1", "--checkpointing", out="twice")
    one, two = (
        load_run(path, reward=method == "reward")[0].state_dict() for path in (plain, twice)
    )
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_the_run_that_it_started_from_stays_as_it_was(base, align):
    before = weights_sha256(weights(base))
    align("dpo")
    assert weights_sha256(weights(base)) == before


def test_packed_samples_take_fewer_rows(align):
    _, loose = align("sft", "--batch-size=1", out="loose")
    _, packed = align("sft", "--batch-size=1", "--pack", out="packed")
    assert "step 4/4" in loose and "step 1/1" in packed  # 4 samples, together below 48 tokens


def test_a_reference_scores_only_what_is_read(align):
    _, said = align("dpo", "--steps=1", "--val-fraction=0")
    assert "reference: scoring 2 pairs" in said  # of 6, in a batch of 2
    _, said = align("kto", "--steps=2", "--val-fraction=0", out="two")
    assert "reference: scoring 4 answers" in said
    path, said = align("dpo", "--val-fraction=0", out="three")
    assert "reference: scoring 6 pairs" in said
    align(
        "dpo", "--val-fraction=0", "--eval-every=1", "--steps=4", out="four"
    )  # more than an epoch


# A result goes on


def test_the_result_is_talked_with_generated_from_exported_and_aligned_again(
    align, tmp_path, capsys, monkeypatch
):
    path, _ = align("sft")
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who sat?\n"))
    assert main(["chat", path, "--max-tokens", "4"]) == 0
    assert main(["generate", path, "Who sat?", "--max-tokens", "4"]) == 0
    assert main(["export", path, str(tmp_path / "exported")]) == 0
    assert "| tuned by | sft |" in (tmp_path / "exported" / "README.md").read_text()
    again, _ = align("dpo", model=path, out="again")
    assert load_run(again)[0].config.vocab_size == load_run(path)[0].config.vocab_size
    assert main(["generate", again, "Who sat?", "--max-tokens", "4"]) == 0
    align("kto", model=str(tmp_path / "exported"), out="third")


def test_a_reward_model_is_opened_and_its_words_are_refused(rewarded, base, capsys):
    opened = open_reward(rewarded)
    talks = [
        [{"role": "user", "content": one["prompt"]}, {"role": "assistant", "content": one[side]}]
        for one in PAIRS
        for side in ("chosen", "rejected")
    ]
    scores = opened.rewards(talks)
    assert np.isfinite(scores).all() and len(set(scores.tolist())) == len(scores)
    # Standardized on the answers of 4 of the 6 pairs.
    assert abs(scores.mean()) < 1 and 0.3 < scores.std() < 3
    assert main(["generate", rewarded, "Who sat?"]) == 1
    assert f"--best-of 4 --reward {rewarded}" in capsys.readouterr().err
    assert main(["align", "dpo", rewarded, "--data", "x"]) == 1
    assert "is a reward model" in capsys.readouterr().err


def test_without_standardizing_comparisons_are_the_same(base, data, align):
    plain, _ = align("reward", "--no-standardize", out="plain")
    scaled, _ = align("reward", out="scaled")
    talks = [
        [{"role": "user", "content": "Who sat?"}, {"role": "assistant", "content": text}]
        for text in ("the cat", "a dog", "no")
    ]
    a, b = open_reward(plain).rewards(talks), open_reward(scaled).rewards(talks)
    assert np.argsort(a).tolist() == np.argsort(b).tolist() and not np.allclose(a, b)


def test_the_best_of_several_samples_has_the_greatest_reward(
    base, rewarded, align, tmp_path, capsys
):
    path, _ = align("sft")
    words = ["generate", path, "Who sat?", "--max-tokens=6", "--best-of=4"]
    assert main([*words, "--reward", rewarded]) == 0
    assert "rewards of 4 samples" in capsys.readouterr().err
    scorer = tmp_path / "mine.py"
    scorer.write_text("def longest(prompt, answer):\n    return len(answer)\n")
    assert main([*words, "--reward", f"{scorer}:longest"]) == 0
    out, err = capsys.readouterr()
    rewards = err.split("samples: ")[1].split(";")[0].split(", ")
    assert len(out.removesuffix("\n")) == float(rewards[0]) == max(map(float, rewards))


def test_samples_that_are_scored_fit_the_context(base, align, tmp_path, capsys):
    path, _ = align("sft")
    scorer = tmp_path / "mine.py"
    scorer.write_text("def longest(prompt, answer):\n    return len(answer)\n")
    words = ["generate", path, "Who sat?", "--best-of=2", "--reward", f"{scorer}:longest"]
    assert main(words) == 0  # 200 tokens by default, more than the model reads
    assert "rewards of 2 samples" in capsys.readouterr().err
    assert main([*words[:2], "Who sat? " * 40, *words[3:]]) == 1
    assert "the prompt has" in capsys.readouterr().err


# Interrupted and continued


@pytest.mark.parametrize(
    "method, more",
    [
        ("sft", []),
        ("reward", ["--lora=1"]),
        ("dpo", ["--lora=1", "--micro-batch=1"]),
        ("dpo", ["--loss=simpo"]),
        ("dpo", ["--lora=1", "--device=strict"]),  # arrays of a device that are not NumPy's
        ("reward", ["--device=strict"]),
        ("kto", []),
    ],
)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(method, more, align, monkeypatch, capsys):
    from tinylm.train.trainer import Trainer

    more = [*more, "--epochs=3"]
    whole, _ = align(method, *more, out="whole")
    advance = Trainer.advance

    def press(self, stop):
        if self.step == 2:
            signal.raise_signal(signal.SIGINT)
        return advance(self, stop)

    with monkeypatch.context() as pressed:
        pressed.setattr(Trainer, "advance", press)
        part, said = align(method, *more, out="part", status=130)
    assert f"tinylm align --resume {part}" in said
    if method != "reward":
        load_run(part)  # an interrupted run is a model, too
    assert main(["align", "--resume", part]) == 0
    losses = [[e["loss"] for e in read(path) if e["event"] == "step"] for path in (whole, part)]
    assert losses[0] == losses[1] and len(losses[0]) >= 6
    models = [load_run(path, reward=True)[0].state_dict() for path in (whole, part)]
    assert weights_sha256(models[0]) == weights_sha256(models[1])
    capsys.readouterr()
    assert main(["align", "--resume", part]) == 1
    assert "is finished" in capsys.readouterr().err


def test_a_run_goes_on_only_from_the_same_weights_and_examples(
    base, data, align, tmp_path, monkeypatch, capsys
):
    from tinylm.train.trainer import Trainer

    mine = tmp_path / "mine.jsonl"
    mine.write_text(open(data).read())
    advance = Trainer.advance

    def press(self, stop):
        if self.step == 1:
            signal.raise_signal(signal.SIGTERM)
        return advance(self, stop)

    with monkeypatch.context() as pressed:
        pressed.setattr(Trainer, "advance", press)
        part, _ = align("dpo", "--epochs=3", file=str(mine), out="part", status=143)
    mine.write_text(mine.read_text().replace("a dog", "my dog"))
    assert main(["align", "--resume", part]) == 1
    assert "the examples in" in capsys.readouterr().err
    mine.write_text(mine.read_text().replace("my dog", "a dog"))
    assert main(["align", "--resume", part]) == 0


def test_pairs_are_no_preference_before_the_first_update(align):
    path, _ = align("dpo", "--val-fraction=0")
    first = next(event for event in read(path) if event["event"] == "step")
    assert first["accuracy"] == 0.5  # policy and reference agree


# Words of the command


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--beta", "1"], "the method comes first"),
        (["dpp", "RUN"], "no method 'dpp': did you mean"),
        (["simpo", "RUN"], "tinylm align dpo RUN --loss simpo"),
        (["dpo", "--data", "DATA"], "needs RUN"),
        (["dpo", "RUN"], "needs --data"),
        (["dpo", "RUN", "--data", "DATA", "--loss", "dop"], "did you mean 'dpo'?"),
        (["dpo", "RUN", "--data", "DATA", "--gamma", "-1"], "gamma must be"),
        # Settings are refused before any file is read: there is none.
        (["dpo", "none", "--data", "none", "--loss", "xx"], "choose one of dpo, robust"),
        (
            ["dpo", "none", "--data", "none", "--loss", "simpo", "--margin", "1"],
            "no option 'margin'",
        ),
        (
            ["dpo", "none", "--data", "none", "--loss", "robust", "--label-smoothing", ".5"],
            "from 0 to below 1/2",
        ),
        (
            ["dpo", "none", "--data", "none", "--loss", "f-dpo", "--divergence", "7"],
            "not one of reverse_kl, forward_kl, jensen_shannon, nor a number between 0 and 1",
        ),
        (["sft", "RUN", "--data", "DATA", "--beta", "1"], "no setting named 'beta'"),
        (["sft", "RUN", "--data", "DATA", "--max-length", "99"], "above the 49 tokens"),
        (["sft", "nowhere", "--data", "DATA"], "no run at 'nowhere'"),
        (["--resume"], "--resume takes the run alone"),
        (["sft", "--resume", "RUN"], "in place of the method: tinylm align --resume RUN"),
        (["dpo", "RUN", "--resume=a b"], "in place of the method: tinylm align --resume 'a b'"),
        (["dpo", "--resume"], "in place of the method: tinylm align --resume RUN"),
        (
            ["dpo", "RUN", "--data", "DATA", "--steps", "3", "--epochs", "2"],
            "--epochs would change nothing: --steps 3 says when the training ends",
        ),
        (
            ["dpo", "RUN", "--data", "DATA", "--lora-alpha", "4"],
            "--lora-alpha would change nothing: without --lora",
        ),
        (["--resume", "RUN"], "was not made by `tinylm align`"),
        (["dpo", "RUN", "--data", "DATA", "--out", "RUN"], "is not overwritten"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, base, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {"RUN": base, "DATA": data}
    assert main(["align", *(named.get(word, word) for word in argv)]) == 1
    error = capsys.readouterr().err.replace(base, "RUN")
    assert words in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_the_list_names_methods_and_losses_and_help_names_settings(capsys):
    from tinylm.align.run.methods import METHODS

    assert main(["align", "--list"]) == 0
    text = capsys.readouterr().out
    for name in (*METHODS, *LOSSES, *ALIASES):
        assert f"\n  {name} " in text
    assert "4.4.2" in text and "Meng et al. 2024" in text
    assert main(["align", "--help"]) == 0 and "tinylm align --resume" in capsys.readouterr().out
    assert main(["align", "dpo", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--label-smoothing" in text and all(name in text for name in (*LOSSES, *ALIASES))


@pytest.mark.parametrize(
    "method, choices",
    [
        ("ppo", (*PLACES, *WHITEN, "token", "fixed")),
        ("reinforce", (*PLACES, *WHITEN, *BASELINES)),
        ("dpo", DERIVATIVES),
        ("sft", ("all", "last", "roles", "chatml")),
    ],
)
def test_help_names_all_values_of_a_setting(method, choices, capsys):
    assert main(["align", method, "--help"]) == 0
    settings = capsys.readouterr().out.split("settings (also")[1]
    words = set(re.findall(r"[\w-]+", settings))
    assert words >= set(choices)


def test_training_is_told_to_resume_by_the_command_that_made_the_run(align, capsys):
    path, _ = align("sft")
    assert main(["train", "--resume", path]) == 1
    assert f"`tinylm align --resume {path}`" in capsys.readouterr().err
