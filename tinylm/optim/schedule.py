"""Learning rates and batch sizes over time, as pure functions of the step   (book section 2.2.2).

Each returns a factor on the peak learning rate, except batch_size_ramp. Steps count from 0; warm-up
begins with 1/(warmup+1) at step 0, so that no step is wasted at rate 0, and reaches 1 at step
`warmup`. After warm-up no factor falls below `floor`.
"""

import math
from collections.abc import Callable

from tinylm.errors import ConfigError


def warm_up_steps(warmup: int, steps: int) -> int:
    """How many of a training's `steps` steps warm up.

    returns  `warmup`, or a tenth of `steps` where `warmup` is not below `steps`: then the full rate
             would never be reached
    """
    if warmup < steps:
        return warmup
    return steps // 10


def adapted(warmup: int, steps: int) -> str:
    """The message for a warm-up of the configuration that warm_up_steps() has shortened."""
    taken = warm_up_steps(warmup, steps)
    warm = "1 step warms up" if taken == 1 else f"{taken} steps warm up"
    return f"warm-up: {warmup} steps are not fewer than the {steps} to train, so {warm}"


def warm_up(step: int, warmup: int) -> float:
    """Linear from 1/(warmup+1) at step 0 to 1 at step `warmup`, then 1."""
    return min(1.0, (step + 1) / (warmup + 1))


def _progress(step, start, steps):
    """0 up to step `start`, 1 from the last step on, linear between."""
    progress = (step - start) / max(1, steps - 1 - start)
    return min(1.0, max(0.0, progress))


def constant(step: int, steps: int, warmup: int = 0, floor: float = 0.0) -> float:
    """Warm-up, then 1."""
    return warm_up(step, warmup)


def cosine(step: int, steps: int, warmup: int = 0, floor: float = 0.1) -> float:
    """Warm-up, then half a cosine from 1 down to `floor`   (Loshchilov & Hutter 2017)."""
    progress = _progress(step, warmup, steps)
    wave = (1 + math.cos(math.pi * progress)) / 2  # from 1 to 0
    return warm_up(step, warmup) * (floor + (1 - floor) * wave)


def linear_decay(step: int, steps: int, warmup: int = 0, floor: float = 0.0) -> float:
    """Warm-up, then a straight line from 1 to `floor`."""
    progress = _progress(step, warmup, steps)
    return warm_up(step, warmup) * (1 - (1 - floor) * progress)


def rise_and_fall(peak: float, steps: int, warmup: float) -> Callable[[int], float]:
    """The learning rates of fine-tuning: up to `peak`, then in a straight line down to 0 at `steps`
    (Devlin et al. 2019).

    steps    updates of the training, of which the last is number steps - 1: its rate is above 0
    warmup   share of the steps that warm up, as warm_up_steps() has them
    returns  function step -> learning rate
    """
    rising = warm_up_steps(round(warmup * steps), steps)
    # One more than there are steps: 0 is reached after the last one, and no step is wasted on it.
    return lambda step: peak * linear_decay(step, steps + 1, rising)


def inverse_sqrt(step: int, steps: int, warmup: int = 0, floor: float = 0.0) -> float:
    """Warm-up, then sqrt((warmup+1) / (step+1))   (Vaswani et al. 2017, up to its scale)."""
    return max(floor, min(warm_up(step, warmup), math.sqrt((warmup + 1) / (step + 1))))


def warmup_stable_decay(
    step: int, steps: int, warmup: int = 0, floor: float = 0.1, decay: float = 0.2
) -> float:
    """Warm-up, 1, and a straight line to `floor` at the end   (Hu et al. 2024).

    decay  share of the steps in that line
    """
    start = steps - max(1, round(decay * steps))
    progress = _progress(step, start, steps)
    return warm_up(step, warmup) * (1 - (1 - floor) * progress)


SCHEDULES = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear_decay,
    "inverse_sqrt": inverse_sqrt,
    "warmup_stable_decay": warmup_stable_decay,
}


def schedule(name: str) -> Callable[..., float]:
    """The schedule of that name. Raises ConfigError, with all names, for an unknown one."""
    if name not in SCHEDULES:
        raise ConfigError(f"no schedule named {name!r}: choose one of {', '.join(SCHEDULES)}")
    return SCHEDULES[name]


def batch_size_ramp(step: int, start: int, stop: int, ramp: int) -> int:
    """Batch size at a step: from `start` to `stop` in equal increments over `ramp` steps.

    All sizes are multiples of `start` (book section 2.2.2: batches that grow during training).
    """
    if stop % start:
        raise ConfigError(f"batch_size_ramp: {stop} is not a multiple of {start}")
    levels = stop // start
    level = 1 + step * levels // max(1, ramp)  # 1 at step 0
    return start * min(levels, level)
