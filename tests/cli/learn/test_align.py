import gzip
import io
import json
import re
import signal
import sys

import numpy as np
import pytest

from tinylm.align.preference import tuning, with_others
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

PAIRS = [
    {"prompt": "Who sat?", "chosen": "the cat", "rejected": "a dog"},
    {"prompt": "Where?", "chosen": "on the mat", "rejected": "on the log"},
    {"prompt": "And?", "chosen": "yes", "rejected": "no"},
    {"prompt": "Or?", "chosen": "yes it is", "rejected": "no"},
    {"prompt": "Why?", "chosen": "so", "rejected": "because"},
    {"prompt": "How?", "chosen": "well", "rejected": "not at all"},
]
SMALL = ["--epochs=1", "--batch-size=2", "--val-fraction=0.34", "--lr=0.01"]  # 4 pairs, 2 steps


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture(scope="module")
def base(text, tiny, tmp_path_factory):
    """A run with a context that holds a conversation, and with dropout, which a resumed run must
    continue too."""
    path = tmp_path_factory.mktemp("base") / "base"
    settings = [word for word in tiny if "context" not in word]
    more = ["--context=48", "--dropout=0.1"]
    assert main(["train", "--data", str(text), "--out", str(path), *settings, *more]) == 0
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "pairs.jsonl", PAIRS)


@pytest.fixture(scope="module")
def rewarded(base, data, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("reward") / "reward")
    assert main(["align", "reward", base, "--data", data, "--out", path, *SMALL]) == 0
    return path


@pytest.fixture
def align(base, data, tmp_path, capsys):
    """Run `tinylm align METHOD` into a directory: (its path, what was printed)."""

    def run(method, *words, model=base, file=data, out="out", settings=SMALL, status=0):
        path = str(tmp_path / out)
        argv = ["align", method, model, "--data", file, "--out", path, *settings, *words]
        assert main(argv) == status
        return path, "".join(capsys.readouterr())

    return run


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


# The report on the data


def test_samples_that_teach_nothing_are_left_out_with_their_lines(align, tmp_path):
    bad = [
        {"prompt": "Who?", "chosen": "the cat", "rejected": "the cat"},
        {"prompt": "Who?", "chosen": " ", "rejected": "the cat"},
        {"prompt": "Who? " * 12, "chosen": "a", "rejected": "b"},  # 60 of 48 tokens
        {"prompt": "x" * 30, "chosen": "y" * 20 + "1", "rejected": "y" * 20 + "2"},
        {"prompt": "Who?", "chosen": "z" * 60, "rejected": "b"},
        {"prompt": "And?", "chosen": "no", "rejected": "yes"},
    ]
    _, said = align("dpo", file=write(tmp_path / "bad.jsonl", PAIRS + bad))
    assert "data: 12 pairs read, 8 to learn from" in said
    for line in (
        "both answers of a pair are the same: 1 (line 7)",
        "an answer is empty: 1 (line 8)",
        "the prompt leaves no room for an answer: 1 (line 9)",
        "both answers are the same once they are cut: 1 (line 10)",
        "cut: 1 (line 11)",
        "the same pair is also there in the other order: 1 (line 12)",
        "the model reads 49 tokens at most",
    ):
        assert line in said


def test_a_record_without_a_field_is_an_error_with_its_line_or_counted(align, tmp_path):
    file = write(tmp_path / "bad.jsonl", [*PAIRS, {"prompt": "a", "chosen": "b"}])
    _, said = align("dpo", file=file, status=1)
    assert "line 7: a pair has the fields 'chosen' and 'rejected'" in said and "--skip-bad" in said
    _, said = align("dpo", "--skip-bad", file=file)
    assert "left out 1 bad line" in said and "data: 6 pairs read" in said


@pytest.mark.parametrize("method, read", [("dpo", "2 pairs"), ("reward", "2 pairs"), ("kto", "4")])
def test_a_prompt_that_was_found_in_both_texts_is_counted(method, read, align, tmp_path):
    implicit = {"chosen": "2 + 2? four", "rejected": "2 + 2? five"}
    file = write(tmp_path / "implicit.jsonl", [PAIRS[0], implicit])
    _, said = align(method, file=file, settings=["--steps=1", "--val-fraction=0"])
    assert f"data: {read}" in said
    assert "without a field 'prompt': it is what both texts begin with: 1 (line 2)" in said


@pytest.mark.parametrize("method", ["sft", "dpo", "kto", "reinforce"])
def test_what_the_tokenizer_cannot_write_has_its_line_or_is_counted(
    method, text, tiny, align, tmp_path
):
    """A tokenizer of the characters of its text, which have no question mark."""
    base = str(tmp_path / "chars")
    settings = [word for word in tiny if "context" not in word and "tokenizer" not in word]
    more = ["--context=48", "--tokenizer=chars"]
    assert main(["train", "--data", str(text), "--out", base, *settings, *more]) == 0
    records = [
        {"prompt": "the cat" + "s" * i, "chosen": "sat", "rejected": "o" * (i + 1)}
        for i in range(4)
    ]
    file = write(tmp_path / "odd.jsonl", [*records, {**records[0], "prompt": "the cat?"}])
    mine = tmp_path / "mine.py"
    mine.write_text("def f(prompt, answer):\n    return len(answer)\n")
    settings = ["--steps=1", "--val-fraction=0"]
    if method == "reinforce":
        settings += [f"--reward={mine}:f", "--max-tokens=2"]
    given = {"model": base, "file": file, "settings": settings}
    _, said = align(method, status=1, **given)
    assert re.search(r"odd.jsonl', line 5: character '\?' .* is not among .* \(--skip-bad", said)
    _, said = align(method, "--skip-bad", out="two", **given)
    lines = {"kto": "2 (line 5, line 5)"}.get(method, "1 (line 5)")
    assert f"the tokenizer or the template has no form for it: {lines}" in said


def test_nothing_left_is_an_error_that_says_why(align, tmp_path):
    file = write(tmp_path / "same.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "b"}])
    _, said = align("dpo", file=file, status=1)
    assert "nothing is left to learn from: data: 1 pairs read, 0 to learn from; left out," in said
    assert "are the same: 1 (line 1)" in said and said.count("\n") == 1


def test_prompts_are_held_back_whole():
    from tinylm.align.run.examples import Example, held_back

    examples = [Example((prompt, i), prompt) for prompt in range(10) for i in range(3)]
    train, held = held_back(examples, 0.25, seed=1)
    assert len(held) == 6 and len(train) == 24  # 7.5 examples are two prompts of 3
    assert {prompt for prompt, _ in train}.isdisjoint({prompt for prompt, _ in held})
    assert held_back(examples, 0.25, seed=1) == (train, held)
    assert held_back(examples, 0.0, seed=1)[1] == []
    assert len(held_back(examples[:3], 0.9, seed=1)[0]) == 3  # the only prompt is learnt


@pytest.mark.parametrize("method", ["dpo", "reward"])
def test_layouts_of_files(method, align, tmp_path):
    def turn(role, text):
        return {"role": role, "content": text}

    records = [
        {"instruction": "Add.", "input": "2 2", "chosen": "4", "rejected": "5"},
        {
            "prompt": [turn("user", "hi")],
            "chosen": [turn("assistant", "ho")],
            "rejected": [turn("assistant", "he")],
        },
        {
            "chosen": [turn("user", "hi"), turn("assistant", "ho")],
            "rejected": [turn("user", "hi"), turn("assistant", "hm")],
            "score_chosen": 5,
            "score_rejected": 1.0,
        },
        {"prompt": "Who?", "completions": ["a", "b", "c"], "ratings": [1, 3, 2]},
        {"prompt": "When?", "completion": "now", "rating": 1},
        {"prompt": "When?", "completion": "never", "rating": 0.5},
        {"prompt": "Alone?", "completion": "yes", "rating": 1},
    ]
    path = tmp_path / "list.json.gz"
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    _, said = align(method, file=str(path))
    assert "data: 7 pairs read, 7 to learn from" in said  # 3, 3 of a prompt rated three times, 1
    assert "has no other with another rating to be compared with: 1 (record 7)" in said


def test_single_answers_belong_to_kto(align, tmp_path):
    judged = [
        {"prompt": f"{word}?", "completion": "yes", "label": word != "b"} for word in "abcdef"
    ]
    file = write(tmp_path / "judged.jsonl", judged)
    _, said = align("dpo", file=file, status=1)
    assert "line 1: one answer with a label is no pair" in said and "tinylm align kto" in said
    _, said = align("kto", file=file, settings=["--steps=1", "--val-fraction=0"])
    assert "data: 6 answers read, 6 to learn from" in said
    good = write(tmp_path / "good.jsonl", [one for one in judged if one["label"]])
    _, said = align("kto", file=good, out="good", status=1)
    assert "KTO learns from good and bad answers, and here are" in said and " 0 bad ones" in said
    rated = [{"prompt": "a", "completion": "b", "rating": 1}]
    _, said = align("kto", file=write(tmp_path / "rated.jsonl", rated), out="two", status=1)
    assert "a rating does not say whether an answer is good" in said
    plain = write(tmp_path / "plain.jsonl", [{"instruction": "a", "output": "b"}])
    for method in ("kto", "dpo", "reward"):
        _, said = align(method, file=plain, out=method, status=1)
        assert "nothing among the fields 'instruction', 'output' judges an answer" in said
        assert "a 'label', true or false, or a 'rating'" in said


@pytest.mark.parametrize("method, more", [("kto", []), ("dpo", ["--loss=kto"])])
@pytest.mark.parametrize("limit, longest", [([], 49), (["--max-length=40"], 40)])
def test_a_long_prompt_gets_an_answer_to_another_one_as_far_as_it_fits(
    method, more, limit, longest, align, tmp_path, monkeypatch
):
    """Each record fits the context of 48 tokens, prompt i with answer k does not."""
    lengths = []

    def spied(pairs, limit):
        found = with_others(pairs, limit)
        lengths.extend(len(one.other) for one in found)
        return found

    monkeypatch.setattr(tuning, "with_others", spied)
    records = [
        {"prompt": "x" * 30, "chosen": "yes", "rejected": "no"},
        {"prompt": "y", "chosen": "z" * 30, "rejected": "no"},
        *PAIRS,
    ]
    file = write(tmp_path / "long.jsonl", records)
    path, said = align(method, *more, *limit, file=file)
    assert "data: 8 pairs read, 8" in said or "data: 16 answers read, 16" in said
    assert "cut" not in said and "no room" not in said and max(lengths) == longest
    assert all(np.isfinite(e["loss"]) for e in read(path) if e["event"] == "step")


def test_answers_that_are_held_back_and_not_scored_are_counted(align, tmp_path):
    judged = [{"prompt": f"{w}?", "completion": "yes", "label": w != "b"} for w in "abcdef"]
    file = write(tmp_path / "judged.jsonl", judged)
    _, said = align("kto", file=file, settings=["--steps=1", "--val-fraction=0.2"])
    assert "validation: 1 of 6 examples are held back" in said
    assert "validation: none, 1 examples are not scored: " in said and "only one prompt" in said


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
        (["--resume", "RUN"], "was not made by `tinylm align`"),
        (["dpo", "RUN", "--data", "DATA", "--out", "RUN"], "is not overwritten"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, base, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {"RUN": base, "DATA": data}
    assert main(["align", *(named.get(word, word) for word in argv)]) == 1
    error = capsys.readouterr().err
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
