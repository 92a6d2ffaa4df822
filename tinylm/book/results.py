"""Recorded results: what a run of the tests or of the gradient checks has written down.

`pytest --junitxml tests.xml` and `tinylm gradcheck --json > checks.json` leave files with every
result. Pages show what such a file says, with its date, and nothing where there is none. Read next:
site/build.py.
"""

import datetime
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from tinylm.errors import DataError


@dataclass(frozen=True)
class Result:
    """What became of a test or of a check."""

    outcome: str  # passed, failed, skipped
    detail: str  # "3 cases, 0.21 s", or the largest error
    date: str  # 2026-11-30


class Results:
    """The results of several files; later files replace the results of earlier ones.

    tests      "tests/nn/test_norm.py::test_mean" -> Result, its cases together
    gradients  name of a check -> Result
    """

    def __init__(self, paths: tuple = ()) -> None:
        self.tests, self.gradients = {}, {}
        for path in map(Path, paths):
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"--results {path}: {error}") from None
            if text.lstrip().startswith("<"):
                self._read_tests(path, text)
            else:
                self._read_gradients(path, text)

    def _read_tests(self, path, text):
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise DataError(f"--results {path}: no file of pytest has a DOCTYPE or an entity")
        try:
            tree = ET.fromstring(text)
        except ET.ParseError as error:
            raise DataError(f"--results {path} is no JUnit XML: {error}") from None
        cases = {}
        for suite in tree.iter("testsuite"):
            date = suite.get("timestamp", "")[:10] or _date(path)
            for case in suite.iter("testcase"):
                cases.setdefault((_test_id(case), date), []).append(case)
        if not cases:
            raise DataError(f"--results {path} has no test in it")
        for (name, date), several in cases.items():
            self.tests[name] = _together(several, date)

    def _read_gradients(self, path, text):
        try:
            rows = json.loads(text)
            for row in rows:
                errors = [f"{row[k]:.1e}" for k in ("first", "second") if row.get(k) is not None]
                outcome = {"ok": "passed"}.get(row["verdict"], "failed")
                detail = f"largest relative error {' and '.join(errors)}, {row['dtype']}"
                self.gradients[row["name"]] = Result(outcome, detail, _date(path))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"--results {path} is neither JUnit XML (pytest --junitxml) nor the list of "
                f"`tinylm gradcheck --json`: {error!r}"
            ) from None


def _date(path):
    return datetime.date.fromtimestamp(path.stat().st_mtime).isoformat()


def _test_id(case):
    """The id without its parameters: classname tests.nn.test_norm.TestSum has a class in it."""
    parts = case.get("classname", "").split(".")
    classes = [part for part in parts if part[:1].isupper()]
    folders = [part for part in parts if not part[:1].isupper()]
    name = re.sub(r"\[.*", "", case.get("name", ""), flags=re.DOTALL)
    return "::".join(["/".join(folders) + ".py", *classes, name])


def _together(cases, date):
    """One Result of the cases of a test: failed if one is, skipped if all are."""
    tags = [{child.tag for child in case} for case in cases]
    outcome = "passed"
    if any(tag & {"failure", "error"} for tag in tags):
        outcome = "failed"
    elif all("skipped" in tag for tag in tags):
        outcome = "skipped"
    seconds = sum(float(case.get("time") or 0) for case in cases)
    count = "1 case"
    if len(cases) != 1:
        count = f"{len(cases)} cases"
    return Result(outcome, f"{count}, {seconds:.2f} s", date)
