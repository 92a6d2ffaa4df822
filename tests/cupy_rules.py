"""What CuPy allows: its names, its parameters, and the refusals that follow. See strict.py."""

from pathlib import Path

import numpy as np

DTYPES = set(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 "
    "complex64 complex128".split()
)


def _read_api():
    """cupy_api.txt as {section: {name: [parameters]}}."""
    api, section = {}, None
    for line in (Path(__file__).parent / "cupy_api.txt").read_text().splitlines():
        if line.startswith("["):
            section = api[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            section.append(line)
    entries = {name: "".join(line + " " for line in lines) for name, lines in api.items()}
    tables = {"ufuncs": dict.fromkeys(entries["ufuncs"].split(), [])}
    for section in "functions", "methods":
        rows = [row.strip().rstrip(")").split("(") for row in entries[section].split(";")]
        tables[section] = {
            name: parameters.replace(" ", "").split(",") for name, parameters in rows
        }
    return tables


API = _read_api()
SCATTERS = {
    "add",
    "subtract",
    "maximum",
    "minimum",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
}  # cupy.ufunc.at
CONVERTERS = {
    "array",
    "asarray",
    "asanyarray",
    "ascontiguousarray",
    "asfortranarray",
}  # may take host arrays
MAKERS = {
    "arange",
    "array",
    "asarray",
    "asanyarray",
    "empty",
    "eye",
    "full",
    "identity",
    "linspace",
    "logspace",
    "ones",
    "tri",
    "zeros",
    "indices",
    "tril_indices",
    "triu_indices",
    "diag_indices",
}
ZERO_D_HERE = {
    "allclose",
    "array_equal",
    "array_equiv",
    "count_nonzero",
}  # NumPy: a Python number; CuPy: an array
WAITS = {"nonzero", "flatnonzero", "argwhere", "unique", "extract", "compress", "bincount", "isin"}


class SilentOnGpu(AssertionError):
    """CuPy would not complain here; it would give another answer than NumPy."""


def refuse_signature(section, name, args, kwargs):
    """Raise TypeError unless CuPy has `name` and it takes these arguments."""
    if name not in API[section]:
        raise TypeError(f"CuPy has no {name} that NumPy's dispatch could reach")
    takes = [p for p in API[section][name] if p]
    unknown = [key for key in kwargs if key not in takes]
    if unknown or (len(args) > len(takes) and not any(p.startswith("*") for p in takes)):
        odd = ", ".join(unknown) or f"{len(args)} arguments"
        raise TypeError(f"CuPy's {name} takes ({', '.join(takes)}), not {odd}")
    if name in {"argsort", "sort"} and kwargs.get("kind") not in (None, "stable"):
        raise ValueError("CuPy: kind can only be None or 'stable'")


def refuse_host(value):
    """Raise TypeError if a NumPy array hides in `value`. NumPy scalars and Python numbers may pass."""
    if isinstance(value, np.ndarray):
        raise TypeError(
            f"Unsupported type {type(value)}: a host array {value.shape} met a device array"
        )
    if isinstance(value, (list, tuple)):
        for item in value:
            refuse_host(item)
    elif isinstance(value, dict):
        refuse_host(list(value.values()))


def refuse_wrap_around(error, name):
    """Turn NumPy's IndexError for an index array into the louder SilentOnGpu; a bad axis is an
    error on both.
    """
    if "out of bounds" in str(error) and not isinstance(error, np.exceptions.AxisError):
        raise SilentOnGpu(f"{name}: {error}; CuPy wraps it around") from None
