"""The figures behind the decisions in DESIGN.md: the way taken beside the one that was not.

No claim of the book. Each part measures one decision of DESIGN.md and prints the figures that stand
there, so that they can be measured again on another processor: between AVX2 and AVX-512 tanh and
exp change places. Ways take turns; a time is what the processor does for this process in one
thread, the median over rounds, and a ratio is the median of those within a round.

`python scripts/design_figures.py [PART...] [--rounds N] [--quick]`: half a minute for all parts;
--quick is one short round of each and proves only that the script runs. What a processor with AVX2
alone would do: OPENBLAS_CORETYPE=Haswell for matrix products, and for NumPy's own loops
NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR". Measured output: DESIGN.md. Read next:
design_steps.py, the same for whole steps of training.
"""

import argparse
import functools
import statistics
import time
import tracemalloc
from unittest import mock

import numpy as np

from tinylm import autograd as ag
from tinylm.autograd.engine import backward
from tinylm.autograd.kernels import block_attention, rows
from tinylm.autograd.primitives import choice, running
from tinylm.autograd.primitives.exponentials import has_fast_exp2
from tinylm.machine import blas_kernels, blas_threads, keep_freed_memory, processor
from tinylm.train.experiments.compare import ONLY_RUNS

TURN = 0.03  # seconds that a way works before the next one takes its turn
N, F = 768, 512  # the hidden layer of a batch of W1: 393,216 numbers


class Turns:
    """Takes turns between ways of doing the same work."""

    def __init__(self, rounds, turn=TURN):
        self.rounds, self.turn = rounds, turn

    def __call__(self, *ways):
        """Seconds of each way in each round: (ways, rounds)."""
        times = []
        for way in ways:
            way()  # a first call makes what is kept
            times.append(max(1, round(self.turn / max(_seconds(way, 1), 1e-6))))
        rounds = [[_seconds(way, n) for way, n in zip(ways, times)] for _ in range(self.rounds)]
        return np.array(rounds).T


def _seconds(way, times):
    start = time.process_time()
    for _ in range(times):
        way()
    return (time.process_time() - start) / times


def median(seconds, unit=1e6):
    """The median of a way's rounds, in microseconds unless another unit is given."""
    return unit * statistics.median(seconds)


def ratio(ours, other):
    """The median over rounds of one way's time over that of another."""
    return statistics.median(a / b for a, b in zip(ours, other))


def floats(*shape):
    """Standard normal numbers of float32."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# Every part: a function (turns) that yields lines.


def transcendentals(turns):
    """The attention kernel, GELU: exp, exp2 and tanh of float32."""
    x = floats(N, F)
    out = np.empty_like(x)
    ways = {"exp": np.exp, "exp2": np.exp2, "tanh": np.tanh}
    found = turns(*[lambda f=f: f(x, out=out) for f in ways.values()])
    for name, seconds in zip(ways, found):
        yield f"{name} {median(seconds, 1e9) / x.size:.2f} ns a number"


def chunks(turns):
    """Activations in chunks: gelu of 393,216 numbers, its slope kept, by numbers in a chunk."""
    x = floats(N, F)

    def by(size):
        def once():
            with mock.patch.object(choice, "BLOCK", size):
                ag.gelu.kernel(x, keep=True)

        return once

    sizes = 1 << 12, 1 << 15, 1 << 16, x.size
    for size, seconds in zip(sizes, turns(*map(by, sizes))):
        yield f"chunks of {size:,}: {median(seconds):.0f} us"


def sums(turns):
    """Sums: time and largest relative error of float32, uniform numbers; NumPy's beside ours."""

    def error(found, exact):
        return np.max(np.abs(found - exact) / exact)

    for shape in (1_000_000, 4), (1024, 1024):
        x = np.random.default_rng(0).random(shape, np.float32)
        t = ag.Tensor(x)
        for axis in 0, 1:
            exact = x.sum(axis, dtype=np.float64)
            ours, numpy = turns(lambda a=axis, t=t: ag.sum(t, a), lambda a=axis, x=x: np.sum(x, a))
            yield (
                f"{shape[0]:,} x {shape[1]:,} along axis {axis}: {median(ours):.0f} us,"
                f" error {error(ag.sum(t, axis).data, exact):.1e};"
                f" NumPy {median(numpy):.0f} us, {error(np.sum(x, axis), exact):.1e}"
            )


def running_sums(turns):
    """Running sums: of float32 in groups of 16, added in float64 (ours), float32, and np.cumsum."""
    x = floats(N, F)
    triangle = np.tri(running.GROUP, dtype=np.float32).T
    before = np.triu(np.ones((F // running.GROUP,) * 2, np.float32), 1)

    def short():
        within = x.reshape(N, -1, running.GROUP) @ triangle  # (N, groups, GROUP)
        within += (within[:, :, -1] @ before)[..., None]
        return within.reshape(N, F)

    ways = {
        "groups in float64": lambda: running.running_sums(x, 1),
        "groups in float32": short,
        "np.cumsum in float64": lambda: running.exact_running_sums(x, 1),
    }
    exact = np.cumsum(x, 1, dtype=np.float64)
    found = turns(*ways.values())
    for (name, way), seconds in zip(ways.items(), found):
        error = np.max(np.abs(way() - exact) / np.cumsum(np.abs(x), 1))
        yield (
            f"{name}: {ratio(found[-1], seconds):.2f} times as fast as np.cumsum, "
            f"error {error:.0e} of the sum of absolute values"
        )


def tables(turns):
    """Gradients of embedding tables: rows added up by their ids."""
    rng = np.random.default_rng(0)

    def one_hot(ids, g, vocabulary):
        matrix = np.zeros((len(ids), vocabulary), np.float32)
        matrix[np.arange(len(ids)), ids] = 1
        return matrix.T @ g

    def add_at(ids, g, vocabulary):
        out = np.zeros((vocabulary, g.shape[1]), np.float32)
        np.add.at(out, ids, g)
        return out

    def sort_and_reduce(ids, g, vocabulary):
        out = np.zeros((vocabulary, g.shape[1]), np.float32)
        order = np.argsort(ids, kind="stable")
        distinct, added = rows._sum_runs(ids[order], g[order])
        out[distinct] = added
        return out

    ways = {"ours": rows.add_rows, "np.add.at": add_at, "sort and reduceat": sort_and_reduce}
    words = rng.zipf(1.3, 20_000) - 1
    words = words[words < 50_257][:2048]
    for name, ids, width, vocabulary in (
        ("65 ids", rng.integers(0, 65, 2048), 384, 65),
        ("50,257 ids, drawn evenly", rng.integers(0, 50_257, 2048), 128, 50_257),
        ("50,257 ids, as words (Zipf, 1.3)", words, 128, 50_257),
    ):
        chosen = ways if vocabulary > 512 else ways | {"one-hot product": one_hot}
        g = floats(2048, width)
        found = turns(
            *[lambda w=way, i=ids, v=vocabulary, g=g: w(i, g, v) for way in chosen.values()]
        )
        times = [f"{label} {median(s):.0f}" for label, s in zip(chosen, found)]
        yield f"2,048 tokens, {name}, width {width}, us: {', '.join(times)}"


def fresh(turns):
    """Gradients that nobody else holds: an elementwise operation, forward and backward."""
    x, g = ag.Tensor(floats(N, F), requires_grad=True), floats(N, F)

    def once():
        x.grad = None
        (x * 2.0).backward(g)

    def copied():
        with mock.patch.object(backward, "_is_fresh", lambda *_: False):
            once()

    ours, other = turns(once, copied)
    yield f"2 x, {N} x {F}: {median(ours):.0f} us; copied {ratio(other, ours):.2f} times as long"


def blocks(turns):
    """Attention in blocks: 6 heads of width 64, causal, 2,048 tokens in all, both ways."""
    for T in 256, 512, 1024, 2048:
        B = 2048 // T
        qkv, g = ag.Tensor(floats(B, T, 3 * 6 * 64), requires_grad=True), floats(B, T, 6 * 64)
        apart = [ag.Tensor(floats(B, 6, T, 64), requires_grad=True) for _ in range(3)]
        g_apart = floats(B, 6, T, 64)

        def by_blocks(qkv=qkv, g=g):
            qkv.grad = None
            ag.self_attention(qkv, heads=6).backward(g)

        def by_tiles(apart=apart, g=g_apart):
            for x in apart:
                x.grad = None
            ag.tiled_attention(*apart, causal=True).backward(g)

        def whole(by_blocks=by_blocks):
            with mock.patch.object(block_attention, "applies", lambda *_: False):
                by_blocks()

        in_blocks, tiled, plain = turns(by_blocks, by_tiles, whole)
        yield (
            f"{T:,} tokens: blocks take {ratio(in_blocks, plain):.2f} of the time of whole scores,"
            f" tiles {ratio(tiled, plain):.2f}"
        )


def checkpointing(turns):
    """Blocks computed twice: a step of training, its time and the most memory it holds."""
    from tinylm.cli.measure.workloads import Work
    from tinylm.nn.recompute import recompute_blocks

    works = {"W1": Work(4, 4, 128, 64, 12), "W2": Work(6, 6, 384, 256, 8)}
    works["12 layers of width 128, 4 x 512 tokens"] = Work(12, 4, 128, 512, 4)
    for name, work in works.items():
        ids = np.random.default_rng(0).integers(0, work.vocab_size, (work.batch, work.context + 1))
        batch = work.objective.make_batch(ids)
        models = [work.model().train(), recompute_blocks(work.model().train())]

        def step(model, work=work, batch=batch):
            with ag.first_order_only():
                loss, _ = work.objective.loss(model, batch)
            loss.backward()

        ways = [functools.partial(step, model) for model in models]
        plain, twice = turns(*ways)
        before, after = map(peak, ways)
        yield (
            f"{name}: {before / 2**20:.1f} MiB, twice {after / 2**20:.1f};"
            f" {ratio(twice, plain):.2f} times as long"
        )


def peak(way):
    """The most bytes of arrays that a call holds beyond those that were there before it."""
    tracemalloc.start()
    try:
        way()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def run(parts, about, argv=None):
    """The command line of a script of parts: measures those that are named, or all.

    parts   functions (Turns) that yield lines
    about   the script's docstring, whose first line --help shows
    """
    named = {part.__name__: part for part in parts}
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(named))
    parser.add_argument("--rounds", type=int, default=15, help="turns of every way (15)")
    parser.add_argument("--quick", action="store_true", help="one short round of each part")
    options = parser.parse_args(argv)
    for name in options.parts:
        if name not in named:
            parser.error(f"{name!r} is no part; there are {', '.join(named)}")
    turns = Turns(options.rounds)
    if options.quick:
        print(ONLY_RUNS)
        turns = Turns(1, 0.001)
    blas_threads(1)
    keep_freed_memory()
    short = "AVX-512" if has_fast_exp2() else "AVX2 or less"
    print(
        f"{processor()}, one thread; OpenBLAS's kernels for {blas_kernels() or 'unknown'},"
        f" NumPy's with {short}"
    )
    for name in options.parts or named:
        print(f"{name}: {named[name].__doc__.splitlines()[0]}")
        for line in named[name](turns):
            print(f"  {line}", flush=True)


PARTS = transcendentals, chunks, sums, running_sums, tables, fresh, blocks, checkpointing

if __name__ == "__main__":
    run(PARTS, __doc__)
