"""`import tinylm` is light: NumPy and regex, no optional library, and no surprise from a CuPy
without a GPU.
"""

import json
import subprocess
import sys
import textwrap

import pytest

OPTIONAL = [
    "cupy",
    "cupyx",
    "torch",
    "transformers",
    "matplotlib",
    "tqdm",
    "safetensors",
    "gguf",
    "mpi4py",
    "scipy",
    "pytest",
]


def run_python(code, *arguments):
    """What `code` prints as JSON, run in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def loaded():
    """Names of the modules in sys.modules: before, after `import numpy, regex`, after `import
    tinylm`.
    """
    return run_python("""
        import json, sys
        before = set(sys.modules)
        import numpy, regex
        plain = set(sys.modules)
        import tinylm
        print(json.dumps([sorted(before), sorted(plain), sorted(sys.modules)]))
    """)


def test_import_needs_no_optional_library():
    public = run_python(
        """
        import json, sys
        sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))    # None: importing it raises ImportError
        import tinylm
        print(json.dumps([name for name in dir(tinylm) if not name.startswith("_")]))
    """,
        json.dumps(OPTIONAL),
    )
    assert {"Tensor", "no_grad", "grad"} <= set(public)


def test_import_loads_only_numpy_and_regex_beyond_the_standard_library(loaded):
    before, _, after = map(set, loaded)
    roots = {name.partition(".")[0] for name in after - before} - set(sys.stdlib_module_names)
    allowed = {"tinylm", "numpy", "regex"} | {
        root for root in roots if root.startswith(("_", "mkl"))
    }
    assert roots <= allowed, f"import tinylm also loads {sorted(roots - allowed)}"


def test_import_is_quick_because_it_loads_little(loaded):
    _, plain, after = map(set, loaded)
    ours = {name for name in after if name.partition(".")[0] == "tinylm"}
    others = {name.partition(".")[0] for name in after - plain - ours}
    heavy = {
        "multiprocessing",
        "asyncio",
        "http",
        "ssl",
        "sqlite3",
        "unittest",
        "xml",
        "email",
        "pydoc_data",
        "tkinter",
    }
    assert not others & heavy
    assert "numpy.random" not in after - plain, "NumPy loads it on first use"
    assert not {"tinylm.cli", "tinylm.book", "tinylm.__main__"} & ours, (
        "the command line is loaded by its users only"
    )


def test_import_works_where_cupy_finds_no_gpu():
    result = run_python("""
        import json, sys, types
        cupy = types.ModuleType("cupy")
        cupy.is_available = lambda: False
        sys.modules["cupy"] = cupy
        import tinylm
        from tinylm.backend import Random, backend
        draw = Random(0).uniform((2,)).tolist()
        try:
            backend("gpu")
            error = None
        except Exception as caught:
            error = [type(caught).__name__, str(caught)]
        print(json.dumps([draw, error]))
    """)
    assert len(result[0]) == 2
    assert result[1][0] == "DeviceError" and "\n" not in result[1][1]
