"""The eight constants of the cost model: what a program reaches of the numbers of a data sheet.

Each has a unit and a range that physics allows; a fit that ends at a bound has not explained its
rows. The values of the fields are not fitted to any table of measured runs: each names its source,
and they are printed as "not calibrated". calibrate.py estimates them from measured runs; MEASURED
holds such estimates.
Read next: kernels.py.
"""

import dataclasses
from dataclasses import dataclass


def _constant(value, low, high, unit, meaning, source):
    """A field with its value without calibration, its range, and words for the output."""
    metadata = {"low": low, "high": high, "unit": unit, "meaning": meaning, "source": source}
    return dataclasses.field(default=value, metadata=metadata)


@dataclass(frozen=True)
class Constants:
    """The constants by name; those not given are not calibrated."""

    matrix: float = _constant(
        *(0.85, 0.40, 1.00, "of the peak"),
        "rate of a large matrix product, up to Ampere",
        "267.9 of 312 Tflop/s: Bekman, Machine Learning Engineering, 2024",
    )
    matrix_hopper: float = _constant(
        *(0.80, 0.40, 1.00, "of the peak"),
        "the same on Hopper, whose clock falls under load",
        "794.5 of 989 Tflop/s: the same table",
    )
    memory: float = _constant(
        *(0.80, 0.30, 1.00, "of the bandwidth"),
        "rate of element-wise work on device memory",
        "about 80 % in stream benchmarks of the A100",
    )
    attention: float = _constant(
        *(0.35, 0.10, 0.80, "of the peak"),
        "rate of tiled causal attention, on half the scores",
        "about 110 of 312 Tflop/s: Dao 2023 on FlashAttention 1, heads of width 128",
    )
    host: float = _constant(
        *(15e-6, 2e-6, 50e-6, "seconds"),
        "for the host to launch one operation",
        "10 to 20 microseconds for an operation of PyTorch",
    )
    hiding: float = _constant(
        *(2.0, 1.0, 12.0, "exponent"),
        "launching behind computing: at 1 none hides",
        "between adding up and the longer of the two",
    )
    network: float = _constant(
        *(0.80, 0.10, 1.00, "of the adapters"),
        "rate of collectives between nodes",
        "about 20 of 25 GB/s an adapter in nccl-tests",
    )
    rail: float = _constant(
        *(0.50, 0.05, 1.00, "of that rate"),
        "left to groups with several GPUs of a node but not all",
        "half the adapters carry each direction of their ring",
    )


FIELDS = {field.name: field for field in dataclasses.fields(Constants)}
NAMES = tuple(FIELDS)
UNCALIBRATED = Constants()
# Fitted to all 882 runs of three tables at once (vTrain's two on A100, llm-foundry's on A100 and
# H100). How well such a fit predicts runs that it has not seen, and this fit itself, are printed by
# scripts/2_2_3_parallel_training/planner_accuracy.py.
MEASURED = Constants(
    matrix=0.793,
    matrix_hopper=0.552,
    memory=0.773,
    attention=0.300,
    host=19.6e-6,
    hiding=3.73,
    network=0.479,
    rail=0.353,
)


def describe(constants: Constants, fitted: tuple[str, ...] = ()) -> str:
    """A line for each constant: name, value, unit, range, meaning, origin. Returns str."""
    lines = []
    for name, field in FIELDS.items():
        facts = field.metadata
        origin = "not calibrated: " + facts["source"]
        if name in fitted:
            origin = "fitted"
        span = f"{facts['low']:g} .. {facts['high']:g}"
        lines.append(
            f"  {name:<14}{getattr(constants, name):<10.4g}{facts['unit']:<17}({span}) "
            f"{facts['meaning']}; {origin}"
        )
    return "\n".join(lines)


def at_a_bound(
    constants: Constants, names: tuple[str, ...] = NAMES, margin: float = 0.01
) -> tuple[str, ...]:
    """Names of constants within `margin` of their range of one of its ends. Returns a tuple."""
    near = []
    for name in names:
        low, high = FIELDS[name].metadata["low"], FIELDS[name].metadata["high"]
        place = (getattr(constants, name) - low) / (high - low)
        if not margin < place < 1 - margin:
            near.append(name)
    return tuple(near)
