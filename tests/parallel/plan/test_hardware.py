"""Machines: data sheets, and strict reading of a file."""

import dataclasses
import json

import pytest

from tinylm.errors import ConfigError
from tinylm.parallel.plan.hardware import MACHINES, machine


def written(tmp_path, **changes):
    value = dataclasses.asdict(MACHINES["a100"]) | changes
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not None}))
    return str(path)


def test_data_sheets():
    a100, h100 = MACHINES["a100"], MACHINES["h100"]
    assert (a100.peak, a100.units, a100.bandwidth, a100.link) == (312e12, 108, 2.039e12, 300e9)
    assert (h100.peak, h100.units, h100.bandwidth, h100.link) == (989.4e12, 132, 3.35e12, 450e9)
    assert a100.network == 8 * 25e9  # eight adapters of 200 Gb/s
    assert MACHINES["a100-40"].memory == 40e9 and MACHINES["a100-vtrain"].network == 100e9


def test_a_file_gives_the_machine_it_describes(tmp_path):
    assert machine(written(tmp_path)) == MACHINES["a100"]
    assert machine(written(tmp_path, network=5)).network == 5  # a whole number is a number


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"peak": None}, "peak is missing"),
        ({"speed": 3.0}, "a field 'speed' that this version"),
        ({"peak": "fast"}, "peak is 'fast'; it must be a finite number"),
        ({"node": 8.5}, "node is 8.5; it must be a whole number"),
        ({"link": 0}, "link must be above 0, not 0"),
        ({"old_instructions": 1.5}, "old_instructions is a share, at most 1"),
    ],
)
def test_a_file_that_is_not_exactly_a_machine_is_refused(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        machine(written(tmp_path, **changes))


def test_no_file_no_json_and_no_name_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot read .*none.json"):
        machine(str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot read .*bad.json"):
        machine(str(tmp_path / "bad.json"))
    with pytest.raises(ConfigError, match="did you mean h100"):
        machine("h1000")
