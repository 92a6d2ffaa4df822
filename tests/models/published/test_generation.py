"""generation_config.json is carried out, or refused at the field that is not."""

import json

import pytest

from tinylm.errors import CheckpointError
from tinylm.models.published.generation import read_generation


@pytest.fixture
def read(tmp_path):
    def make(value):
        (tmp_path / "generation_config.json").write_text(
            value if isinstance(value, str) else json.dumps(value)
        )
        return read_generation(tmp_path)

    return make


def test_a_folder_without_one_wants_nothing(tmp_path):
    assert read_generation(tmp_path) == {}


def test_sampling_is_as_the_file_says(read):
    assert read({"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [1, 2]}) == {
        "temperature": 0.6,
        "top_k": 50,
        "top_p": 0.9,
    }
    assert read(
        {"do_sample": True, "top_k": 0, "top_p": 1.0, "min_p": None, "epsilon_cutoff": 0.0003}
    ) == {"temperature": 1.0, "epsilon": 0.0003}


@pytest.mark.parametrize(
    "value", [{}, {"do_sample": False, "temperature": 0.6}, {"do_sample": None, "top_p": 0.9}]
)
def test_without_sampling_its_numbers_mean_nothing(read, value):
    assert read(value) == {}


def test_a_penalty_counts_in_any_case(read):
    assert read({"repetition_penalty": 1.1}) == {"repetition_penalty": 1.1}


@pytest.mark.parametrize(
    "value, words",
    [
        ({"num_beams": 4}, "generation_config.json.num_beams is 4"),
        ({"unheard_of": 1}, "unheard_of is 1; no field of that name"),
        ({"suppress_tokens": [3]}, r"suppress_tokens is \[3\]"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        (
            {"do_sample": True, "temperature": 0.0},
            "temperature is 0.0; it must be a number above 0",
        ),
        ({"top_p": 7}, "top_p is 7"),
        ({"do_sample": 1}, "do_sample is 1"),
        ("[]", r"generation_config.json is \[\]"),
        ("{", "generation_config.json"),
        ({"repetition_penalty": -1}, "repetition_penalty is -1"),
    ],
)
def test_what_is_not_carried_out_is_refused_by_name(read, value, words):
    with pytest.raises(CheckpointError, match=words):
        read(value)
