"""Pipelines, rings and the cost of talking to each other, frame by frame.

Book sections 2.2.3 and 2.3.1. Four pictures of simulated machines, whose numbers are exact:

    1. the gradient of a batch is the sum of its parts', and the plain mean of parts is wrong
    2. four stages of a pipeline and the book's three micro-batches: what each does when, under
       GPipe, 1F1B, with two chunks a stage, and with the backward pass in halves (zero bubble);
       the idle share; the activations that are kept
    3. an all-reduce by a ring of four ranks, message by message
    4. data parallelism over links of finite speed: where more workers gain nothing any more

Numbers of section 4 are those of a model of 1.5 billion parameters in 16 bits whose batch takes one
worker 20 seconds, over links of 10 microseconds and 12.5 GB/s. Nothing is random. About a second.
`python scripts/2_2_3_parallel_training/parallel_schedules.py [--plot FILE]`; this also draws
the timelines as a picture. Read next: tinylm/parallel/pipeline/schedules.py,
tinylm/parallel/communicate/rings.py.

Measured output (indentation left out):

    1. parts of 5, 2 and 1 rows: largest difference from the gradient of the batch
    weighed by tokens, summed  5.6e-17
    plain mean of the parts    1.0e-01
    2. F, B: forward and backward pass of a micro-batch, with its number; b: second chunk;
    in ZB, B is the cotangent of the input alone, and W the gradients of the weights
    model parallelism, 1 micro-batch: idle 0.750, passes kept [1, 1, 1, 1]
    stage 3   .  .  . F0 B0  .  .  .
    stage 2   .  . F0  .  . B0  .  .
    stage 1   . F0  .  .  .  . B0  .
    stage 0  F0  .  .  .  .  .  . B0
    GPipe, 3 micro-batches: idle 0.500, passes kept [3, 3, 3, 3]
    stage 3   .  .  . F0 F1 F2 B0 B1 B2  .  .  .
    stage 2   .  . F0 F1 F2  .  . B0 B1 B2  .  .
    stage 1   . F0 F1 F2  .  .  .  . B0 B1 B2  .
    stage 0  F0 F1 F2  .  .  .  .  .  . B0 B1 B2
    1F1B, 3 micro-batches: idle 0.500, passes kept [3, 3, 2, 1]
    stage 3   .  .  . F0 B0 F1 B1 F2 B2  .  .  .
    stage 2   .  . F0 F1  . B0 F2 B1  . B2  .  .
    stage 1   . F0 F1 F2  .  . B0  . B1  . B2  .
    stage 0  F0 F1 F2  .  .  .  . B0  . B1  . B2
    1F1B, 8 micro-batches: idle 0.273, passes kept [4, 3, 2, 1]
    stage 3   .  .  . F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 F6 B6 F7 B7  .  .  .
    stage 2   .  . F0 F1  . B0 F2 B1 F3 B2 F4 B3 F5 B4 F6 B5 F7 B6  . B7  .  .
    stage 1   . F0 F1 F2  .  . B0 F3 B1 F4 B2 F5 B3 F6 B4 F7 B5  . B6  . B7  .
    stage 0  F0 F1 F2 F3  .  .  . B0 F4 B1 F5 B2 F6 B3 F7 B4  . B5  . B6  . B7
    interleaved, 2 chunks a stage, 4 micro-batches: idle 0.273, passes kept [8, 8, 7, 5]
    stage 3    .   .   .  F0  F1  F2  F3 F0b B0b F1b B1b F2b B2b F3b B3b  B0  B1  B2  B3   .   .   .
    stage 2    .   .  F0  F1  F2  F3 F0b F1b F2b B0b F3b B1b   . B2b   . B3b  B0  B1  B2  B3   .   .
    stage 1    .  F0  F1  F2  F3 F0b F1b F2b F3b   . B0b   . B1b   . B2b   . B3b  B0  B1  B2  B3   .
    stage 0   F0  F1  F2  F3 F0b F1b F2b F3b   .   .   . B0b   . B1b   . B2b   . B3b  B0  B1  B2  B3
    ZB-H1, 3 micro-batches: idle 0.308, passes kept [3, 3, 3, 3]
    stage 3   .  .  . F0 B0 F1 B1 F2 B2 W0 W1 W2  .
    stage 2   .  . F0 F1  . B0 F2 B1  . B2 W0 W1 W2
    stage 1   . F0 F1 F2  .  . B0  . B1 W0 B2 W1 W2
    stage 0  F0 F1 F2  .  .  .  . B0 W0 B1 W1 B2 W2
    ZB-H1, 8 micro-batches: idle 0.111, passes kept [4, 4, 4, 4]
    stage 3   .  .  . F0 B0 F1 B1 F2 B2 F3 B3 W0 F4 B4 W1 F5 B5 W2 F6 B6 W3 F7 B7 W4 W5 W6 W7
    stage 2   .  . F0 F1  . B0 F2 B1 F3 B2 W0 F4 B3 W1 F5 B4 W2 F6 B5 W3 F7 B6 W4 B7 W5 W6 W7
    stage 1   . F0 F1 F2  .  . B0 F3 B1 W0 F4 B2 W1 F5 B3 W2 F6 B4 W3 F7 B5 W4 B6 W5 B7 W6 W7
    stage 0  F0 F1 F2 F3  .  .  . B0 W0 F4 B1 W1 F5 B2 W2 F6 B3 W3 F7 B4 W4 B5 W5 B6 W6 B7 W7
    ZB-H2, 8 micro-batches: idle 0.111, passes kept [7, 7, 7, 7]
    stage 3   .  .  . F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 F6 B6 W0 F7 B7 W1 W2 W3 W4 W5 W6 W7
    stage 2   .  . F0 F1 F2 B0 F3 B1 F4 B2 F5 B3 F6 B4 W0 F7 B5 W1 B6 W2 B7 W3 W4 W5 W6 W7  .
    stage 1   . F0 F1 F2 F3 F4 B0 F5 B1 F6 B2 W0 F7 B3 W1 B4 W2 B5 W3 B6 W4 B7 W5 W6 W7  .  .
    stage 0  F0 F1 F2 F3 F4 F5 F6 B0 W0 F7 B1 W1 B2 W2 B3 W3 B4 W4 B5 W5 B6 W6 B7 W7  .  .  .
    slots that a stage waits between its first and its last action, if F, B, W take one:
    1F1B  3 micro-batches 9 of 18, 8 micro-batches 9 of 33, 16 micro-batches 9 of 57
    ZB-H1 3 micro-batches 4 of 13, 8 micro-batches 3 of 27, 16 micro-batches 3 of 51
    ZB-H2 3 micro-batches 4 of 13, 8 micro-batches 0 of 24, 16 micro-batches 0 of 48
    3. ring of 4 ranks, a vector of 4 pieces; rank r begins with r + 1 in each
    step 1 (sum   ): 0->1, 1->2, 2->3, 3->0, 8 bytes each
    step 2 (sum   ): 0->1, 1->2, 2->3, 3->0, 8 bytes each
    step 3 (sum   ): 0->1, 1->2, 2->3, 3->0, 8 bytes each
    step 4 (spread): 0->1, 1->2, 2->3, 3->0, 8 bytes each
    step 5 (spread): 0->1, 1->2, 2->3, 3->0, 8 bytes each
    step 6 (spread): 0->1, 1->2, 2->3, 3->0, 8 bytes each
    all ranks end with [10.0, 10.0, 10.0, 10.0]
    4. one batch of 20 s, gradients of 3 GB: seconds of a step (efficiency)
    workers             1             2             8            32            64           128
    naive    20.00 (1.00)  10.48 (0.95)   5.86 (0.43)  15.51 (0.04)  30.55 (0.01)  61.12 (0.00)
    tree     20.00 (1.00)  10.48 (0.95)   3.94 (0.63)   3.03 (0.21)   3.19 (0.10)   3.52 (0.04)
    ring     20.00 (1.00)  10.24 (0.98)   2.92 (0.86)   1.09 (0.57)   0.79 (0.40)   0.65 (0.24)
    fastest with 8 workers (naive), 32 workers (tree), 128 workers (ring)
    no ring step is shorter than 2 S / beta = 0.48 s, however many workers

Three micro-batches leave four stages idle half of the time, eight a quarter; 1F1B takes as long as
GPipe and keeps at most as many passes as there are stages above. Two chunks a stage idle as little
with four micro-batches as one chunk with eight, and keep more. With the backward pass in halves
stages fill the time in which they waited with gradients of weights: ZB-H1 keeps what 1F1B's first
stage does and waits a third as long, ZB-H2 keeps seven passes and does not wait at all, but its
last stage is done no earlier. Eight micro-batches are enough for that, three are not. A ring sends
the same bytes however many ranks there are, so its time approaches 0.48 s while the work goes to 0:
128 workers still gain, at a quarter of their efficiency. Where one rank adds up for all, more than
eight workers lose.
"""

import argparse

import numpy as np

from tinylm.models import GPT, GPTConfig
from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.rings import naive_all_reduce, ring_all_reduce, tree_all_reduce
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data_parallel import token_weight
from tinylm.parallel.pipeline.schedules import (
    bubble,
    gpipe,
    in_slots,
    most_kept,
    naive,
    one_f_one_b,
    stalled,
    timed,
    zb_h1,
    zb_h2,
)
from tinylm.pretrain import CausalLM
from tinylm.train.experiments.picture import Picture, add_plot

ROUTES = {"naive": naive_all_reduce, "tree": tree_all_reduce, "ring": ring_all_reduce}
SCHEDULES = [
    ("model parallelism, 1 micro-batch", naive(4, 1)),
    ("GPipe, 3 micro-batches", gpipe(4, 3)),
    ("1F1B, 3 micro-batches", one_f_one_b(4, 3)),
    ("1F1B, 8 micro-batches", one_f_one_b(4, 8)),
    ("interleaved, 2 chunks a stage, 4 micro-batches", one_f_one_b(4, 4, 2)),
    ("ZB-H1, 3 micro-batches", zb_h1(4, 3)),
    ("ZB-H1, 8 micro-batches", zb_h1(4, 8)),
    ("ZB-H2, 8 micro-batches", zb_h2(4, 8)),
]
LINK, BATCH_SECONDS, GRADIENT_BYTES = Link(10e-6, 12.5e9), 20.0, 2 * 1.5e9


def gradient_identity():
    """Parts of 5, 2 and 1 rows: their weighed sum is the gradient of the batch, not their mean."""
    model = GPT(GPTConfig(17, 8, 1, 2, 16), 0, np.float64)
    rows = np.random.default_rng(0).integers(0, 17, (8, 9))
    parts = [rows[:5], rows[5:7], rows[7:]]
    objective = CausalLM()

    def gradient(some):
        model.zero_grad()
        objective.loss(model, objective.make_batch(some))[0].backward()
        return np.concatenate([p.grad.data.reshape(-1) for p in model.parameters()])

    whole, own = gradient(rows), [gradient(part) for part in parts]

    def summed(comm):
        weight = token_weight(comm, parts[comm.rank].shape[0] * 8)
        return comm.all_reduce(weight * own[comm.rank])

    right = simulate(summed, 3).results[0]
    mean = sum(own) / 3
    print("1. parts of 5, 2 and 1 rows: largest difference from the gradient of the batch")
    print(f"   weighed by tokens, summed  {np.abs(right - whole).max():.1e}")
    print(f"   plain mean of the parts    {np.abs(mean - whole).max():.1e}")


def timelines():
    """The schedules in slots; a slot is a pass of a chunk, or a half of a backward pass."""
    print("2. F, B: forward and backward pass of a micro-batch, with its number; b: second chunk;")
    print("   in ZB, B is the cotangent of the input alone, and W the gradients of the weights")
    for name, actions in SCHEDULES:
        chunks = 1 + max(action.chunk for row in actions for action in row)
        plan = timed(actions, chunks, chunks)
        width = 4 if chunks > 1 else 3
        print(f"   {name}: idle {bubble(plan):.3f}, passes kept {most_kept(actions)}")
        print("\n".join(f"   {line}" for line in in_slots(plan, width).splitlines()))
    print("   slots that a stage waits between its first and its last action, if F, B, W take one:")
    for name, make in (("1F1B", one_f_one_b), ("ZB-H1", zb_h1), ("ZB-H2", zb_h2)):
        cells = []
        for micros in (3, 8, 16):
            waits = stalled(timed(make(4, micros), 1, 2 if name == "1F1B" else 1))
            cells.append(
                f"{micros} micro-batches {max(waits):.0f} of {3 * micros + max(waits):.0f}"
            )
        print(f"   {name:<6}" + ", ".join(cells))


def ring_frames():
    """Every message of a ring all-reduce, and what each rank has after it."""
    print("3. ring of 4 ranks, a vector of 4 pieces; rank r begins with r + 1 in each")
    network = Network(Link(1.0, float("inf")))  # a step takes a second

    def program(comm):
        array = np.full(4, comm.rank + 1.0)
        return ring_all_reduce(comm, array).tolist()

    found = simulate(program, 4, network=network)
    for step in range(1, 7):
        sent = [f"{m.source}->{m.to}" for m in found.messages if round(m.arrived) == step]
        phase = "sum" if step <= 3 else "spread"
        print(f"   step {step} ({phase:<6}): {', '.join(sorted(sent))}, 8 bytes each")
    print(f"   all ranks end with {found.results[0]}")


def scaling():
    """Seconds of a step and efficiency T_1 / (N T_N), by each route of the all-reduce."""
    print("4. one batch of 20 s, gradients of 3 GB: seconds of a step (efficiency)")
    counts = [1, 2, 8, 32, 64, 128]
    print("   workers" + "".join(f"{n:>14}" for n in counts))
    best = {}
    for name, route in ROUTES.items():
        times = [BATCH_SECONDS / n + _seconds(route, n) for n in counts]
        cells = [f"{t:.2f} ({BATCH_SECONDS / n / t:.2f})" for n, t in zip(counts, times)]
        print(f"   {name:<7}" + "".join(f"{cell:>14}" for cell in cells))
        best[name] = counts[int(np.argmin(times))]
    print("   fastest with " + ", ".join(f"{n} workers ({name})" for name, n in best.items()))
    floor = 2 * GRADIENT_BYTES / LINK.bandwidth
    print(f"   no ring step is shorter than 2 S / beta = {floor:.2f} s, however many workers")


def _seconds(route, n):
    """Of an all-reduce of the gradients: bytes of a millionth, over links as much slower."""
    small = Network(Link(LINK.latency, LINK.bandwidth / 1e6))
    numbers = int(GRADIENT_BYTES / 1e6)
    return simulate(lambda comm: route(comm, np.zeros(numbers, np.uint8)), n, network=small).seconds


def draw(path):
    """Save the timelines as a picture, of the kind that the name ends in."""
    kinds = {"F": "F forward", "B": "B backward", "W": "W gradients of the weights"}
    with Picture(path, rows=len(SCHEDULES), size=(9, 1.9)) as picture:
        for name, actions in SCHEDULES:
            plan = timed(actions)
            panel = picture.panel(f"{name}: idle {bubble(plan):.3f}", "time in slots")
            panel.timeline(
                [(a.stage, a.start, a.stop, kinds[a.action.kind], a.action.micro) for a in plan],
                [f"stage {s}" for s in range(4)],
            )


def main(argv=None):
    """Print the four pictures; draw the timelines if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_plot(parser, "the timelines")
    options = parser.parse_args(argv)
    gradient_identity()
    timelines()
    ring_frames()
    scaling()
    if options.plot:
        draw(options.plot)


if __name__ == "__main__":
    main()
