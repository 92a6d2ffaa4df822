"""Workers that send a part of their gradients, or now and then, or while they compute; book section
2.2.3.

Claims: workers that send the largest hundredth of their gradients, or a sign of each number, learn
nearly what they learn from all numbers if what was left out is added to the next gradient, and much
less if it is lost. Four workers, each with a kind of text of its own (documentation, code, made-up
reviews, made-up pages, 20,000 characters), learn a table of bigrams of 30 characters by 1,000 steps
of gradient descent, at two rates. The best table is known, by counting; the score is how many nats
a character the learned one costs more. Because their texts differ, the workers' gradients do not
become small: their sum does. Averaging the tables every few steps instead is measured beside it.

Two more pictures, exact but for the last draws: a backward pass of 8 seconds and sums of its
gradients over links on which all of them take 6 seconds, in 1 to 64 buckets; and how long 1 to 64
workers wait for the slowest, if each is late by an exponential delay, against the law.
A minute. `python scripts/2_2_3_parallel_training/less_communication.py [--seed N]
[--device cpu] [--plot FILE] [--quick]`; five seeds from N on, with --quick two; --plot saves a
picture (matplotlib). Read next:
tinylm/parallel/data/compression.py, tinylm/parallel/data/buckets.py.

Measured output (CPU, mean over 5 seeds, smallest .. largest; long lines are broken):

    sent, at a rate of 5         bytes a step          nats above the best
    all numbers                         10800    0.0257 (0.0247 .. 0.0265)
    largest hundredth, feedback           324    0.0267 (0.0259 .. 0.0274)
    largest hundredth, lost               324    0.3950 (0.3912 .. 0.4016)
    one bit, feedback                     387    0.0272 (0.0260 .. 0.0281)
    one bit, lost                         387    0.1045 (0.0920 .. 0.1129)
    scaled sign, feedback                 363    0.0286 (0.0262 .. 0.0311)
    scaled sign, lost                     363    0.0911 (0.0824 .. 0.1047)
    averaged every 4 steps               2700    0.0264 (0.0250 .. 0.0276)
    averaged every 16 steps               680    0.0299 (0.0274 .. 0.0325)
    largest hundredth:
      with feedback it costs at most 0.01 more: -0.00101 [-0.00109, -0.000937], 5 seeds: shows
      without feedback it costs at least 0.05 more: +0.368 [+0.363, +0.374], 5 seeds: shows
    one bit:
      with feedback it costs at most 0.01 more: -0.00155 [-0.0019, -0.0012], 5 seeds: shows
      without feedback it costs at least 0.05 more: +0.0772 [+0.0657, +0.0887], 5 seeds: shows
    scaled sign:
      with feedback it costs at most 0.01 more: -0.0029 [-0.00468, -0.00112], 5 seeds: shows
      without feedback it costs at least 0.05 more: +0.0625 [+0.0536, +0.0714], 5 seeds: shows

    sent, at a rate of 20        bytes a step          nats above the best
    all numbers                         10800    0.0066 (0.0063 .. 0.0068)
    largest hundredth, feedback           324    0.0220 (0.0198 .. 0.0260)
    largest hundredth, lost               324    0.3697 (0.3460 .. 0.3937)
    one bit, feedback                     387    0.0334 (0.0260 .. 0.0413)
    one bit, lost                         387    0.1497 (0.1163 .. 0.1765)
    scaled sign, feedback                 363    0.0470 (0.0297 .. 0.0634)
    scaled sign, lost                     363    0.1000 (0.0860 .. 0.1193)
    averaged every 4 steps               2700    0.0166 (0.0123 .. 0.0213)
    averaged every 16 steps               680    0.0265 (0.0189 .. 0.0345)
    largest hundredth:
      with feedback it costs at most 0.01 more:
        -0.0154 [-0.0186, -0.0122], 5 seeds: shows the opposite
      without feedback it costs at least 0.05 more: +0.348 [+0.327, +0.369], 5 seeds: shows
    one bit:
      with feedback it costs at most 0.01 more:
        -0.0268 [-0.035, -0.0186], 5 seeds: shows the opposite
      without feedback it costs at least 0.05 more: +0.116 [+0.0893, +0.143], 5 seeds: shows
    scaled sign:
      with feedback it costs at most 0.01 more:
        -0.0405 [-0.0596, -0.0214], 5 seeds: shows the opposite
      without feedback it costs at least 0.05 more:
        +0.053 [+0.0394, +0.0666], 5 seeds: too small to tell; 0.064 could have been seen

    backward 8 s, sums 6 s and 0.05 s for each bucket; by buckets, seconds until all is done
           1       2       4       8      16      32      64
       14.05   11.05    9.55    8.80    8.43    8.24    9.32
    the formula's best number is 40

    each worker takes 5 s and a delay of 1 s in the mean; seconds of a step, and the law
    workers        1       4      16      64
    played      6.13    7.15    8.37    9.75
    5 + H_n     6.00    7.08    8.38    9.74

A thirtieth of the bytes learns what all of them do, if nothing is forgotten and the rate is small.
What is late limits the rate: at four times of it, which all numbers bear and gain by, feedback
costs 0.02 to 0.04 nats, so the first claim holds at one rate and not at the other. The largest
numbers of each worker's gradient are those in which its text differs from the others', so without
feedback the workers send each other the same contradictions for ever. Sums in 32 buckets hide
nearly all of their 6 seconds; 64 pay more latency than they hide.
"""

import argparse
import inspect
from collections import Counter

import numpy as np

from tinylm.autograd import Tensor, linear
from tinylm.data.read.text import python_documentation, without_repeats
from tinylm.data.synthetic.junk import good_page
from tinylm.data.synthetic.reviews import made_up_reviews
from tinylm.optim.flat import FlatParameters
from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data.buckets import BucketedSum, best_buckets
from tinylm.parallel.data.compression import CompressedSum, OneBit, ScaledSign, TopK
from tinylm.parallel.data.local import local_descent
from tinylm.parallel.plan.efficiency import straggler_seconds
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

LETTERS, READ, STEPS, RATES = 30, 20_000, 1000, (5.0, 20.0)
SHARE = 0.01  # of the numbers, for top k
CODES = {
    "largest hundredth": lambda n: TopK(n, SHARE, np.float64),
    "one bit": lambda n: OneBit(n, np.float64),
    "scaled sign": lambda n: ScaledSign(n, np.float64),
}
PERIODS = (4, 16)
# Nats a character, paired by seed: 0.01 is a two-hundredth of what the best table costs.
NEAR = Claim("with feedback it costs at most 0.01 more", "2.2.3", larger=False, least=-0.01)
FAR = Claim("without feedback it costs at least 0.05 more", "2.2.3", larger=True, least=0.05)


def counts(seed):
    """How often each letter follows each other one in the text of each worker: (4, 30, 30)."""
    rng = np.random.default_rng(seed)
    whole = [
        without_repeats(python_documentation()),
        "".join(inspect.getsource(module) for module in (argparse, inspect)),
        " ".join(text for text, _ in made_up_reviews(2000, seed)),
        "\n\n".join(good_page(rng) for _ in range(120)),
    ]
    texts = []
    for text in whole:
        start = int(rng.integers(0, max(1, len(text) - READ)))
        texts.append(text[start : start + READ].lower())
    common = [letter for letter, _ in Counter("".join(texts)).most_common(LETTERS - 1)]
    number = {letter: k for k, letter in enumerate(common)}
    found = np.zeros((len(texts), LETTERS, LETTERS))
    for k, text in enumerate(texts):
        ids = np.array([number.get(letter, LETTERS - 1) for letter in text])
        np.add.at(found[k], (ids[:-1], ids[1:]), 1)
    return found


def probabilities(table):
    """Each row's softmax."""
    powers = np.exp(table - table.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def excess(table, pairs):
    """Nats a character that a table costs more than the best one, which counts."""
    best = pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1)
    ratio = np.where(pairs > 0, best, 1) / np.where(pairs > 0, probabilities(table), 1)
    return np.sum(pairs * np.log(ratio)) / pairs.sum()


def learned(comm, pairs, rate, code, feedback, period):
    """(table, bytes that a worker sends in a step) of a worker after all steps.

    pairs   counts of all workers;  rate  of learning;  code  of CODES, or None
    period  steps between averages of tables; 0: gradients are summed
    """
    total, mine = pairs.sum(), pairs[comm.rank]
    table = np.zeros(LETTERS * LETTERS)

    def gradient(table, step=0):
        # dL/dz = softmax(z) - p of each row, weighed by how often the row is read
        own = probabilities(table.reshape(LETTERS, LETTERS))
        return ((mine.sum(axis=1, keepdims=True) * own - mine) / total).ravel()

    if period:  # the mean over workers of steps by n times their share of the sum
        local_descent(
            comm, lambda table, _: comm.size * gradient(table), table, rate, STEPS, period
        )
    else:
        add = comm.all_reduce
        if code is not None:
            add = CompressedSum(comm, CODES[code](table.size), feedback).sum
        for _ in range(STEPS):
            table -= rate * add(gradient(table))
    return table.reshape(LETTERS, LETTERS), sum(comm.bytes_sent.values()) / STEPS


def compare(seeds, rate):
    """The table of what each way costs, and the verdicts. Returns {way: nats of the seeds}."""
    ways = {"all numbers": (None, True, 0)}
    for code in CODES:
        ways[f"{code}, feedback"] = code, True, 0
        ways[f"{code}, lost"] = code, False, 0
    ways |= {f"averaged every {period} steps": (None, True, period) for period in PERIODS}
    found, sent = {way: [] for way in ways}, {}
    for seed in seeds:
        pairs = counts(seed)
        for way, how in ways.items():
            table, sent[way] = simulate(learned, len(pairs), pairs, rate, *how).results[0]
            found[way].append(excess(table, pairs.sum(axis=0)))
    print(f"{f'sent, at a rate of {rate:g}':<28} {'bytes a step':>12} {'nats above the best':>28}")
    for way, scores in found.items():
        print(f"{way:<28} {sent[way]:>12.0f} {mean_and_range(scores, '.4f'):>28}")
    for code in CODES:
        near = NEAR.judge(found[f"{code}, feedback"], found["all numbers"])
        far = FAR.judge(found[f"{code}, lost"], found[f"{code}, feedback"])
        print(f"{code}:")
        print(f"  {NEAR.text}: {near}")
        print(f"  {FAR.text}: {far}")
    print()
    return found


def overlapped(comm, layers, work, nbytes):
    """Virtual seconds of a backward pass through equal layers, its gradients summed in buckets."""
    weights = [Tensor(np.eye(4), requires_grad=True) for _ in range(layers)]

    class Working(BucketedSum):
        def ready(self, parameter):
            comm.elapse(work / layers)
            super().ready(parameter)

    x = Tensor(np.ones((1, 4)))
    sums = Working(FlatParameters(weights), comm, nbytes)
    for weight in weights:
        x = linear(x, weight)
    sums.backward(x.sum())
    return comm.clock


def overlap():
    """Seconds of a backward pass and its sums, by the number of buckets: (numbers, seconds)."""
    layers, work, sending, latency = 64, 8.0, 6.0, 0.05
    size = layers * 4 * 4 * 8
    # Two ranks: an all-reduce is two steps of half the bytes.
    network = Network(Link(latency / 2, size / sending))
    print(
        "\nbackward 8 s, sums 6 s and 0.05 s for each bucket; by buckets, seconds until all is done"
    )
    numbers = (1, 2, 4, 8, 16, 32, 64)
    times = [
        simulate(overlapped, 2, layers, work, size // n, network=network).seconds for n in numbers
    ]
    print("".join(f"{n:>8}" for n in numbers))
    print("".join(f"{t:>8.2f}" for t in times))
    print(f"the formula's best number is {best_buckets(work, sending, latency):.0f}")
    return numbers, times


def waited(comm, steps, least, mean, seed):
    rng = np.random.default_rng([seed, comm.rank])
    for _ in range(steps):
        comm.elapse(least + rng.exponential(mean))
        comm.barrier()
    return comm.clock / steps


def stragglers(seed):
    """Seconds of a step of workers that are each late by an exponential delay: (workers, played,
    by the law).
    """
    print("\neach worker takes 5 s and a delay of 1 s in the mean; seconds of a step, and the law")
    numbers = (1, 4, 16, 64)
    steps = [simulate(waited, n, 400, 5.0, 1.0, seed).results[0] for n in numbers]
    print("workers " + "".join(f"{n:>8}" for n in numbers))
    print("played  " + "".join(f"{seconds:>8.2f}" for seconds in steps))
    law = [straggler_seconds(n, 5.0, 1.0) for n in numbers]
    print("5 + H_n " + "".join(f"{seconds:>8.2f}" for seconds in law))
    return numbers, steps, law


def plot(path, costs, buckets, late):
    """What each way of sending costs at each rate, and the two times."""
    with Picture(path, rows=2, columns=2, size=(5.2, 3.2)) as picture:
        for rate, found in costs.items():
            panel = picture.panel(f"at a rate of {rate:g}", "nats a character above the best")
            panel.bars(found, ".3f")
        numbers, times = buckets
        seconds = "seconds until all is summed"
        panel = picture.panel(
            "sums beside the backward pass", "buckets", seconds, xscale="log", xticks=numbers
        )
        panel.curve("", numbers, times, linestyle="-")
        numbers, played, law = late
        panel = picture.panel(
            "waiting for the slowest", "workers", "seconds of a step", xscale="log", xticks=numbers
        )
        panel.curve("played", numbers, played, linestyle="")
        panel.curve("5 + H_n", numbers, law, marker="")


def main(argv=None):
    """Print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + 5)
    if options.quick:
        seeds = seeds[:2]
        print(ONLY_RUNS)
    costs = {rate: compare(seeds, rate) for rate in RATES}
    buckets, late = overlap(), stragglers(options.seed)
    if options.plot:
        plot(options.plot, costs, buckets, late)


if __name__ == "__main__":
    main()
