import json

import pytest

from tinylm.book.results import Result, Results
from tinylm.errors import DataError

XML = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" timestamp="2026-11-30T20:01:02">
<testcase classname="tests.nn.test_norm" name="test_mean[2-x]" time="0.25" />
<testcase classname="tests.nn.test_norm" name="test_mean[3-[]]" time="0.5" />
<testcase classname="tests.nn.test_norm.TestRms" name="test_scale" time="0.1">
<failure message="no">no</failure></testcase>
<testcase classname="tests.nn.test_gpu" name="test_gpu" time="0"><skipped /></testcase>
</testsuite></testsuites>
"""


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_results_of_pytest_are_read_with_all_cases_of_a_test(tmp_path):
    results = Results((written(tmp_path, "tests.xml", XML),))
    assert results.tests == {
        "tests/nn/test_norm.py::test_mean": Result("passed", "2 cases, 0.75 s", "2026-11-30"),
        "tests/nn/test_norm.py::TestRms::test_scale": Result(
            "failed", "1 case, 0.10 s", "2026-11-30"
        ),
        "tests/nn/test_gpu.py::test_gpu": Result("skipped", "1 case, 0.00 s", "2026-11-30"),
    }


def test_results_of_gradcheck_are_read_with_their_errors(tmp_path):
    rows = [
        {"name": "softmax", "first": 1e-9, "second": 2e-8, "dtype": "float64", "verdict": "ok"},
        {"name": "glu", "first": "inf", "second": None, "dtype": "float64", "verdict": "fails"},
    ]
    rows[1]["first"] = 0.5
    results = Results((written(tmp_path, "checks.json", json.dumps(rows)),))
    assert results.gradients["softmax"].outcome == "passed"
    assert "1.0e-09 and 2.0e-08, float64" in results.gradients["softmax"].detail
    assert results.gradients["glu"].outcome == "failed"
    assert len(results.gradients["glu"].date) == len("2026-11-30")


def test_a_later_file_replaces_the_results_of_an_earlier_one(tmp_path):
    mended = XML.replace('<failure message="no">no</failure>', "")
    paths = written(tmp_path, "a.xml", XML), written(tmp_path, "b.xml", mended)
    assert Results(paths).tests["tests/nn/test_norm.py::TestRms::test_scale"].outcome == "passed"


@pytest.mark.parametrize(
    "text, words",
    [
        ("<testsuites>", "no JUnit XML"),
        ("<testsuites></testsuites>", "no test in it"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><testsuites/>', "DOCTYPE"),
        ("no results", "neither JUnit XML"),
        ("[1]", "neither JUnit XML"),
        ('[{"name": "x"}]', "neither JUnit XML"),
    ],
)
def test_a_file_that_holds_no_results_is_an_error(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        Results((written(tmp_path, "file", text),))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="none.xml"):
        Results((tmp_path / "none.xml",))
