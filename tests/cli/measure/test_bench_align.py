import json

import pytest

from tinylm.cli import main
from tinylm.cli.measure import bench_align
from tinylm.cli.measure.align_works import DRAWING, SIZES, UPDATES, Drawing
from tinylm.cli.measure.contestants import tinylm_alignment
from tinylm.errors import TinylmError


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bench_align, "SIZES", ("W3",))


@pytest.mark.parametrize("size", ["W3", "assistant"])
@pytest.mark.parametrize("name", UPDATES)
def test_each_update_learns_from_its_batch(name, size):
    update, examples = UPDATES[name](SIZES[size])
    losses = [update.step() for _ in range(3)]
    assert losses[2] < losses[0]
    work = SIZES[size]
    rows = {"DPO step": work.pairs, "GRPO update": work.grpo[0] * work.grpo[1]}
    assert len(examples) == rows.get(name, work.ppo[2])


def test_groups_answer_one_prompt_and_all_answers_are_drawn_to_their_length():
    drawing = Drawing(SIZES["W3"])
    assert drawing.prompts.shape == (16, 12)
    assert (drawing.prompts[:8] == drawing.prompts[0]).all()
    assert drawing.step() == 16 * 20  # the context is 32


@pytest.mark.parametrize("name", [*UPDATES, DRAWING])
def test_a_process_of_tinylm_does_it(name):
    step = tinylm_alignment({"work": "W3", "update": name, "threads": 1}, None, None)
    assert step(0) == step(1) if name == DRAWING else step(0) > step(1)


def test_without_trl_only_tinylm_is_timed_and_a_line_says_so(capsys, monkeypatch, small):
    """Contestants are processes, here of one update and of drawing."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(bench_align, "find_spec", lambda name: None)
    monkeypatch.setattr(bench_align, "UPDATES", ("DPO step",))
    assert main(["bench", "align", "--rounds=1", "--seconds=0.01"]) == 0
    said = capsys.readouterr().out
    assert said.count(" ms") == 2 and "times as fast" not in said
    assert "TRL is not installed, so only tinylm is timed" in said


def test_rows_as_json(capsys, monkeypatch, small):
    monkeypatch.setattr(bench_align, "UPDATES", ())
    assert main(["bench", "align", "--rounds=1", "--seconds=0.01", "--no-peers", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "W3 drawing" and row["theirs"] is None and row["ours"] > 0


def test_rows_of_all_sizes_and_of_trl_as_it_is_by_default():
    names = [(size, update) for size, update, _ in bench_align.rows_of(False)]
    assert names == [(size, update) for size in SIZES for update in (*UPDATES, DRAWING)]
    default = [row[:2] for row in bench_align.rows_of(True) if row[2]]
    assert default == [(size, "DPO step") for size in SIZES]


class Fake:
    """A contestant whose turns take the seconds that are given."""

    def __init__(self, label, seconds=(1, 1, 2, 4), loss=0.5, **job):
        self.label, self.job, self.left = label, job, list(seconds)
        self.seconds, self.values = [], [loss]

    def turn(self, steps):
        return self.left.pop(0)

    def close(self):
        return "out of memory"


def test_both_take_turns_and_ratios_are_those_of_one_round_each(monkeypatch, small):
    monkeypatch.setattr(bench_align, "find_spec", lambda name: True)
    made = []

    def contestant(label, **job):
        seconds = {"tinylm": (0, 1, 1, 2, 4), "trl": (0, 1, 3, 2, 8)}[label]
        made.append(Fake(label, seconds, **job))
        return made[-1]

    row = next(bench_align.bench(contestant, rounds=3, seconds=1))
    assert (row["ratio_min"], row["ratio_median"], row["ratio_max"]) == (1.0, 2.0, 3.0)
    assert "2.00 times as fast (1.00 .. 3.00)" in bench_align.line(row)
    assert [one.job["library"] for one in made] == ["tinylm", "trl"]
    assert all(one.job["cpu"] and one.job["threads"] == 1 for one in made)


def test_a_process_that_ends_early_says_why(small):
    with pytest.raises(TinylmError, match="tinylm ended early: out of memory"):
        next(bench_align.bench(lambda label, **job: Fake(label, (None, None)), 1, 1, peers=False))


def test_another_loss_is_another_work():
    bench_align.same_work("DPO step", 0.69315, 0.69316)
    with pytest.raises(TinylmError, match="not the same work"):
        bench_align.same_work("DPO step", 0.6931, 0.7)


@pytest.mark.parametrize("size", ["W3", "assistant"])
@pytest.mark.parametrize("name", UPDATES)
def test_trl_gives_the_same_losses(name, size):
    pytest.importorskip("trl")
    from tinylm.cli.measure.peer_trl import PEERS

    update, examples = UPDATES[name](SIZES[size])
    peers = [PEERS[name](SIZES[size], examples)]
    if name == "DPO step":
        peers.append(PEERS[name](SIZES[size], examples, known=False))
    for _ in range(3):
        loss = update.step()
        assert [peer.step() for peer in peers] == pytest.approx([loss] * len(peers), abs=1e-4)
