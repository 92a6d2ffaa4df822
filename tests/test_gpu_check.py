"""scripts/gpu_check.py runs from one end to the other without a GPU, on the strict arrays."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import cuda_on_cpu

ROOT = Path(__file__).parents[1]


@pytest.mark.slow  # ten seconds: every part of it, and tests of its own
@pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")
def test_the_dry_run_passes_and_writes_times_beside_their_floors(tmp_path):
    out = tmp_path / "found.json"
    command = [sys.executable, ROOT / "scripts/gpu_check.py", "--dry-run", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["dry_run"] and min(found["ceilings"].values()) > 0
    assert all(part["passed"] for part in found["parts"].values()), done.stdout
    kernels = found["parts"]["kernels"]
    assert kernels["same_bits"] and len(kernels["apart"]) == 18
    for name, part in found["parts"].items():
        if name.startswith(("W", "GPT")):
            ours = part["contestants"]["tinylm"]
            floor = max(part["floor"].values())
            assert floor > 0 and ours["of_floor"] == pytest.approx(ours["seconds"] / floor)
    assert {"W1 training", "W2 training", "W3 training", "GPT-124M training", "tests"} <= set(
        found["parts"]
    )


@pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")
def test_without_time_parts_are_left_out_and_said_to_be(tmp_path):
    out = tmp_path / "found.json"
    command = [sys.executable, ROOT / "scripts/gpu_check.py", "--dry-run", "--out", out]
    done = subprocess.run([*command, "--seconds", "1"], capture_output=True, text=True)
    assert done.returncode == 1 and "W1 training: FAILED no time left" in done.stdout, done.stderr
    assert not json.loads(out.read_text())["parts"]["kernels"]["passed"]
