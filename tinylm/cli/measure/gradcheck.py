"""`tinylm gradcheck`: compare every derivative in tinylm, or your own, with finite differences.

The exit status is 1 if one is wrong. Names select entries ("softmax", "soft*", or a word in their
names). --module checks a function or module of yours; `def inputs(rng)` in the same file returns
the arguments to call it with.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.cli.options import parse
from tinylm.errors import ConfigError
from tinylm.settings import between, setting


@dataclass
class GradcheckConfig:
    """Settings of `tinylm gradcheck`."""

    module: str = setting("", "your own: package.file:callable, or path/to/file.py:callable")
    order: int = setting(
        2, "with --module: 2 checks the derivative of the derivative too", between(1, 2)
    )
    dtype: tuple[str, ...] = setting(
        ("float64",), "float64, float32 or float16; may be given several times"
    )
    device: str = setting("cpu", "cpu or gpu")
    seed: int = setting(0, "of the points and cotangents drawn")
    json: bool = setting(False, "print a JSON list instead of a table")
    list: bool = setting(False, "print the names of what can be checked")


def main(argv: Sequence) -> int | None:
    """Run the checks and print a row for each. Returns 1 if any failed."""
    from tinylm.autograd import registry
    from tinylm.autograd.check import gradcheck
    from tinylm.backend import backend

    config, names = parse(
        argv,
        GradcheckConfig,
        positionals=("[NAME...]",),
        verb="gradcheck",
        about=__doc__,
        examples=(
            "tinylm gradcheck",
            "tinylm gradcheck attention 'soft*'",
            "tinylm gradcheck --module my_file.py:my_function",
        ),
    )
    if config.module and names:
        raise ConfigError(
            f"--module checks {config.module} alone: leave out {' '.join(names)}, "
            "or run it separately"
        )
    # Before any check runs: a run of all takes minutes.
    if unknown := [dtype for dtype in config.dtype if dtype not in gradcheck.TOLERANCE]:
        raise ConfigError(f"dtype {unknown[0]!r} is not one of {', '.join(gradcheck.TOLERANCE)}")
    backend(config.device)
    if config.module:
        chosen = [config.module]
        reports = gradcheck.check_code(
            config.module, config.dtype, config.device, config.seed, config.order
        )
    else:
        chosen = gradcheck.select(names or None, registry.load_all())
        if config.list:
            print("\n".join(chosen))
            return 0
        # A generator: each row is printed as soon as it is checked.
        reports = (
            row
            for name in chosen
            for row in gradcheck.run_checks([name], config.device, config.dtype, config.seed)
        )
    if config.json:
        return print_json(reports)
    return print_table(reports, max(map(len, chosen), default=4))


def print_json(reports: Iterable) -> Any:
    """Print a JSON list with one object for each Report; inf and nan, which JSON lacks, as text."""
    rows = [report.as_dict() for report in reports]
    for row in rows:
        for key, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                row[key] = str(value)
    print(json.dumps(rows, indent=1))
    # The exit status: 0 if all is well.
    return int(any(row["verdict"] != "ok" for row in rows))


def print_table(reports: Iterable, width: int) -> int:
    """Print a row for each Report as it comes, the reason under each that failed, and the count."""
    print(
        f"{'name':<{width}}  {'1st order':>9}  {'2nd order':>9}  {'points':>7}  "
        f"{'dtype':<7}  {'device':<6}  verdict"
    )
    done = failed = 0
    for row in reports:
        first, second = _shown(row.first), _shown(row.second)
        print(
            f"{row.name:<{width}}  {first:>9}  {second:>9}  {row.points:>7,}  "
            f"{row.dtype:<7}  {row.backend:<6}  {row.verdict}",
            flush=True,
        )
        # A Report is false if it failed.
        if not row:
            print(f"    {row.detail}")
        done, failed = done + 1, failed + (not row)
    print(
        f"{done} checked, {failed} failed; errors are the largest relative ones, "
        "compared with finite differences"
    )
    return int(failed > 0)


def _shown(error):
    if error is None:
        return "-"
    return f"{error:.1e}"
