import builtins
import json
import math

import pytest

from tinylm.cli import main
from tinylm.cli.look.plot import curves, in_unit, read_log


def step(i, **more):
    return {"event": "step", "step": i, "loss": 5.0 / i, "lr": 1e-3, "grad_norm": 1.0, **more}


def write(folder, records, tail=""):
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text(
        "".join(json.dumps(record) + "\n" for record in records) + tail
    )
    return str(folder)


@pytest.fixture
def run(tmp_path):
    validation = {"event": "validation", "step": 3, "loss": 2.0, "bits_per_byte": 2.5}
    return write(tmp_path / "first", [{"event": "start"}, step(1), step(2), step(3), validation])


def test_a_run_is_drawn_in_characters_with_its_three_panels(run, capsys):
    assert main(["plot", run, "--width", "60"]) == 0
    text = capsys.readouterr().out
    for words in (
        "loss (nats per token)",
        "learning rate",
        "gradient norm",
        "a training",
        "b validation",
        "last 1.667",
    ):  # 5 / 3, the third loss
        assert words in text
    assert "\x1b" not in text  # the output is no terminal


def test_several_runs_are_told_apart_by_name(run, tmp_path):
    other = write(tmp_path / "second", [step(1), step(2)])
    names = [name for name, _, _ in curves([(r, read_log(r)) for r in (run, other)], "loss")]
    assert names == ["first training", "first validation", "second training"]


def test_a_damaged_last_line_is_what_a_killed_run_leaves(tmp_path):
    log = read_log(write(tmp_path / "r", [step(1)], tail='{"event": "step", "st'))
    assert list(log["step"]) == [1]


def test_damaged_lines_are_passed_over_and_counted(tmp_path, capsys):
    tail = "garbage\n" + json.dumps(step(2)) + "\n" + '{"event": "step", "step": [2]}\n'
    run = write(tmp_path / "r", [step(1)], tail=tail)
    assert main(["plot", run, "--width", "60"]) == 0
    shown = capsys.readouterr()
    assert "2 damaged lines passed over, the first is line 2: b'garbage'" in shown.err
    assert "lowest 2.5 at 2" in shown.out  # 5 / 2, the loss of step 2


@pytest.mark.parametrize(
    "change",
    [
        {"loss": 10**400},
        {"loss": "1"},
        {"lr": [1]},
        {"grad_norm": True},
        {"loss": float("nan")},
        {"step": 10**400},
        {"step": "1"},
    ],
)
def test_values_that_cannot_be_drawn_are_damage(tmp_path, capsys, change):
    run = write(tmp_path / "r", [step(1), step(2, **change), step(3)])
    assert main(["plot", run, "--width", "60"]) == 0
    assert "1 damaged line passed over" in capsys.readouterr().err


def test_a_step_trained_twice_counts_as_it_went_last(tmp_path):
    log = read_log(write(tmp_path / "r", [step(1), step(2, loss=9.0), step(2, loss=1.0)]))
    assert log["step"][2]["loss"] == 1.0


def test_a_run_that_is_not_there_and_a_run_without_steps_are_one_line(tmp_path, capsys):
    assert main(["plot", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith(f"tinylm plot: no log at {tmp_path / 'none'}")
    assert main(["plot", write(tmp_path / "empty", [])]) == 1
    assert "has no finished step yet" in capsys.readouterr().err


@pytest.mark.parametrize("name, magic", [("c.png", b"\x89PNG"), ("c.svg", b"<?xml")])
def test_matplotlib_writes_the_format_of_the_name(run, tmp_path, name, magic):
    pytest.importorskip("matplotlib")
    assert main(["plot", run, run, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_an_image_of_unknown_kind_is_refused(run, capsys):
    pytest.importorskip("matplotlib")
    assert main(["plot", run, "--out", "curves.txt"]) == 1
    assert "must end in .png, .svg or .pdf" in capsys.readouterr().err


def test_without_matplotlib_the_line_says_what_to_install(run, capsys, monkeypatch):
    real = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    assert main(["plot", run, "--out", "curves.png"]) == 1
    assert "pip install 'tinylm[plot]'" in capsys.readouterr().err


def test_figures_of_alignment_have_panels_of_their_own(tmp_path, capsys):
    start = {"event": "start", "counted": "pairs"}
    steps = [step(i, margin=0.1 * i, accuracy=0.5) for i in (1, 2)]
    validation = {"event": "validation", "step": 2, "loss": 0.6, "accuracy": 0.75}
    run = write(tmp_path / "dpo", [start, *steps, validation])
    assert main(["plot", run, "--width", "60"]) == 0
    text = capsys.readouterr().out
    assert "loss (mean over pairs)" in text and "nats per token" not in text
    assert "share of pairs in the right order" in text and "b validation" in text
    assert "reward of the chosen answer" in text and "KL" not in text  # no run has it


def with_bytes(folder, losses, length, bits_per_nat):
    """A run whose tokens have `length` bytes in the text learnt from."""
    start = {"event": "start", "bytes_per_token": length}
    if length is None:
        del start["bytes_per_token"]
    validation = {"event": "validation", "step": 2, "loss": 3.0, "bits_per_byte": 3 * bits_per_nat}
    steps = [step(i, loss=loss) for i, loss in enumerate(losses, 1)]
    return write(folder, [start, *steps, validation])


def losses_of(runs, unit):
    shown = in_unit([(run, read_log(run)) for run in runs], unit)
    return [curve[2] for curve in curves(shown, "loss")]


def test_runs_with_different_tokens_are_compared_in_bits_per_byte(tmp_path, capsys):
    # A nat per token of 2 bytes is 1 / (2 ln 2) bits per byte. Bytes as tokens: 1 / ln 2.
    words = with_bytes(tmp_path / "words", [6.0, 4.0], 2.0, 1 / (2 * math.log(2)))
    bytes_ = with_bytes(tmp_path / "bytes", [3.0], 1.0, 1 / math.log(2))
    nats = losses_of([words, bytes_], "nats")
    assert nats == [[6.0, 4.0], [3.0], [3.0], [3.0]]
    wanted = [[6 / 2, 4 / 2], [3 / 2], [3.0], [3.0]]
    for unit in ("auto", "bits-per-byte"):
        for found, nats_per_byte in zip(losses_of([words, bytes_], unit), wanted):
            assert found == pytest.approx([x / math.log(2) for x in nats_per_byte])
    assert main(["plot", words, bytes_, "--width", "60"]) == 0
    assert "loss (bits per byte)" in capsys.readouterr().out


def test_runs_with_the_same_tokens_stay_in_nats_unless_asked(tmp_path, capsys):
    runs = [with_bytes(tmp_path / name, [6.0], 2.0, 0.7) for name in "ab"]
    assert losses_of(runs, "auto")[0] == [6.0]
    assert losses_of(runs[:1], "bits-per-byte")[0] == pytest.approx([6 / 2 / math.log(2)])


def test_the_factor_of_the_validation_stands_for_that_of_an_older_log(tmp_path):
    run = with_bytes(tmp_path / "old", [6.0], None, 0.7)
    assert losses_of([run], "bits-per-byte") == [[pytest.approx(4.2)], [pytest.approx(2.1)]]


def test_a_log_that_knows_no_bytes_is_refused_by_name(tmp_path, capsys):
    run = write(tmp_path / "masked", [step(1), {"event": "validation", "step": 1, "loss": 2.0}])
    assert main(["plot", run, "--loss", "bits-per-byte"]) == 1
    error = capsys.readouterr().err
    assert "masked: its log does not say how many bytes a token has" in error
    other = with_bytes(tmp_path / "words", [6.0], 2.0, 0.7)
    assert losses_of([run, other], "auto")[0] == [5.0]  # as logged: they cannot be compared


def test_a_loss_that_was_infinite_stays_a_gap(tmp_path):
    run = with_bytes(tmp_path / "gap", [6.0, None], 2.0, 0.7)
    assert len(losses_of([run], "bits-per-byte")[0]) == 1


def test_the_bits_of_a_run_are_those_that_it_has_logged(run):
    log = in_unit([("r", read_log(run))], "bits-per-byte")[0][1]
    record = log["validation"][3]
    assert record["loss"] == pytest.approx(record["bits_per_byte"], rel=1e-12)


def test_of_many_rough_steps_the_running_mean_is_drawn_over_them(tmp_path):
    pytest.importorskip("matplotlib")
    steps = [step(i, loss=3 + (-1) ** i, lr=1e-3 * i) for i in range(1, 401)]
    run = write(tmp_path / "long", steps)
    assert main(["plot", run, "--out", str(tmp_path / "a.svg")]) == 0
    text = (tmp_path / "a.svg").read_text()
    # 400 steps in means of 8; the rate rises evenly, and the norm stays: no mean of them.
    assert text.count(">training (mean of 8)</text>") == text.count("(mean of") == 1
