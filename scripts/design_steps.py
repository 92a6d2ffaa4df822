"""The figures in DESIGN.md about whole steps of training: where the time goes, and what two
decisions about operations are worth.

No claim of the book. `python scripts/design_steps.py [PART...] [--rounds N] [--quick]`: a minute
for all parts; --quick is one short round of each and proves only that the script runs. Sizes and
batches are those of `tinylm bench`. Shares are by cProfile, which makes calls look dearer than they
are, those of W3 above all. Measured output: DESIGN.md. Read first: design_figures.py.
"""

import contextlib
import cProfile
import gc
import math
import pstats
import sys
import time

from design_figures import TURN, floats, median, ratio, run

from tinylm import autograd as ag
from tinylm.autograd.engine.operation import fused_operations
from tinylm.autograd.engine.tensor import observers
from tinylm.backend import Random
from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS
from tinylm.errors import TinylmError
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain.batch import Batch
from tinylm.train.step import random_streams, train_step


def half_a_step(name):
    """A function that trains half a batch of a work once, as each of two workers does."""
    work = WORKS[name]
    model = work.model()
    optimizer = AdamW(FlatParameters(model.named_parameters()), **ADAMW)
    count = work.batch // 2
    ids = Random(0, "design").integers(0, work.vocab_size, (count, work.context + 1))
    batch, streams = Batch(ids[:, :-1], ids[:, 1:]), random_streams(model)
    return lambda: train_step(
        model,
        work.objective,
        optimizer,
        batch,
        0,
        count,
        ADAMW["lr"],
        CLIP,
        streams=streams,
    )


def products_alone(name):
    """A function that computes the products of the linear maps in half a batch alone."""
    work = WORKS[name]
    n, D = work.batch // 2 * work.context, work.d_model
    shapes = [(D, 3 * D), (D, D), (D, 4 * D), (4 * D, D)] * work.n_layer + [(D, work.vocab_size)]
    maps = [(floats(n, a), floats(a, b), floats(n, b)) for a, b in shapes]

    def once():
        for x, weight, g in maps:
            x @ weight, g @ weight.T, x.T @ g

    return once


def places_of_operations():
    """Where modules, and tables in them, hold a fused operation: list of (dict, key, operation)."""
    fused = {id(operation): operation for operation in fused_operations.values()}
    found = []
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "tinylm":
            tables = [value for value in vars(module).values() if type(value) is dict]
            for table in (vars(module), *tables):
                found += [(table, k, fused[id(v)]) for k, v in table.items() if id(v) in fused]
    return found


@contextlib.contextmanager
def composed(places):
    """All fused operations are their twins of primitives, and a block runs part by part.

    A model must be made in it, since modules hold their activation.
    """
    try:
        for table, key, operation in places:
            table[key] = operation.twin
        with part_by_part():
            yield
    finally:
        for table, key, operation in places:
            table[key] = operation


@contextlib.contextmanager
def part_by_part():
    """Norm, branch and sum of each half of a block are operations of their own."""
    observers.append(lambda *_: None)
    try:
        yield
    finally:
        observers.pop()


def tiers(turns):
    """Two tiers, and half a block: steps of composed operations, and of a block's parts."""
    places = [place for place in places_of_operations() if place[0] is not fused_operations]
    for name in "W1", "W3":
        step = half_a_step(name)
        with composed(places):
            plain_step = half_a_step(name)
            plain_loss = plain_step().loss
        # The same work: the loss of the first step.
        if not math.isclose(step().loss, plain_loss, rel_tol=1e-4):
            raise TinylmError(f"{name}: fused and composed operations differ in their loss")

        def by_parts(step=step):
            with part_by_part():
                step()

        def by_primitives(step=plain_step):
            with composed(places):
                step()

        ours, parts, plain = turns(step, by_parts, by_primitives)
        yield (
            f"half a batch of {name}: {median(ours, 1e3):.2f} ms; part by part"
            f" {ratio(parts, ours):.3f} times as long, composed {ratio(plain, ours):.2f}"
        )


PARTS_OF_A_STEP = {
    "linear": "kernels/linear kernels/few_rows kernels/rows primitives/reductions",
    "attention": "kernels/attention kernels/block_attention",
    "activations": "kernels/activations primitives/erf primitives/exponentials primitives/choice",
    "norms": "kernels/norms",
    "loss": "kernels/losses",
    "AdamW": "tinylm/optim/",
    "engine": "autograd/engine/ autograd/sublayers/",
}


def _part_of(path):
    """The part of a step that a file belongs to."""
    for name, files in PARTS_OF_A_STEP.items():
        if any(file in path for file in files.split()):
            return name
    return "the rest"


def shares(step, times):
    """Share of each part of a step, by cProfile: a name -> part of the time of `times` steps."""
    step()
    profile = cProfile.Profile()
    profile.runcall(lambda: [step() for _ in range(times)])
    found = dict.fromkeys([*PARTS_OF_A_STEP, "the rest"], 0.0)
    for (path, _, _), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():
        if "tinylm" in path:
            found[_part_of(path)] += own
        else:  # NumPy and Python work for whoever calls them
            for (caller, _, _), (_, _, of_caller, _) in callers.items():
                found[_part_of(caller)] += of_caller
    total = sum(found.values())
    return {name: own / total for name, own in found.items()}


def step(turns):
    """Where the time goes: half a batch on one thread, its products alone, shares of its parts."""
    a = floats(1024, 1024)
    (seconds,) = turns(lambda: a @ a)
    yield f"products of 1,024 x 1,024: {2 * 1024**3 / median(seconds, 1e9):.0f} operations a ns"
    for name in "W1", "W3":
        whole, alone = turns(half_a_step(name), products_alone(name))
        yield (
            f"half a batch of {name}: {median(whole, 1e3):.2f} ms,"
            f" products of its linear maps alone {median(alone, 1e3):.2f}"
        )
        found = shares(half_a_step(name), max(1, round(turns.rounds * TURN / median(whole, 1))))
        yield "  " + ", ".join(f"{part} {100 * share:.0f} %" for part, share in found.items())


def chain(turns):
    """A chain of scalar operations, recorded with and without the garbage collector, and back."""
    length = 100_000 if turns.rounds > 1 else 1000
    recorded, walked = {True: [], False: []}, []
    for collect in [True, False] * min(turns.rounds, 3):
        gc.collect()
        (gc.enable if collect else gc.disable)()
        try:
            start = time.process_time()
            x = y = ag.Tensor(1.0, requires_grad=True)
            for _ in range(length):
                y = y * 1.0
            recorded[collect].append(time.process_time() - start)
            start = time.process_time()
            y.backward()
            walked.append(time.process_time() - start)
        finally:
            gc.enable()
        assert math.isclose(float(x.grad), 1.0)
    yield (
        f"{length:,} operations: recorded in {median(recorded[False], 1):.2f} s,"
        f" {median(recorded[True], 1):.2f} with the collector,"
        f" walked back in {median(walked, 1):.2f}"
    )


if __name__ == "__main__":
    run((tiers, step, chain), __doc__)
