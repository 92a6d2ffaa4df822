"""Reading a stream: memories that grow with it and memories that do not, in bytes, work for a
token, and recall.

Claim of the book (section 2.3.3): memories outside the model remember all of a text and cost more
with every token, so for a context that grows, memories of fixed size are the ones that last.
Streams of 64 to 1024 pairs, a random key with one of 16 symbols, go in one by one; at the end every
key is the query once. Bytes are those of the numbers kept (float64), and operations those of
tinylm's counter for the last token, at which the store compares its query with every key (the
sorting is not counted). Two of the fixed memories are recurrent states: linear attention, whose
state is a matrix. About 15 seconds on one core. `python
scripts/2_3_long_sequences/streaming_memory.py [--seed N] [--quick] [--plot FILE]`; --quick is 2
seeds and leaves out the longest stream. Read next: external_memory.py.

Measured output:

    bytes
        tokens read                                 64                 256                1024
        key-value cache                          24576               98304              393216
        nearest-neighbor store                   24576               98304              393216
        window of 64                             24576               24576               24576
        cumulative average                         384                 384                 384
        linear state, elu + 1                     4352                4352                4352
        linear state, identity                    4352                4352                4352
    operations for one more token: taken in, and queried once
        tokens read                                 64                 256                1024
        key-value cache                           6144               24576               98304
        nearest-neighbor store                    4096               16384               65536
        window of 64                              6144                6144                6144
        cumulative average                         240                 240                 240
        linear state, elu + 1                     4081                4081                4081
        linear state, identity                    3825                3825                3825
    share of all pairs found again, by seed mean (least .. most); a guess finds 0.06
        key-value cache            1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00)
        nearest-neighbor store     1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00)
        window of 64               1.00 (1.00 .. 1.00) 0.30 (0.29 .. 0.31) 0.12 (0.12 .. 0.13)
        cumulative average         0.12 (0.09 .. 0.14) 0.10 (0.09 .. 0.11) 0.08 (0.07 .. 0.08)
        linear state, elu + 1      0.12 (0.09 .. 0.14) 0.11 (0.10 .. 0.12) 0.08 (0.07 .. 0.08)
        linear state, identity     0.82 (0.77 .. 0.89) 0.40 (0.37 .. 0.43) 0.19 (0.18 .. 0.20)
    5 seeds, 12 s of one core. Growing: key-value cache, nearest-neighbor store
    growing memories find at least 0.99, at 1024: +0.01 [+0.01, +0.01], 5 seeds: shows
    fixed memories find at least a tenth less than the cache, at 1024: +0.815 [+0.802, +0.827], 5
      seeds: shows

At 1024 tokens the growing memories hold 90 times the bytes of the linear state, and what it finds
is down to 0.19. A fixed memory works for a fixed price per token, and what it holds is bounded: it
has to choose what to forget. Nothing here was trained; a trained model makes better use of its
state, within the same bound.
"""

import argparse
import time

import numpy as np

import tinylm as tl
from tinylm import backend
from tinylm.autograd.engine.profile import count_operations
from tinylm.generate.retrieval.neighbors import knn_search
from tinylm.nn.attention.linear_attention import elu_features, linear_attention_recurrent
from tinylm.nn.memory import fixed_size as m
from tinylm.train.experiments.compare import Claim, mean_and_range, weakest
from tinylm.train.experiments.picture import Picture, add_plot

WIDTH, SYMBOLS, WINDOW = 32, 16, 64
SHARPNESS = 40.0  # of a query of its own key, as in fixed_size_memory.py
LENGTHS = 64, 256, 1024
NUMBER = 8  # bytes, float64
# Share of the pairs found at the longest stream, paired by stream; each claim needs every memory of
# its kind. Growing is by the bytes that are kept.
ALL = Claim("growing memories find at least 0.99", "2.3.3")
LESS = Claim("fixed memories find at least a tenth less than the cache", "2.3.3", False, least=0.1)


class Cached:
    """A memory of nn.memories that attention reads."""

    def __init__(self, memory):
        self.memory, self.state = memory, None

    def add(self, k, v):
        self.state = self.memory.update(k, v, self.state)

    def ask(self, q):
        return tl.attention(q, *self.memory.read(self.state))

    def stored(self):
        return m.stored_numbers(self.state)


class LinearState:
    """Linear attention's matrix: a recurrent state of K (J + 1) numbers."""

    def __init__(self, features):
        self.features, self.state = features, None

    def add(self, k, v):
        k = self.features(k)
        _, self.state = linear_attention_recurrent(k, k, v, self.state)

    def ask(self, q):
        return (self.features(q) @ self.state)[..., :-1]

    def stored(self):
        return self.state.size


class Store:
    """A datastore outside the model: pairs of key and symbol; the answer is that of the nearest."""

    def __init__(self):
        self.keys = []
        self.values = []
        self.compared = 0

    def add(self, k, v):
        # (1, 1, 1, K) -> (K,)
        self.keys.append(k.numpy().reshape(-1))
        self.values.append(v.numpy().reshape(-1))

    def ask(self, q):
        # inner products, since all keys are of unit length
        queries = q.numpy().reshape(-1, WIDTH)
        self.compared += len(queries) * len(self.keys)
        _, index = knn_search(queries, np.stack(self.keys), 1, "ip")
        return tl.Tensor(np.stack(self.values)[index[:, 0]][None, None])

    def stored(self):
        return sum(x.size for x in self.keys + self.values)


MEMORIES = {
    "key-value cache": lambda: Cached(m.full()),
    "nearest-neighbor store": Store,
    f"window of {WINDOW}": lambda: Cached(m.window(WINDOW)),
    "cumulative average": lambda: Cached(m.cumulative_average()),
    "linear state, elu + 1": lambda: LinearState(elu_features),
    "linear state, identity": lambda: LinearState(lambda x: x),
}


def work(memory, k, v, q):
    """Operations to add one more token and to query it; a multiplication and an addition are two."""
    # the search of the store is not made of counted operations: 2 K for each key compared
    before = getattr(memory, "compared", 0)
    with count_operations() as counts:
        memory.add(k, v)
        memory.ask(q)
    return sum(counts.flops.values()) + 2 * WIDTH * (getattr(memory, "compared", 0) - before)


def stream(length, seed):
    """One stream into every memory.

    returns  name -> (bytes, operations for the last token, share of all pairs found at the end)
    """
    rng = np.random.default_rng(seed)
    # the same stream for every memory
    keys = rng.normal(size=(length, WIDTH))
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    symbols, found = rng.integers(0, SYMBOLS, length), {}
    k, v = (tl.Tensor(x[None, None]) for x in (keys, np.eye(SYMBOLS)[symbols]))
    q = k * SHARPNESS
    for name, make in MEMORIES.items():
        memory = make()
        with tl.no_grad():
            for t in range(length - 1):
                memory.add(k[:, :, t : t + 1], v[:, :, t : t + 1])
            last = slice(length - 1, length)
            operations = work(memory, k[:, :, last], v[:, :, last], q[:, :, last])
            # every key once, the oldest first
            answers = np.concatenate(
                [memory.ask(q[:, :, t : t + 1]).numpy()[0, 0] for t in range(length)]
            )
        found[name] = memory.stored() * NUMBER, operations, (answers.argmax(-1) == symbols).mean()
    return found


def plot(path, lengths, runs):
    """Save bytes, operations and recall over the tokens read as a picture."""
    titles = "bytes", "operations for one more token", "share of pairs found again"
    with Picture(path, columns=3, size=(4.6, 3.6)) as picture:
        for column, title in enumerate(titles):
            yscale = "log" if column < 2 else "linear"
            scales = {"xscale": "log", "yscale": yscale, "xticks": lengths}
            panel = picture.panel(title, "tokens read", title.split(" for")[0], **scales)
            for name in MEMORIES:
                values = [[run[name][column] for run in runs[length]] for length in lengths]
                panel.curve(name, lengths, np.transpose(values))


def main(argv=None):
    """Read streams of each length, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument(
        "--device", default="cpu", choices=("cpu",), help="the store searches on the CPU"
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 seeds instead of 5, the longest stream left out"
    )
    add_plot(parser)
    args = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds = range(args.seed, args.seed + 5)
    lengths = LENGTHS
    if args.quick:
        seeds, lengths = seeds[:2], LENGTHS[:-1]
    began = time.process_time()
    runs = {length: [stream(length, seed) for seed in seeds] for length in lengths}
    for column, title in enumerate(
        ("bytes", "operations for one more token: taken in, and queried once")
    ):
        print(f"{title}\n    {'tokens read':<26}" + "".join(f"{length:>20}" for length in lengths))
        for name in MEMORIES:
            print(
                f"    {name:<26}"
                + "".join(f"{runs[length][0][name][column]:>20}" for length in lengths)
            )
    print(
        "share of all pairs found again, by seed mean (least .. most); "
        f"a guess finds {1 / SYMBOLS:.2f}"
    )
    recall = {}
    for name in MEMORIES:
        # (lengths, seeds)
        recall[name] = [[run[name][2] for run in runs[length]] for length in lengths]
        cells = "".join(f"{mean_and_range(row, '.2f'):>20}" for row in recall[name])
        print(f"    {name:<26}{cells}")
    first, last = runs[lengths[0]][0], runs[lengths[-1]][0]
    grow = [name for name in MEMORIES if last[name][0] > first[name][0]]
    fixed = [name for name in MEMORIES if name not in grow]
    print(
        f"{len(seeds)} seeds, {time.process_time() - began:.0f} s of one core. "
        f"Growing: {', '.join(grow)}"
    )
    cache = recall["key-value cache"][-1]
    print(
        f"{ALL.text}, at {lengths[-1]}: {weakest([ALL.judge(recall[n][-1], 0.99) for n in grow])}"
    )
    less = weakest([LESS.judge(recall[name][-1], cache) for name in fixed])
    print(f"{LESS.text}, at {lengths[-1]}: {less}")
    if args.plot:
        plot(args.plot, lengths, runs)


if __name__ == "__main__":
    main()
