"""Tables of measured runs: read exactly, refused otherwise."""

import csv

import numpy as np
import pytest

from tinylm.errors import DataError
from tinylm.parallel.plan.hardware import MACHINES
from tinylm.parallel.plan.measured import MOSAIC, VTRAIN, read_mosaic, read_vtrain

ROW = (16, 32, 2, 2048, 16, 24, 1024, 2, 4, 2, 750.0)
MPT_ROW = {
    **dict.fromkeys(MOSAIC, "1"),
    **{"Model": "1b", "SeqLen (T)": "2048", "# GPUs": "16", "GPU": "a100_40gb"},
    **{"MicroBatchSize": "4", "GradAccum": "2", "GlobalBatchSize": "128"},
    **{"Throughput (T/s/GPU)": "8192", "Precision": "bf16", "MP Mode": "PURE"},
    **{"Sharding Strategy": "FULL_SHARD", "Activation Checkpointing": "False"},
}


def table(path, columns, *rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def mosaic(path, *changes):
    rows = [(MPT_ROW | change).values() for change in changes]
    return read_mosaic(table(path, MOSAIC, *rows))


def test_a_row_of_vtrain_is_a_shape_a_layout_and_seconds(tmp_path):
    runs = read_vtrain(table(tmp_path / "a.csv", VTRAIN, ROW, ROW))
    assert len(runs) == 2 and runs.seconds[0] == 0.75
    assert (runs.layout.tp[0], runs.layout.dp[0], runs.layout.pp[0]) == (2, 4, 2)
    assert (runs.shape.layers[0], runs.shape.width[0], runs.shape.vocab) == (24, 2048, 51200)
    assert runs.layout.micro_batches[0] == 4 and runs.hardware == MACHINES["a100-vtrain"]


def test_the_column_of_parameters_may_be_there(tmp_path):
    path = table(tmp_path / "a.csv", ("Parameters (billion)", *VTRAIN), (1.2, *ROW))
    assert read_vtrain(path).seconds[0] == 0.75


def test_a_row_of_mosaic(tmp_path):
    other = {"GPU": "h100_80gb", "MP Mode": "DEFAULT", "Precision": "amp_fp8"}
    again = {"Activation Checkpointing": "True"}
    runs = mosaic(tmp_path / "a.csv", {}, other, again, other | again)
    # 128 sequences of 2048 tokens on 16 GPUs that take 8192 tokens a second each
    assert runs.seconds[0] == 2.0
    assert list(runs.layout.recompute) == ["none", "none", "full", "needed"]
    assert list(runs.layout.gradient_bytes) == [2, 4, 2, 4]
    assert list(runs.layout.eight_bit) == [0, 1, 0, 1]
    assert list(runs.hardware.memory) == [40e9, 80e9, 40e9, 80e9]
    assert runs.shape.parameters[0] == 1315950592  # the table's own count of the 1b model
    some = runs.take(np.array([1, 3]))
    assert (
        list(some.hardware.peak) == [989.4e12] * 2 and list(some.kinds["gpu"]) == ["h100_80gb"] * 2
    )
    assert len(some) == 2 and list(some.layout.recompute) == ["none", "needed"]


@pytest.mark.parametrize(
    "columns, row, words",
    [
        (VTRAIN[:-1], ROW[:-1], "must have the columns"),
        (VTRAIN, ROW[:-1], "too few or too many"),
        (VTRAIN, (*ROW[:-1], "slow"), "iteration time .ms.: could not convert"),
        (VTRAIN, (*ROW[:-1], -1), "must hold numbers above 0"),
        (VTRAIN, (8, *ROW[1:]), "do not multiply to its GPUs"),
    ],
)
def test_what_is_no_table_of_runs_is_refused(tmp_path, columns, row, words):
    with pytest.raises(DataError, match=words):
        read_vtrain(table(tmp_path / "a.csv", columns, row))


def test_no_file_no_rows_and_unknown_models_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_vtrain(tmp_path / "none.csv")
    with pytest.raises(DataError, match="has no rows"):
        read_vtrain(table(tmp_path / "a.csv", VTRAIN))
    with pytest.raises(DataError, match="no model or GPU '2b'"):
        mosaic(tmp_path / "b.csv", {"Model": "2b"})
