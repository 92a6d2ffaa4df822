"""A ring all-reduce frame by frame, counted beside the naive way and a tree.

Book sections 2.2.3 and 2.3.1. Claims, each exact, of ranks in the simulator:

    1. a ring of n ranks ends with the sum on all: frame by frame, what every rank holds
    2. steps, and bytes of the busiest rank, are those of the formulas, for 2 to 16 ranks
    3. over links of finite speed the naive way is the fastest for small arrays, a ring for large
       ones, and a tree between

In the frames rank r begins with 10^r in each of its pieces, so the digits of a piece say which
ranks are in it: 0110 is the sum of ranks 1 and 2, and a 2 anywhere would be a rank counted twice.
Section 3 is over links of 10 microseconds and 12.5 GB/s. Nothing is random. About a second.
`python scripts/2_2_3_parallel_training/ring_all_reduce.py [--plot FILE]` draws the
messages too: time from left to right, an arrow for each. Read next:
tinylm/parallel/communicate/rings.py; parallel_schedules.py, for pipelines.

Measured output (indentation left out):

    1. a ring of 4 ranks, an array of 4 pieces; digits: ranks 3 .. 0
              rank 0                rank 1                rank 2                rank 3
    0 start   0001 0001 0001 0001   0010 0010 0010 0010   0100 0100 0100 0100   1000 1000 1000 1000
    1 sum     0001 0001 0001 1001   0011 0010 0010 0010   0100 0110 0100 0100   1000 1000 1100 1000
    2 sum     0001 0001 1101 1001   0011 0010 0010 1011   0111 0110 0100 0100   1000 1110 1100 1000
    3 sum     0001 1111 1101 1001   0011 0010 1111 1011   0111 0110 0100 1111   1111 1110 1100 1000
    4 spread  1111 1111 1101 1001   0011 1111 1111 1011   0111 0110 1111 1111   1111 1110 1100 1111
    5 spread  1111 1111 1101 1111   1111 1111 1111 1011   0111 1111 1111 1111   1111 1110 1111 1111
    6 spread  1111 1111 1111 1111   1111 1111 1111 1111   1111 1111 1111 1111   1111 1111 1111 1111
    every rank in every piece of every rank, once: True
    2. an array of 240 bytes: steps, and bytes of the busiest rank
    ranks              2          3          4          5          8         16
    naive        2 / 240    2 / 480    2 / 720    2 / 960   2 / 1680   2 / 3600
    tree         2 / 240    2 / 480    4 / 480    4 / 720    6 / 720    8 / 960
    ring         2 / 240    4 / 320    6 / 360    8 / 384   14 / 420   30 / 450
    2 / (n-1) S,  2 floor(log2 n) / ceil(log2 n) S,  2 (n-1) / 2 (n-1)/n S as the formulas say: True
    3. 8 ranks, links of 10 us and 12.5 GB/s: milliseconds, the fastest marked
                     1 KB      100 KB       10 MB        1 GB
    naive        0.02112*      0.132       11.22        1120
    tree         0.06048       0.108*       4.86       480.1
    ring          0.1401       0.154        1.54*      140.1*
    largest relative difference from the formulas: 4e-16

All three show. In three steps the ring has every piece summed on one rank, in three more on all. A
ring's busiest rank sends less than twice the array however many ranks there are, a tree's log2 n
times, and rank 0 of the naive way n - 1 times; steps grow the other way round. So with 8 ranks the
naive way wins at a kilobyte, where latency is all, the tree at 100, and the ring at 10 MB and at a
gigabyte, there 3.4 times as fast as the tree and 8 times as the naive way.
"""

import argparse
import math

import numpy as np

from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.rings import naive_all_reduce, ring_all_reduce, tree_all_reduce
from tinylm.parallel.communicate.simulator import simulate
from tinylm.train.experiments.picture import Picture, add_plot

ROUTES = {"naive": naive_all_reduce, "tree": tree_all_reduce, "ring": ring_all_reduce}
RANKS = 2, 3, 4, 5, 8, 16
NUMBERS = 240  # bytes of an array in section 2: every number of ranks divides it
STEP = Network(Link(1.0, math.inf))  # a message takes a second, however long
LINK = Link(10e-6, 12.5e9)
SIZES = {"1 KB": 1e3, "100 KB": 1e5, "10 MB": 1e7, "1 GB": 1e9}


def formulas(name, n, size):
    """(steps, bytes that the busiest rank sends) of an all-reduce of `size` bytes by n ranks.

    The longest way up a tree is that of the rank with most ones in its number: floor(log2 n) steps.
    """
    return {
        "naive": (2, (n - 1) * size),
        "tree": (2 * math.floor(math.log2(n)), math.ceil(math.log2(n)) * size),
        "ring": (2 * (n - 1), 2 * (n - 1) * size / n),
    }[name]


def seconds(name, n, size, link):
    """Of an all-reduce over links alpha, beta; of a tree if n is a power of two."""
    steps, _ = formulas(name, n, size)
    piece = {"naive": (n - 1) * size, "tree": size, "ring": size / n}[name]
    return steps * (link.latency + piece / link.bandwidth)


def reduced(route, n, nbytes, network):
    """The Simulation of an all-reduce."""
    return simulate(lambda comm: route(comm, np.zeros(nbytes, np.uint8)), n, network=network)


def frames(n=4):
    """What every rank of a ring holds before each step, and at the end."""

    def program(comm):
        array, seen = np.full(n, 10**comm.rank), []
        step = comm.sendrecv

        def watched(*given):
            seen.append(array.copy())
            return step(*given)

        comm.sendrecv = watched
        ring_all_reduce(comm, array)
        return [*seen, array]

    found = simulate(program, n, network=STEP)
    print(f"1. a ring of {n} ranks, an array of {n} pieces; digits: ranks {n - 1} .. 0")
    print(f"   {'':<10}" + "".join(f"{f'rank {r}':<{(n + 1) * n + 2}}" for r in range(n)))
    for step in range(2 * n - 1):
        kind = "start" if step == 0 else "sum" if step < n else "spread"
        held = [" ".join(f"{x:0{n}d}" for x in own[step]) for own in found.results]
        print(f"   {step} {kind:<8}" + "   ".join(held))
    whole = int("1" * n)
    right = all((own[-1] == whole).all() for own in found.results)
    print(f"   every rank in every piece of every rank, once: {right}")


def counts():
    """Steps and bytes as counted, and whether they are those of the formulas."""
    print(f"2. an array of {NUMBERS} bytes: steps, and bytes of the busiest rank")
    print(f"   {'ranks':<9}" + "".join(f"{n:>11}" for n in RANKS))
    right = True
    for name, route in ROUTES.items():
        cells = []
        for n in RANKS:
            run = reduced(route, n, NUMBERS, STEP)
            sent = [sum(m.nbytes for m in run.messages if m.source == r) for r in range(n)]
            found = run.seconds, max(sent)
            right &= found == formulas(name, n, NUMBERS)
            cells.append(f"{found[0]:.0f} / {found[1]}")
        print(f"   {name:<9}" + "".join(f"{cell:>11}" for cell in cells))
    print(
        "   2 / (n-1) S,  2 floor(log2 n) / ceil(log2 n) S,  2 (n-1) / 2 (n-1)/n S as the formulas "
        f"say: {right}"
    )


def times(n=8):
    """Seconds by size of the array, simulated, beside the formula."""
    print(f"3. {n} ranks, links of 10 us and 12.5 GB/s: milliseconds, the fastest marked")
    print(f"   {'':<9}" + "".join(f"{size:>12}" for size in SIZES))
    table, apart = {}, 0.0
    for name, route in ROUTES.items():
        for size in SIZES.values():
            # At most a million bytes, over links as much slower.
            small = int(min(size, 1e6) // n * n)
            link = Link(LINK.latency, LINK.bandwidth * small / size)
            run = reduced(route, n, small, Network(link))
            table[name, size] = run.seconds
            apart = max(apart, abs(run.seconds / seconds(name, n, size, LINK) - 1))
    for name in ROUTES:
        cells = []
        for size in SIZES.values():
            best = min(table[other, size] for other in ROUTES)
            mark = "*" if table[name, size] == best else " "
            cells.append(f"{1e3 * table[name, size]:>11.4g}{mark}")
        print(f"   {name:<9}" + "".join(cells))
    print(f"   largest relative difference from the formulas: {apart:.0e}")


def draw(path, n=8):
    """Save the messages of the three ways as a picture, of the kind that the name ends in."""
    network = Network(Link(0.2, float(NUMBERS)))  # the whole array takes a second
    with Picture(path, rows=len(ROUTES), size=(8, 2.8)) as picture:
        for name, route in ROUTES.items():
            run = reduced(route, n, NUMBERS, network)
            title = f"{name}: {run.seconds:.2f} times as long as sending the array"
            panel = picture.panel(title, "time (1: of sending the array)")
            sent = [(m.left, m.source, m.arrived, m.to) for m in run.messages]
            panel.arrows(sent, [f"rank {r}" for r in range(n)])


def main(argv=None):
    """Print the three sections; draw the messages if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_plot(parser, "the messages")
    options = parser.parse_args(argv)
    frames()
    counts()
    times()
    if options.plot:
        draw(options.plot)


if __name__ == "__main__":
    main()
