"""`tinylm bench smollm2`: all contestants read the same text, and ratios are those of a round."""

import json

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.cli import main
from tinylm.cli.measure import bench_smollm2, inference_works
from tinylm.cli.measure.bench_smollm2 import ONE_TEXT, bench, contestants_for, lines, measured
from tinylm.cli.measure.inference_works import (
    START,
    WORKS,
    below_largest,
    tinylm_inference,
    transformers_inference,
)
from tinylm.errors import ConfigError, TinylmError
from tinylm.generate import ModelLM
from tinylm.generate.fast import direct
from tinylm.models.published.save import save_pretrained

LLAMA = dict(norm="rms", activation="swiglu", positions="rope", bias=False, n_kv_head=1)
PROMPT = "a prompt of 512 tokens"


@pytest.fixture(scope="module")
def model():
    return make_gpt(50, 600, np.float32, d_model=64, d_hidden=96, **LLAMA)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """A small model of SmolLM2's family, saved in the layout of published weights."""
    path = tmp_path_factory.mktemp("weights")
    save_pretrained(model, path)
    return str(path)


def expected(model, work, steps):
    """below_largest() of the first steps, by the model itself."""
    ids = work.ids(50)
    logits = ModelLM(model).logits(ids[:, :-1])  # (B, T, V)
    first = START if work.steps > 1 else work.tokens - 1
    return [below_largest(logits[:, first + i], ids[:, first + i + 1]) for i in range(steps)]


@pytest.mark.parametrize("name", WORKS)
def test_a_process_of_tinylm_has_the_logits_of_the_model(model, folder, name):
    work = WORKS[name]
    step = tinylm_inference({"name": folder, "work": name, "bits": None})
    count = min(work.steps, 5)
    found = [step(i) for i in range(count)]
    assert found == pytest.approx(expected(model, work, count), abs=1e-3)


def test_the_text_begins_again_where_it_ends(folder):
    step = tinylm_inference({"name": folder, "work": "decoding, batch 8", "bits": None})
    once = [step(i) for i in range(64)]
    assert [step(64 + i) for i in range(64)] == once and len(set(once)) > 60


@pytest.mark.parametrize("bits, least", [(8, 1e-6), (4, 1e-4)])
def test_fewer_bits_are_near_and_not_the_same(model, folder, bits, least):
    step = tinylm_inference({"name": folder, "work": ONE_TEXT, "bits": bits})
    apart = np.abs(np.subtract([step(i) for i in range(4)], expected(model, WORKS[ONE_TEXT], 4)))
    # a weight of 4 bits is off by a thirtieth of the range of its block at most
    assert least < apart.max() < 0.3 * np.abs(expected(model, WORKS[ONE_TEXT], 4)).max()


def test_below_largest():
    assert below_largest(np.array([[1.0, 4.0], [3.0, 2.0]]), np.array([0, 0])) == 1.5


def test_weights_are_compared_in_fewer_bits_for_one_text_alone():
    assert [label for label, _ in contestants_for(PROMPT, True)] == [
        "transformers",
        "tinylm, float32",
    ]
    assert [job["bits"] for _, job in contestants_for(ONE_TEXT, False)] == [None, 8, 4]


class Fake:
    """A contestant whose turns take the seconds that are given."""

    def __init__(self, label, seconds, value=0.5, bits=None):
        self.label, self.job, self.left = label, {"bits": bits}, list(seconds)
        self.seconds, self.values = [], [value]

    def turn(self, steps):
        return self.left.pop(0)

    def close(self):
        return 2**20


def test_ratios_and_shares_are_those_of_one_round_each(monkeypatch):
    speeds = [10.0, 20.0, 40.0]
    monkeypatch.setattr(direct, "memory_bandwidth", lambda *given: speeds.pop(0))
    field = [
        Fake("transformers", (9, 9, 4, 8, 2)),
        Fake("tinylm, float32", (9, 9, 4, 2, 1), 0.5005),
        Fake("tinylm, 8 bits", (9, 9, 2, 2, 2), 0.7, bits=8),
    ]
    result = measured(ONE_TEXT, field, 3, 1, weights=10)
    assert result["bandwidth"] == 20
    ratios = [[one[f"ratio_{name}"] for name in ("min", "median", "max")] for one in result["rows"]]
    assert ratios == [[1, 1, 1], [1, 2, 4], [1, 2, 4]]
    # 40 bytes in 4, 2 and 1 s, of 10, 20 and 40 a second; 11.25 bytes with 8 bits
    assert [one["share"] for one in result["rows"]] == pytest.approx([0.5, 1, 11.25 / 2 / 20])
    said = "\n".join(lines(result))
    assert "100% of the memory's" in said and "logits 0.20 apart" in said
    assert "the memory is read at 0.0 GB/s" in said


def test_other_logits_are_another_work():
    field = [Fake("transformers", (9, 9, 1)), Fake("tinylm, float32", (9, 9, 1), 0.6)]
    with pytest.raises(TinylmError, match="differ by 1.0e-01: not the same work"):
        measured(PROMPT, field, 1, 1, weights=10)


def test_a_process_that_ends_early_says_so():
    with pytest.raises(TinylmError, match="tinylm, float32 ended early"):
        measured(PROMPT, [Fake("tinylm, float32", (None, None))], 1, 1, weights=10)


def test_the_command_measures_weights_in_a_folder(capsys, monkeypatch, folder):
    """Contestants are processes, here one."""
    monkeypatch.setattr(bench_smollm2, "WORKS", {PROMPT: WORKS[PROMPT]})
    assert main(["bench", folder, "--rounds=1", "--seconds=0.01", "--no-peers", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["work"] == PROMPT and result["bandwidth"] is None
    (row,) = result["rows"]
    assert row["label"] == "tinylm, float32" and row["peak_bytes"] > 1e6
    assert row["tokens_per_second"] == pytest.approx(512 / row["seconds"])


def test_without_torch_tinylm_is_measured_alone(capsys, monkeypatch, folder):
    monkeypatch.setattr(bench_smollm2, "find_spec", lambda name: None)
    monkeypatch.setattr(bench_smollm2, "WORKS", {PROMPT: WORKS[PROMPT]})
    assert main(["bench", folder, "--rounds=1", "--seconds=0.01"]) == 0
    said = capsys.readouterr().out
    assert "times as fast as tinylm, float32" in said and "transformers" not in said
    assert "BLAS kernels" in said


def test_a_model_of_other_parts_is_refused(tmp_path):
    qwen3 = make_gpt(50, 600, np.float32, d_model=64, d_hidden=96, qk_norm="head", **LLAMA)
    save_pretrained(qwen3, tmp_path)
    with pytest.raises(ConfigError, match="does not cover"):
        next(bench(None, tmp_path, 1, 1, peers=False))


@pytest.mark.parametrize("name", WORKS)
def test_transformers_has_the_same_logits(model, folder, name):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    step = transformers_inference({"folder": folder, "work": name})
    count = min(WORKS[name].steps, 5)
    assert [step(i) for i in range(count)] == pytest.approx(
        expected(model, WORKS[name], count), abs=1e-3
    )


def test_transformers_begins_the_text_again_too(folder, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    short = inference_works.InferenceWork(2, 1, 4)
    monkeypatch.setitem(WORKS, "short", short)
    step = transformers_inference({"folder": folder, "work": "short"})
    once = [step(i) for i in range(4)]
    assert [step(4 + i) for i in range(4)] == pytest.approx(once, abs=1e-4)
