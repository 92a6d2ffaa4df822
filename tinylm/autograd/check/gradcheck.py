"""The checker: are the engine's derivatives those of the function?

`gradcheck` checks any function, `run_checks` every registered one. Cotangents are random (under all
ones a softmax that returns no gradient at all would pass). At small sizes every element of the
Jacobian is compared, at large ones random directions; the gradient's own gradient in the same way.
Fused operations are compared with their twins, and <u, J v> = <J^T u, v> needs no step size. Read
next: registry.py, then mutants.py, which shows that wrong derivatives are rejected.
"""

import difflib
import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.autograd import registry
from tinylm.autograd.check import compare, user_code
from tinylm.autograd.check.differences import Gradient, Subject
from tinylm.autograd.engine.tensor import Array
from tinylm.autograd.registry import Entry
from tinylm.errors import ConfigError, TinylmError

# Largest relative error by dtype. float64 is compared with differences, good to 1e-9 and better;
# the others with the float64 gradient at the same point. There a score of 80 alone costs float32 80
# rounding errors of 2**-24 in its exponential, 5e-6.
TOLERANCE = {"float64": 1e-7, "float32": 1e-5, "float16": 3e-2}


@dataclass
class Report:
    """What a check found; true if the derivatives are right.

    verdict  "ok", "wrong", "kink" (the point lies at one: nothing is proved), "not repeatable" or
             "error"
    first    worst relative error of the first derivatives
    second   of the second derivatives; None if they were not checked
    points   how many numbers were compared
    """

    name: str
    verdict: str = "ok"
    first: float | None = None
    second: float | None = None
    points: int = 0
    dtype: str = "float64"
    backend: str = "cpu"
    detail: str = ""

    def __bool__(self) -> bool:
        return self.verdict == "ok"

    def __str__(self) -> str:
        measured = ("first", self.first), ("second", self.second)
        errors = ", ".join(f"{label} order {e:.1e}" for label, e in measured if e is not None)
        errors = errors or "no error measured"
        text = (
            f"{self.name}: {self.verdict} ({errors}, {self.points} points, {self.dtype}, "
            f"{self.backend})"
        )
        if self.detail:
            text += f"\n  {self.detail}"
        return text

    def as_dict(self) -> dict[str, Any]:
        """A dictionary of plain values, for --json."""
        return asdict(self)

    def note(self, order: int, error: float, points: int) -> None:
        """Take in the worst error of some comparisons; orders above two count as second."""
        field = "first" if order == 1 else "second"
        setattr(self, field, max(float(error), getattr(self, field) or 0.0))
        self.points += points


def random_cotangent(rng: "np.random.Generator", shape: tuple[int, ...]) -> np.ndarray:
    """The default cotangent: standard normal, so that no identity of the outputs hides an error."""
    return rng.normal(size=shape)


def gradcheck(
    function: Callable,
    *args: Any,
    order: int = 1,
    tolerance: float | None = None,
    mode: str = "auto",
    seed: int = 0,
    dtype: str = "float64",
    device: str = "cpu",
    name: str | None = None,
    cotangent: Callable = random_cotangent,
    **options: Array,
) -> Report:
    """Check the derivatives of a function of Tensors against differences.

    function   takes Tensors and returns a Tensor, or several; or a module, whose parameters are
               then checked too
    args       floating-point arrays and Tensors that require a gradient are differentiated; others
               are constants
    options    passed to the function; arrays among them are constants
    order      2 checks the gradient's gradient too
    tolerance  largest relative error; by dtype from TOLERANCE if not given
    mode       "full": every entry of the Jacobian; "directions": random ones; "auto" decides by
               size
    dtype      below float64, gradients are compared with those in float64 at the same point
    returns    a Report, true if the derivatives are right; print it to see the errors
    raises     GraphError if nothing is differentiable, and whatever the function raises
    """
    name = name or getattr(function, "__name__", type(function).__name__)
    report = Report(name, dtype=np.dtype(dtype).name, backend=device)
    if report.dtype not in TOLERANCE:
        raise ConfigError(f"gradcheck: dtype {report.dtype}: choose one of {', '.join(TOLERANCE)}")
    if mode not in ("auto", "full", "directions"):
        raise ConfigError(f"gradcheck: mode {mode!r}: choose one of auto, full, directions")
    return _check(report, function, args, options, order, tolerance, seed, mode, cotangent)


def assert_gradients(function: Callable, *args: np.ndarray, **settings: int) -> None:
    """gradcheck() for tests: raises AssertionError with the report if it does not pass."""
    report = gradcheck(function, *args, **settings)
    if not report:
        raise AssertionError(str(report))


def _check(
    report,
    function,
    args,
    options,
    order=1,
    tolerance=None,
    seed=0,
    mode="auto",
    cotangent=random_cotangent,
):
    """Run the comparisons and write what they find into the report."""
    rng = np.random.default_rng(seed)
    device, tolerance = report.backend, tolerance or TOLERANCE[report.dtype]

    def draw(tensors, cotangent):
        return [backend.to_device(np.asarray(cotangent(rng, y.shape)), device) for y in tensors]

    try:
        if report.dtype != "float64":
            compare.against_float64(report, function, args, options, tolerance, rng, device)
            return report
        with Subject(function, args, options, np.float64, device) as subject:
            outputs = compare.require_graph(report.name, subject)
            weights = draw(outputs, cotangent)
            compare.repeatable(subject, weights)
            # The derivative of order n + 1 is the first derivative of the gradient of order n.
            for level in range(1, order + 1):
                compare.jacobian(report, subject, level, mode, tolerance, rng, cotangent)
                if level == order:
                    break
                gradient = Gradient(subject, weights)
                if level == 1:
                    compare.two_ways(subject, gradient, weights, rng)
                weights = draw(subject.leaves, random_cotangent)
                subject = gradient
    except compare.Found as found:
        report.verdict, report.detail = found.args
    return report


def run_checks(
    names: Sequence[str] | None = None,
    device: str = "cpu",
    dtypes: tuple[str, ...] = ("float64",),
    seed: int = 0,
) -> list[Report]:
    """Check registered entries. Returns a list of Reports, one per entry and dtype.

    names   names or patterns ("soft*"); a word that is no name selects every name that contains
            it; None for all
    raises  ConfigError for a name that selects nothing
    """
    entries = registry.load_all()
    return [
        check_entry(entries[name], dtype, device, seed)
        for name in select(names, entries)
        for dtype in dtypes
    ]


def select(names: str | Sequence[str] | None, entries: dict[str, Entry | None]) -> list[str]:
    """The entry names that `names` select, in the order of the registry."""
    if isinstance(names, str):
        names = [names]
    chosen = set()
    for word in names or entries:
        found = _matching(word, entries)
        if not found:
            near = difflib.get_close_matches(word, entries, 3)
            hint = "tinylm gradcheck --list"
            if near:
                hint = f"did you mean {', '.join(near)}?"
            raise ConfigError(f"gradcheck: no entry is named like {word!r}: {hint}")
        chosen.update(found)
    return [name for name in entries if name in chosen]


def _matching(word, entries):
    if word in entries:
        return [word]
    return [n for n in entries if fnmatch.fnmatchcase(n, word) or word.lower() in n.lower()]


def check_entry(
    entry: Entry, dtype: str = "float64", device: str = "cpu", seed: int = 0, **settings: Any
) -> Report:
    """Check all drawn calls of an entry; one Report with the worst errors.

    Stops at the first verdict that is not "ok".
    """
    report = Report(entry.name, dtype=dtype, backend=device)
    settings = {"order": entry.order, **settings}
    if dtype == "float64":  # an entry's own tolerance is for float64
        settings.setdefault("tolerance", entry.tolerance)
    for i, drawn in enumerate(entry.calls(seed)):
        try:
            _check(report, entry.function, drawn.args, drawn.options, seed=seed + i, **settings)
        except TinylmError as error:
            report.verdict, report.detail = "error", f"{type(error).__name__}: {error}"
        if not report:
            report.detail = f"draw {i}: {report.detail}"
            break
    return report


def check_code(
    where: str,
    dtypes: tuple[str, ...] = ("float64",),
    device: str = "cpu",
    seed: int = 0,
    order: int = 1,
) -> list[Report]:
    """Check a user's function or module, named as "package.file:callable" or
    "path/file.py:callable".

    Inputs come from the callable's `example(rng)` or the `inputs(rng)` of its file; see arguments()
    in user_code.py.

    returns  one Report per dtype
    raises   ConfigError, with a way to give inputs, if it cannot be found or called
    """
    found = user_code.find_callable(where)
    function, args = user_code.arguments(*found, np.random.default_rng(seed))
    return [
        gradcheck(function, *args, dtype=dtype, device=device, seed=seed, order=order, name=where)
        for dtype in dtypes
    ]
