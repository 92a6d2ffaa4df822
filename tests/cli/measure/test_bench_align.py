import json

import pytest

from tinylm.cli import main
from tinylm.cli.measure import bench_align
from tinylm.cli.measure.workloads import WORKS
from tinylm.errors import TinylmError


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(bench_align, "SIZES", ("W3",))


def test_each_update_learns_from_its_batch():
    for name, (make, _) in bench_align.UPDATES.items():
        update, examples = make(WORKS["W3"])
        losses = [update.step() for _ in range(3)]
        assert losses[2] < losses[0], name
        assert len(examples) in (bench_align.PAIRS, bench_align.RESPONSES)


def test_without_trl_only_tinylm_is_timed_and_a_line_says_so(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(bench_align, "find_spec", lambda name: None)
    assert main(["bench", "align", "--rounds=1", "--seconds=0.01"]) == 0
    said = capsys.readouterr().out
    assert said.count(" ms") == 3 and "times as fast" not in said
    assert "TRL is not installed, so only tinylm is timed" in said


def test_rows_as_json(capsys):
    assert main(["bench", "align", "--rounds=1", "--seconds=0.01", "--no-peers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["W3 DPO step", "W3 GRPO update", "W3 PPO update"]
    assert all(row["theirs"] is None for row in rows)


def test_ratios_are_those_of_one_round_each():
    row = bench_align.row("a", [1.0, 2.0, 4.0], [3.0, 2.0, 8.0])
    assert (row["ratio_min"], row["ratio_median"], row["ratio_max"]) == (1.0, 2.0, 3.0)
    assert "2.00 times as fast (1.00 .. 3.00)" in bench_align.line(row)


def test_another_loss_is_another_work():
    bench_align.same_work("DPO step", 0.69315, 0.69316)
    with pytest.raises(TinylmError, match="not the same work"):
        bench_align.same_work("DPO step", 0.6931, 0.7)


def test_trl_gives_the_same_losses():
    pytest.importorskip("trl")
    from tinylm.cli.measure.peer_trl import TRLPeer

    for make, theirs in bench_align.UPDATES.values():
        if theirs:
            update, examples = make(WORKS["W3"])
            peer = TRLPeer(bench_align.base(WORKS["W3"]), theirs, examples)
            for _ in range(3):
                assert update.step() == pytest.approx(peer.step(), abs=1e-4)
