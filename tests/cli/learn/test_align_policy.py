import contextlib
import dataclasses
import json
import re
import signal

import pytest

from tinylm.align.rlhf import METHODS
from tinylm.align.run.saved import new_run, read_begun
from tinylm.align.run.tunable import weights_sha256
from tinylm.cli import main
from tinylm.train import load_run
from tinylm.train.log import read

PROMPTS = [{"prompt": f"{word}?", "gold": letter} for word, letter in zip("abcdef", "uvwxyz")]
SMALL = ["--steps=2", "--batch-size=2", "--max-tokens=3", "--lr=0.01"]


@pytest.fixture(scope="module")
def base(text, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base"
    settings = [word for word in tiny if "context" not in word]
    assert main(["train", "--data", str(text), "--out", str(path), *settings, "--context=24"]) == 0
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "prompts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in PROMPTS))
    return str(path)


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    """The share of an answer that is letters, and whether it has the gold letter of its record."""
    path = tmp_path_factory.mktemp("reward") / "mine.py"
    path.write_text(
        "def letters(prompt, answer):\n"
        "    return sum(c.isalpha() for c in answer) / (len(answer) + 1)\n\n\n"
        "def gold(prompt, answer, record):\n"
        "    return float(record['gold'] in answer)\n\n\n"
        "def same(prompt, answer):\n"
        "    return 3\n\n\n"
        "def by_prompt(prompt, answer):\n"
        "    return ord(prompt[0])\n"
    )
    return str(path)


@pytest.fixture
def align(base, data, reward, tmp_path, capsys):
    def run(method, *words, out="out", status=0, function="letters", file=data):
        path = str(tmp_path / out)
        argv = ["align", method, base, "--data", file, "--reward", f"{reward}:{function}"]
        assert main([*argv, "--out", path, *SMALL, *words]) == status
        return path, "".join(capsys.readouterr())

    return run


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_logs_what_it_does(method, align):
    more = []
    if METHODS[method]().group > 1:
        more = ["--group=2"]
    path, said = align(method, *more)
    steps = [event for event in read(path) if event["event"] == "step"]
    assert [event["step"] for event in steps] == [1, 2]
    for name in ("reward", "length", "entropy", "loss", "lr"):
        assert isinstance(steps[-1][name], float)
    assert ("kl" in steps[-1]) == METHODS[method]().needs_reference
    assert "held back, after: reward" in said
    live = next(line for line in said.splitlines() if line.startswith("step 2/2"))
    shown = ["reward", "kl", "clip_fraction", "entropy", "length", "loss"]
    assert re.findall("|".join(rf"\b{name}\b" for name in shown), live) == [
        name for name in shown if name in steps[-1]
    ]
    assert {"clip_fraction", "kl"} <= set(steps[-1]) or method not in ("ppo", "grpo")
    parts = re.search(r"steps: [\d.]+ s, sampling (\d+)%, scoring (\d+)%, updates (\d+)%", said)
    assert 99 <= sum(map(int, parts.groups())) <= 101  # three shares of the whole, rounded
    assert 0 < steps[0]["sampling"] + steps[0]["scoring"] < 1
    assert steps[0]["lr"] > steps[-1]["lr"] > 0  # a straight line down to 0 after the last


def test_the_result_answers(align, base):
    path, _ = align("reinforce", function="gold")
    assert weights_sha256(load_run(path)[0].state_dict()) != weights_sha256(
        load_run(base)[0].state_dict()
    )
    assert main(["generate", path, "a?", "--max-tokens=3"]) == 0


@pytest.mark.parametrize(
    "method, more", [("ppo", ["--lora=1"]), ("rloo", ["--group=2"]), ("ppo", ["--device=strict"])]
)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(method, more, align, monkeypatch):
    from tinylm.train.trainer import Trainer

    more = [*more, "--steps=4", "--val-fraction=0"]
    whole, _ = align(method, *more, out="whole")
    advance = Trainer.advance

    def press(self, stop):
        if self.step == 1:
            signal.raise_signal(signal.SIGINT)
        return advance(self, stop)

    with monkeypatch.context() as pressed:
        pressed.setattr(Trainer, "advance", press)
        part, said = align(method, *more, out="part", status=130)
    assert f"tinylm align --resume {part}" in said
    assert main(["align", "--resume", part]) == 0
    rewards = [[e["reward"] for e in read(path) if e["event"] == "step"] for path in (whole, part)]
    assert rewards[0] == rewards[1] and len(rewards[0]) == 4
    models = [load_run(path)[0].state_dict() for path in (whole, part)]
    assert weights_sha256(models[0]) == weights_sha256(models[1])


@pytest.fixture
def pressing(monkeypatch):
    """A context in which Ctrl-C is pressed in the first step."""
    from tinylm.train.trainer import Trainer

    advance = Trainer.advance

    def press(self, stop):
        if self.step == 0:
            signal.raise_signal(signal.SIGINT)
        return advance(self, stop)

    @contextlib.contextmanager
    def pressed():
        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "advance", press)
            yield

    return pressed


def test_a_reward_that_was_edited_does_not_go_on(align, reward, pressing, capsys):
    with pressing():
        path, _ = align("reinforce", status=130)
    code = open(reward).read()
    try:
        open(reward, "a").write("# edited\n")
        assert main(["align", "--resume", path]) == 1
        assert "the contents of --reward" in capsys.readouterr().err
    finally:
        open(reward, "w").write(code)
    assert main(["align", "--resume", path]) == 0


def test_a_run_of_relative_paths_goes_on_from_another_folder(
    base, data, reward, pressing, tmp_path, monkeypatch
):
    begun, other = tmp_path / "begun", tmp_path / "other"
    begun.mkdir()
    other.mkdir()
    for name, path in (("base", base), ("data.jsonl", data), ("mine.py", reward)):
        (begun / name).symlink_to(path)
    monkeypatch.chdir(begun)
    words = ["--data", "data.jsonl", "--reward", "mine.py:letters", "--out", "out"]
    with pressing():
        assert main(["align", "reinforce", "base", *words, *SMALL]) == 130
    monkeypatch.chdir(other)
    assert main(["align", "--resume", str(begun / "out")]) == 0
    # What is recorded, and shown on a card, is what was written, not a place on this machine.
    begun = read_begun(begun / "out")
    assert (begun.run, begun.settings["data"]) == ("base", ["data.jsonl"])
    assert begun.settings["reward"] == "mine.py:letters"


def test_where_the_folder_is_gone_paths_stay_as_they_were_written():
    def begun(where):
        settings = {"data": ["a.jsonl", "/b.jsonl"], "reward": "mine.py:f"}
        run = new_run("ppo", "smollm2", settings, "", "")
        return dataclasses.replace(run, where=where).placed()

    assert begun("/nowhere") == (
        "smollm2",
        {"data": ["a.jsonl", "/b.jsonl"], "reward": "mine.py:f"},
    )
    run, settings = begun("/tmp")
    assert run == "smollm2"  # a name is no path
    assert settings == {"data": ["/tmp/a.jsonl", "/b.jsonl"], "reward": "/tmp/mine.py:f"}


def test_rewards_that_never_differ_are_a_warning(align):
    groups = ["--group=2", "--steps=6"]
    for function, more in (("same", []), ("by_prompt", groups), ("same", groups)):
        method = "rloo" if more else "reinforce"
        _, said = align(method, *more, out=f"{function}{len(more)}", function=function)
        assert said.count("warning: up to step") == 1
    assert "up to step 5 the rewards of the 2 answers to a prompt never differed" in said
    assert "informative 0" in said
    _, said = align("reinforce", out="prompts", function="by_prompt")
    assert "warning" not in said  # without groups, prompts are compared
    _, said = align("rloo", *groups, out="letters")
    assert "warning" not in said


def test_what_is_held_back_is_counted(align):
    _, said = align("reinforce", "--val-fraction=0.34", out="held")
    assert "validation: 2 of 6 examples are held back, 4 are learnt from" in said
    _, said = align("reinforce", "--val-fraction=0")
    assert "validation: none, all 6 examples are learnt from" in said


def test_a_reward_model_scores_and_begins_the_critic(base, data, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    records = [{"prompt": f"{c}?", "chosen": c + "s", "rejected": c + "t"} for c in "abcdef"]
    pairs.write_text("".join(json.dumps(record) + "\n" for record in records))
    reward, out = str(tmp_path / "reward"), str(tmp_path / "out")
    assert main(["align", "reward", base, "--data", str(pairs), "--out", reward, "--steps=1"]) == 0
    argv = ["align", "a2c", base, "--data", data, "--reward", reward, "--out", out]
    assert main([*argv, *SMALL]) == 0
    assert "explained" in read(out)[-3]


def test_prompts_without_room_and_those_that_come_again_are_left_out(align, tmp_path):
    records = [*PROMPTS, PROMPTS[0], {"prompt": "x" * 30}]
    file = tmp_path / "more.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    _, said = align("reinforce", file=str(file))
    assert "data: 8 prompts read, 6 kept" in said
    assert "the same prompt again: 1 (line 7)" in said
    assert "leaves no room for an answer: 1 (line 8)" in said
    assert "24 tokens at most, 3 of them an answer: --max-tokens" in said


@pytest.fixture(scope="module")
def narrow(text, tiny, tmp_path_factory):
    """A reward model whose context has 16 tokens, with the tokenizer of the policy or another."""
    made = {}
    folder = tmp_path_factory.mktemp("narrow")
    pairs = folder / "pairs.jsonl"
    pairs.write_text('{"prompt": "a?", "chosen": "b", "rejected": "c"}\n')
    settings = [word for word in tiny if "context" not in word and "tokenizer" not in word]
    for tokenizer in ("bpe", "bytes"):
        base, reward = str(folder / tokenizer), str(folder / f"{tokenizer}-reward")
        more = ["--context=16", f"--tokenizer={tokenizer}", "--vocab-size=258"]
        assert main(["train", "--data", str(text), "--out", base, *settings, *more]) == 0
        given = ["--data", str(pairs), "--out", reward, "--steps=1", "--val-fraction=0"]
        assert main(["align", "reward", base, *given]) == 0
        made[tokenizer] = reward
    return made


@pytest.mark.parametrize("tokenizer", ["bpe", "bytes"])
def test_prompts_that_the_reward_model_has_no_room_for_are_left_out(
    tokenizer, narrow, align, tmp_path
):
    file = tmp_path / "more.jsonl"
    records = [*PROMPTS, {"prompt": "x" * 14}]  # 14 and 3 of the policy's 24 tokens, not of 16
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    _, said = align("ppo", f"--reward={narrow[tokenizer]}", file=str(file))
    assert "leaves --reward no room to read an answer: 1 (line 7)" in said
    assert f"(--reward {narrow[tokenizer]} reads 16 tokens at most, 3 of them an answer" in said
    _, said = align("ppo", f"--reward={narrow[tokenizer]}", "--max-tokens=14", out="none", status=1)
    assert "nothing is left to learn from" in said and "--reward" in said


def test_a_reward_that_fails_later_costs_no_step_before_it(align, tmp_path, monkeypatch, capsys):
    """The run is saved as after the last whole step, and goes on from there as if nothing was."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import os\n\n\ndef fails(prompt, answer):\n"
        "    open(os.environ['CALLS'], 'a').write('x')\n"
        "    if len(open(os.environ['CALLS']).read()) == int(os.environ['FAILS']):\n"
        "        raise OSError('no answer')\n"
        "    return len(set(answer))\n"
    )
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    more = [f"--reward={mine}:fails", "--steps=4", "--val-fraction=0", "--group=2"]
    monkeypatch.setenv("FAILS", "0")
    whole, _ = align("dapo", *more, out="whole")
    # One call at the start, then 4 responses a step or more: it fails in the third step.
    (tmp_path / "calls").write_text("")
    monkeypatch.setenv("FAILS", "11")
    part, said = align("dapo", *more, out="part", status=1)
    assert "raised OSError: no answer" in said
    assert re.search(r"saved as after step [12]; to continue: tinylm align --resume", said)
    monkeypatch.setenv("FAILS", "0")
    assert main(["align", "--resume", part]) == 0
    rewards = [[e["reward"] for e in read(path) if e["event"] == "step"] for path in (whole, part)]
    assert rewards[0] == rewards[1] and len(rewards[0]) == 4
    models = [load_run(path)[0].state_dict() for path in (whole, part)]
    assert weights_sha256(models[0]) == weights_sha256(models[1])


def test_a_reward_that_fails_in_the_first_step_leaves_nothing_behind(align, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("def f(prompt, answer):\n    return 1 / (len(answer) == 1)\n")
    path, said = align("ppo", f"--reward={mine}:f", "--val-fraction=0", status=1)
    assert "raised ZeroDivisionError" in said and "saved" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "method, more, words",
    [
        ("dapo", ["--beta=.1"], "--beta would change nothing: with --kl none"),
        ("ppo", ["--horizon=7"], "--horizon would change nothing"),
        ("ppo", ["--lora-alpha=7"], "--lora-alpha would change nothing"),
        ("dapo", ["--buffer=20"], "a buffer of 20 tokens is longer than a response"),
        ("reinforce", ["--batch-size=1"], "one response has no others"),
        ("ppo", ["--batch-size=1"], "let whiten be 'none', not 'advantages'"),
        ("dapo", ["--target-kl=1"], "target_kl: with kl 'none' there is no penalty"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_anything_is_read(
    method, more, words, align
):
    _, said = align(method, "--reward=nowhere.py:f", *more, file="nowhere", status=1)
    assert words in said and said.count("\n") == 1


def test_a_reward_that_does_not_work_is_one_line_before_anything_is_sampled(align, capsys):
    _, said = align("ppo", function="missing", status=1)
    assert "has no 'missing'; it has letters, gold" in said and said.count("\n") == 1
    _, said = align("ppo", "--reward=nowhere", status=1)
    assert "--reward nowhere: there is no such run" in said
