"""`tinylm plan`: what training a model on a cluster would take, and the layout to do it with.

Prices every way to spread the model over the GPUs, or one that `--layout` names: memory of a GPU,
seconds of a step, utilization, days, cost, how often to write a checkpoint, and which constraint
binds. Formulas and numbers of data sheets, nothing is measured on the machine; --calibrated takes
what runs that others published reached of these numbers: tinylm/parallel/plan.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.cli.options import parse
from tinylm.parallel.plan.failures import GPU_HOURS_PER_FAILURE
from tinylm.parallel.plan.shapes import Shape
from tinylm.settings import above, at_least, setting

if TYPE_CHECKING:
    from tinylm.parallel.plan.hardware import Hardware
    from tinylm.parallel.plan.search import Priced


TOKENS_PER_PARAMETER = 20  # about the best for a compute budget (Hoffmann et al. 2022)
DAY = 24 * 3600


@dataclass
class PlanSettings:
    """Settings of `tinylm plan`."""

    model: str = setting("gpt3-175b", "a preset (`tinylm models`), mt-nlg-530b, megatron-22b ...")
    gpus: int = setting(1024, "how many GPUs", at_least(1))
    hardware: str = setting("a100", "a100, a100-40, h100, h200, v100, or a JSON file of one's own")
    batch: int = setting(2048, "sequences of a step, over all GPUs", at_least(1))
    context: int | None = setting(None, "tokens of a sequence; None: the model's own", at_least(1))
    layout: str = setting("", "price this one: tp=8,pp=8,micro_batch=2,recompute=full")
    top: int = setting(5, "layouts to list", at_least(1))
    tokens: float | None = setting(None, "billions of tokens; None: 20 a parameter", above(0))
    price: float = setting(2.0, "dollars for an hour of a GPU", at_least(0))
    calibrated: bool = setting(False, "with constants fitted to 882 runs that others measured")
    checkpoint_seconds: float = setting(60.0, "to write a checkpoint", above(0))
    restart_seconds: float = setting(600.0, "from a failure to the next step", at_least(0))
    gpu_hours_per_failure: float = setting(
        float(round(GPU_HOURS_PER_FAILURE)), "between failures; the default is Llama 3's", above(0)
    )


def main(argv: Sequence[str]) -> int:
    """Print the plan."""
    settings = parse(
        argv,
        PlanSettings,
        verb="plan",
        about=__doc__,
        examples=(
            "tinylm plan --model gpt3-175b --gpus 1024 --hardware a100",
            "tinylm plan --model llama2-7b --gpus 64 --hardware h100 --batch 512",
            "tinylm plan --gpus 1024 --layout tp=8,pp=8,dp=16,micro_batch=2,recompute=full",
        ),
    )
    print(report(settings))
    return 0


def report(settings: PlanSettings) -> str:
    """The plan as text.

    raises   ConfigError for an unknown model or machine, and a layout that cannot be
    """
    from tinylm.parallel.plan.constants import MEASURED, NAMES, UNCALIBRATED, describe
    from tinylm.parallel.plan.hardware import machine
    from tinylm.parallel.plan.layout import read_layout
    from tinylm.parallel.plan.search import checked, search
    from tinylm.parallel.plan.shapes import shape_of

    shape = shape_of(settings.model, settings.context)
    hardware = machine(settings.hardware)
    constants, fitted = UNCALIBRATED, ()
    if settings.calibrated:
        constants, fitted = MEASURED, NAMES
    tokens = TOKENS_PER_PARAMETER * shape.parameters
    if settings.tokens is not None:
        tokens = 1e9 * settings.tokens
    lines = [heading(settings, shape, hardware, tokens), ""]
    if settings.layout:
        layout = read_layout(settings.layout, settings.batch, settings.gpus)
        priced = [checked(shape, layout, hardware, settings.gpus, constants)]
        binds = None
    else:
        found = search(shape, hardware, settings.gpus, settings.batch, constants, settings.top)
        priced = found.best
        binds = (
            f"binds: {found.binding}\n"
            f"{found.tried:,} layouts priced, {found.fitting:,} of them fit into memory"
        )
    lines += table(settings, shape, hardware, tokens, priced)
    lines += ["", *parts(priced[0])]
    if binds:
        lines += ["", binds]
    lines += ["", failures(settings, days(settings, shape, tokens, priced[0]))]
    lines += ["", "constants of the cost model:", describe(constants, fitted)]
    return "\n".join(lines)


def heading(settings: PlanSettings, shape: Shape, hardware: "Hardware", tokens: float) -> str:
    """The task in a line or two."""
    return (
        f"{settings.model}: {shape.parameters / 1e9:.2f} billion parameters, {tokens / 1e9:,.0f} "
        f"billion tokens, steps of {settings.batch:,} x {shape.context:,}\n"
        f"{settings.gpus:,} GPUs {hardware.name}: {hardware.peak / 1e12:.0f} Tflop/s, "
        f"{hardware.memory / 1e9:.0f} GB each, {hardware.node} a node, "
        f"{hardware.network / 1e9:.0f} GB/s between nodes"
    )


def utilization(
    settings: PlanSettings, shape: Shape, hardware: "Hardware", seconds: float
) -> float | np.ndarray:
    """Share of the peak that the model's own operations take, recomputation not counted."""
    work = 3 * shape.forward_operations * settings.batch * shape.context
    return work / (settings.gpus * hardware.peak * seconds)


def days(
    settings: PlanSettings, shape: Shape, tokens: float, priced: "Priced"
) -> float | np.ndarray:
    """Days of steps, without failures."""
    return tokens / (settings.batch * shape.context) * priced.seconds / DAY


def table(
    settings: PlanSettings,
    shape: Shape,
    hardware: "Hardware",
    tokens: float,
    priced: "Sequence[Priced]",
) -> list[str]:
    """Lines of the layouts: degrees, memory, seconds, utilization, days, cost."""
    lines = [
        f"{'tp':>5}{'dp':>8}{'pp':>5}{'micro':>7}{'chunks':>8}{'zero':>6}  {'recompute':<11}"
        f"{'GB/GPU':>7}{'s/step':>9}{'of peak':>9}{'days':>8}{'dollars':>14}"
    ]
    for one in priced:
        c = one.layout
        long = days(settings, shape, tokens, one)
        cost = long * 24 * settings.gpus * settings.price
        share = utilization(settings, shape, hardware, one.seconds)
        lines.append(
            f"{c.tp:>5}{c.dp:>8}{c.pp:>5}{c.micro_batch:>7}{c.chunks:>8}{c.zero:>6}  "
            f"{c.recompute:<11}{one.memory.total / 1e9:>7.1f}{one.seconds:>9.3f}{share:>9.1%}"
            f"{long:>8.1f}{cost:>14,.0f}"
        )
    return lines


def parts(priced: "Priced") -> list[str]:
    """Two lines: where the memory and the time of a layout are."""
    held = {f.name: getattr(priced.memory, f.name) for f in dataclasses.fields(priced.memory)}
    spent = {f.name: getattr(priced.step, f.name) for f in dataclasses.fields(priced.step)}
    memory = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in held.items())
    seconds = ", ".join(f"{name} {t / priced.seconds:.1%}" for name, t in spent.items())
    return [f"--layout {priced.layout.words()}", f"GB: {memory}", f"time: {seconds}"]


def failures(settings: PlanSettings, long: float) -> str:
    """Lines on failures: how often, when to write a checkpoint, what share is progress."""
    from tinylm.parallel.plan.failures import (
        daly_interval,
        goodput,
        job_seconds_between_failures,
        young_interval,
    )

    between = job_seconds_between_failures(settings.gpus, settings.gpu_hours_per_failure)
    young = young_interval(settings.checkpoint_seconds, between)
    daly = float(daly_interval(settings.checkpoint_seconds, between))
    share = goodput(daly, settings.checkpoint_seconds, settings.restart_seconds, between)
    if share < 1e-6:
        return f"failures: one in {between:,.3g} seconds, faster than any work is saved"
    return (
        f"failures: one in {between / 3600:,.1f} hours; a checkpoint every {daly / 60:.1f} minutes "
        f"(Daly; Young {young / 60:.1f})\n"
        f"goodput {share:.1%}: {long / share:,.1f} days with failures"
    )
