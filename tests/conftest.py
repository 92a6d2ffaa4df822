"""What every test may ask for: devices, a seeded generator, the data folder; and which tests run by
default.

Tests marked `slow` run with `pytest -m slow` or `pytest --slow` (everything). Property tests are
drawn anew at a desk and are the same in every CI run; HYPOTHESIS_PROFILE=dev, ci or few chooses by
hand.
"""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from tests.strict import strict_backend
from tinylm import backend as devices

devices.register("strict", strict_backend)
CHROMIUM = Path("/usr/bin/chromium")  # of Debian; tests of pages run in it
if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # pytest -n: a process for every core, so one thread in each
    devices.blas_threads(1)

# No deadline: a shared machine may pause any single example, and time is not what these tests are
# about.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=30)
hypothesis.settings.register_profile(
    "ci", deadline=None, max_examples=50, derandomize=True, print_blob=True
)
# Where CI has run the suite before, on another Python.
hypothesis.settings.register_profile("few", deadline=None, max_examples=8, derandomize=True)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)


def _devices():
    try:
        import cupy
    except ImportError:
        return ["cpu", "strict"]
    if cupy.is_available():
        return ["cpu", "strict", "gpu"]
    return ["cpu", "strict"]


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_configure(config):
    if (
        config.getoption("--slow") and config.option.markexpr == "not slow"
    ):  # pyproject's default gives way
        config.option.markexpr = ""


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow") or "slow" in (config.option.markexpr or ""):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run with -m slow or --slow"))


def pytest_report_collectionfinish(config, items):
    """A line for `pytest --collect-only`: a function with parameters makes several cases."""
    functions = {item.nodeid.partition("[")[0] for item in items}
    return f"{len(functions):,} test functions, {len(items):,} cases"


@pytest.fixture(params=_devices())
def device(request):
    """Every device this machine has, and "strict", which keeps CuPy's rules without a GPU."""
    return request.param


@pytest.fixture
def rng():
    """NumPy's own generator, seeded: for making inputs, not for testing tinylm's streams."""
    return np.random.default_rng(0)


@pytest.fixture
def data_dir():
    """The folder of larger texts named by TINYLM_DATA; the test is skipped where there is none."""
    folder = os.environ.get("TINYLM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set TINYLM_DATA to a folder of texts to run this")
    return Path(folder)


@pytest.fixture(scope="session")
def chromium():
    """One real browser for all tests of a worker, whose sync API allows no second; skipped where
    playwright or Debian's chromium is absent.
    """
    api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()
