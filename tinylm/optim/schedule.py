"""Learning rates and batch sizes over time, as pure functions of the step   (book section 2.2.2).

Each returns a factor on the peak learning rate, except batch_size_ramp. Steps count from 0; warm-up
reaches 1 at step `warmup`, from 1/(warmup+1) at step 0, so that no step is wasted at rate 0.
"""

import math

from tinylm.errors import ConfigError


def warm_up_steps(warmup, steps):
    """The steps of warm-up in a training of `steps`: as many as were asked for, or a tenth of all
    where that would leave none at the full rate."""
    if warmup < steps:
        return warmup
    return steps // 10


def adapted(warmup, steps):
    """What a user is told where warm_up_steps() are others than were asked for."""
    return (
        f"warm-up: {warmup} steps are not fewer than the {steps} to train, so "
        f"{warm_up_steps(warmup, steps)} steps warm up"
    )


def warm_up(step, warmup):
    """Linear from 1/(warmup+1) at step 0 to 1 at step `warmup`, then 1."""
    return min(1.0, (step + 1) / (warmup + 1))


def constant(step, steps, warmup=0, floor=0.0):
    """Warm-up, then 1."""
    return warm_up(step, warmup)


def cosine(step, steps, warmup=0, floor=0.1):
    """Warm-up, then half a cosine from 1 down to `floor` at the last step   (Loshchilov & Hutter
    2017).
    """
    progress = min(1.0, max(0.0, (step - warmup) / max(1, steps - 1 - warmup)))
    return warm_up(step, warmup) * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)


def linear(step, steps, warmup=0, floor=0.0):
    """Warm-up, then a straight line from 1 to `floor` at the last step."""
    progress = min(1.0, max(0.0, (step - warmup) / max(1, steps - 1 - warmup)))
    return warm_up(step, warmup) * (1 - (1 - floor) * progress)


def inverse_sqrt(step, steps, warmup=0, floor=0.0):
    """Warm-up, then sqrt((warmup+1) / (step+1))   (Vaswani et al. 2017, up to its scale)."""
    return max(floor, min(warm_up(step, warmup), math.sqrt((warmup + 1) / (step + 1))))


def warmup_stable_decay(step, steps, warmup=0, floor=0.1, decay=0.2):
    """Warm-up, 1, and a straight line to `floor` over the last `decay` share of the steps   (Hu et
    al. 2024).
    """
    start = steps - max(1, round(decay * steps))
    progress = min(1.0, max(0.0, (step - start) / max(1, steps - 1 - start)))
    return warm_up(step, warmup) * (1 - (1 - floor) * progress)


SCHEDULES = {f.__name__: f for f in (constant, cosine, linear, inverse_sqrt, warmup_stable_decay)}


def schedule(name):
    """The schedule of that name. Raises ConfigError that lists the names."""
    if name not in SCHEDULES:
        raise ConfigError(f"no schedule named {name!r}: choose one of {', '.join(SCHEDULES)}")
    return SCHEDULES[name]


def batch_size_ramp(step, start, stop, ramp):
    """Batch size at a step: from `start` to `stop` in equal increments over `ramp` steps, multiples
    of `start` (book section 2.2.2: batches that grow during training).
    """
    if stop % start:
        raise ConfigError(f"batch_size_ramp: {stop} is not a multiple of {start}")
    levels = stop // start
    return start * min(levels, 1 + step * levels // max(1, ramp))
