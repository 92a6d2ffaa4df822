"""What a rank holds and sends under ZeRO, stage by stage: measured.

Section 2.2.3 of the book, data parallelism; Rajbhandari et al. 2020. Ranks that share a batch hold
the same parameters, gradients and moments. ZeRO cuts the moments among them (stage 1), the
gradients too (2), the parameters too (3). Here a decoder of 1.6 million parameters takes steps of
Adam in float32 in processes that share memory, on 1 to 8 ranks; of the first rank, whose slice is
the largest, the script prints in MB

    parameters, gradients, moments   the arrays that it keeps between steps
    alive    all NumPy arrays between steps, as tracemalloc counts them
    formula  4 P + 4 P + 8 P bytes, with a summand divided by the ranks where the stage cuts it
    peak     what comes on top in a step, the activations of one row of three tokens among it
    sent     by each rank in a step, in units of the (N - 1) / N P numbers of a reduce-scatter, and
             with four micro-batches

Last, the example of the paper's table 1, by the formula in 16 bits: 7.5 billion parameters, 64
ranks. Nothing is random. About a minute on two busy cores.
`python scripts/2_2_3_parallel_training/memory_by_zero_stage.py [--plot FILE]`; --plot draws the
table as bars. Read next: tinylm/parallel/zero/__init__.py.

Measured output:

    ranks stage parameters  gradients    moments      alive    formula       peak   sent  in four
        1     0      6.562      6.562     13.125     26.249     26.249      0.369   0.00   0.00
        1     1      6.562      6.562     13.125     26.249     26.249      0.372   0.00   0.00
        1     2      6.562      6.562     13.125     26.249     26.249      1.173   0.00   0.00
        1     3      6.562      6.562     13.125     26.249     26.249      1.682   0.00   0.00
        2     0      6.562      6.562     13.125     26.249     26.249      0.371   2.00   2.00
        2     1      6.562      6.562      6.562     19.687     19.687      0.371   2.00   2.00
        2     2      6.562      3.281      6.562     16.406     16.406      1.172   2.00   5.00
        2     3      3.281      3.281      6.562     13.125     13.125      1.682   3.00  12.00
        4     0      6.562      6.562     13.125     26.249     26.249      0.371   2.00   2.00
        4     1      6.562      6.562      3.281     16.406     16.406      0.371   2.00   2.00
        4     2      6.562      1.641      3.281     11.484     11.484      1.329   2.00   5.00
        4     3      1.641      1.641      3.281      6.562      6.562      1.682   3.00  12.00
        8     0      6.562      6.562     13.125     26.249     26.249      0.371   2.00   2.00
        8     1      6.562      6.562      1.641     14.765     14.765      0.371   2.00   2.00
        8     2      6.562      0.820      1.641      9.023      9.023      1.233   2.00   5.00
        8     3      0.820      0.820      1.641      3.281      3.281      1.682   3.00  12.00
    7.5 billion parameters on 64 ranks, 2 + 2 + 12 bytes, GB: 120.0, 31.4, 16.6, 1.9

What is alive is the formula to the last digit. Stages 2 and 3 need more while they work: the
gradients of a block are 0.79 MB, and at stage 3 its parameters are as many. With one micro-batch
stages 1 and 2 send what an all-reduce does, and stage 3 half as much again. From stage 2 on each
micro-batch is reduced on its own: with four of them stage 2 sends 2.5 times what stage 1 does, and
stage 3 six times.
"""

import argparse
import tracemalloc

import numpy as np

from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.parallel import launch
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.step import ParallelTrainer
from tinylm.parallel.together import Together
from tinylm.parallel.zero.memory import MIXED, held_bytes, live_bytes, state_bytes
from tinylm.pretrain import CausalLM
from tinylm.train.experiments.picture import Picture, add_plot

CONFIG = GPTConfig(256, 8, 8, 4, 128, tied=False, bias=False, positions="none")
RANKS, STAGES, MB = (1, 2, 4, 8), range(4), 1e6


def trainer(comm, layout, micros=1):
    """A trainer whose ranks have a row of three tokens for each micro-batch."""
    together = Together(GPT(CONFIG, 0), Mesh(comm, layout))
    rows = layout.dp * micros

    def batches(step, start, stop):
        return np.arange(4 * rows).reshape(rows, 4)[start:stop] % CONFIG.vocab_size

    return ParallelTrainer(together, CausalLM(), AdamW, batches, rows, 1e-3, micros=micros)


def measure(comm, layout):
    """Of a rank, bytes: (those of held_bytes(), all that is alive, what a step needs on top)."""
    tracemalloc.start()
    before = live_bytes()
    training = trainer(comm, layout)
    training.advance()
    alive = live_bytes() - before
    tracemalloc.reset_peak()
    start = tracemalloc.get_traced_memory()[0]
    training.advance()
    peak = tracemalloc.get_traced_memory()[1] - start
    tracemalloc.stop()
    return held_bytes(training.optimizer), alive, peak, training.parameters


def sent(comm, layout, micros):
    """Bytes that a rank sends to its data group in a step."""
    training = trainer(comm, layout, micros)
    data = training.mesh.data
    before = sum(data.bytes_sent.values())
    training.advance()
    return sum(data.bytes_sent.values()) - before


def traffic(ranks, stage, micros, parameters):
    """The mean of sent() over ranks, in units of a reduce-scatter of the parameters."""
    if ranks == 1:
        return 0.0
    found = simulate(sent, ranks, Layout(dp=ranks, zero=stage), micros).results
    return sum(found) / ((ranks - 1) * 4 * parameters)


def table():
    """Print the rows; returns {(ranks, stage): held_bytes()}."""
    found = {}
    names = ("parameters", "gradients", "moments", "alive", "formula", "peak")
    print("ranks stage" + "".join(f"{name:>11}" for name in names) + "   sent  in four")
    for ranks in RANKS:
        for stage in STAGES:
            layout = Layout(dp=ranks, zero=stage)
            held, alive, peak, parameters = launch(measure, ranks, layout, capacity=1 << 20)
            formula = sum(state_bytes(parameters, ranks, stage))
            row = "".join(f"{x / MB:>11.3f}" for x in (*held.values(), alive, formula, peak))
            units = [traffic(ranks, stage, micros, parameters) for micros in (1, 4)]
            print(f"{ranks:>5}{stage:>6}{row}" + "".join(f"{x:>7.2f}" for x in units), flush=True)
            found[ranks, stage] = held
    return found


def draw(found, path):
    """Save the table as bars of three parts."""
    with Picture(path, size=(7, 5)) as picture:
        panel = picture.panel("memory of a rank between steps, by stage of ZeRO", "MB", "")
        rows = {}
        for (ranks, stage), held in found.items():
            name = f"{ranks} ranks, stage {stage}" if ranks > 1 else f"1 rank, stage {stage}"
            rows[name] = {what: held[what] / MB for what in ("parameters", "gradients", "moments")}
        panel.stacks(rows)


def main(argv=None):
    """Measure, print, draw if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_plot(parser, "the table")
    options = parser.parse_args(argv)
    found = table()
    sizes = [sum(state_bytes(7.5, 64, stage, MIXED)) for stage in STAGES]
    print("7.5 billion parameters on 64 ranks, 2 + 2 + 12 bytes, GB: ", end="")
    print(", ".join(f"{gigabytes:.1f}" for gigabytes in sizes))
    if options.plot:
        draw(found, options.plot)


if __name__ == "__main__":
    main()
