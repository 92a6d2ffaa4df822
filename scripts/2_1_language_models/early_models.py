"""Four generations of language models on the same text: counts, a feed-forward network, recurrent
networks, a transformer.

Book section 2.1 has the history from n-grams over Bengio's network to recurrent networks and
transformers. Shown: bits per character on held-out text, and where the curves cross. A fair trial
of so old a question needs time and equal care, so every kind of network has about 80,000 parameters
and no dropout, reads the same batches, and gets the same search: the same four learning rates, each
tried once for 1,500 steps with a seed that is not used again, the best by a part of the text that
is neither learnt from nor scored. The order of the counts is chosen by the same part. Then each is
trained for 500, 1,500 and 5,000 steps, each a run of its own with a learning rate that falls to 0,
from 5 seeds (weights and order of the batches): a curve of finished runs. After equal steps all
have read the same; the transformer needs more time for a step here, so the curves are also compared
after equal seconds (of one core and of this library), between two runs of the ladder on a straight
line over the logarithm of the seconds. A pair of kinds is judged by 5 differences: with a spread
over seeds of 0.01 to 0.02, a gap of 0.02 to 0.04 bits would show. Earlier figures were those of 300
steps without search, where the LSTM was 0.38 bits ahead of the transformer: the ladder says for how
long that lasts.

About 20 minutes on one core. `python scripts/2_1_language_models/early_models.py [--seed N]
[--device cpu|gpu] [--quick] [--out FILE] [--plot FILE]`: cells that stand in FILE are not computed
again.

Measured output:

    308034 characters of 93 kinds to learn from, 34227 to choose by, 38029 held out; 1024 are read
      in a step
    bits per character of the part to choose by, after 1500 steps, by learning rate
                            0.004    0.008    0.016    0.032
    NPLM, 8 characters      2.144    2.085    2.076    2.112
    GRU                     1.926    1.909    1.950    2.086
    LSTM                    1.939    1.903    1.897    1.952
    transformer             2.005    1.956    1.959    2.014
    bits per character of held-out text, mean over 5 seeds, by steps; at the last: +- standard
      deviation, of text learnt from, seconds
                         numbers    rate     500    1500    5000      +-  learnt  seconds
    9-gram                614715                                   1.872
    NPLM, 8 characters     77405   0.016   2.374   2.247   2.252   0.010   1.554       19
    GRU                    80892   0.008   2.209   2.079   2.040   0.019   1.569       37
    LSTM                   83424   0.016   2.206   2.067   2.022   0.006   1.571       41
    transformer            80752   0.008   2.488   2.117   1.989   0.022   1.565       45
    transformer costs fewer bits per character than GRU, 500 steps: -0.279 [-0.311, -0.246], 5
      seeds: shows the opposite
    transformer costs fewer bits per character than GRU, 1500 steps: -0.0388 [-0.0626, -0.015], 5
      seeds: shows the opposite
    transformer costs fewer bits per character than GRU, 5000 steps: +0.0505 [+0.00563, +0.0954], 5
      seeds: shows
    transformer, GRU: the gap is smaller after the most steps than after the fewest: +0.329 [+0.287,
      +0.371], 5 seeds: shows
    the curve of transformer passes below that of GRU at 2531 steps
    transformer costs fewer bits per character than GRU, 37 seconds each: +0.028 [-0.0155, +0.0714],
      5 seeds: too small to tell; 0.043 could have been seen
    transformer costs fewer bits per character than LSTM, 500 steps: -0.282 [-0.308, -0.255], 5
      seeds: shows the opposite
    transformer costs fewer bits per character than LSTM, 1500 steps: -0.0506 [-0.0884, -0.0129], 5
      seeds: shows the opposite
    transformer costs fewer bits per character than LSTM, 5000 steps: +0.0332 [+0.00554, +0.0608], 5
      seeds: shows
    transformer, LSTM: the gap is smaller after the most steps than after the fewest: +0.315
      [+0.278, +0.351], 5 seeds: shows
    the curve of transformer passes below that of LSTM at 3105 steps
    transformer costs fewer bits per character than LSTM, 41 seconds each: +0.0216 [-0.00742,
      +0.0506], 5 seeds: too small to tell; 0.029 could have been seen
    LSTM costs fewer bits per character than NPLM, 8 characters: +0.23 [+0.215, +0.245], 5 seeds:
      shows
    NPLM, 8 characters costs fewer bits per character than counting: -0.381 [-0.393, -0.369], 5
      seeds: shows the opposite
    GRU costs fewer bits per character than counting: -0.168 [-0.192, -0.145], 5 seeds: shows the
      opposite
    LSTM costs fewer bits per character than counting: -0.151 [-0.158, -0.143], 5 seeds: shows the
      opposite
    transformer costs fewer bits per character than counting: -0.118 [-0.145, -0.0897], 5 seeds:
      shows the opposite

One core of an AMD EPYC, 20 minutes. With time enough the order of history shows among networks:
window, recurrent, transformer. After 500 steps the transformer is 0.28 bits behind the recurrent
networks, after 1,500 it is 0.04 to 0.05 behind, after 5,000 ahead by 0.03 to 0.05; its curve passes
that of the GRU at about 2,500 steps and that of the LSTM at about 3,100. After equal seconds its
lead, 0.02 to 0.03, is too small to tell. Counts beat them all: 9-grams with 614,715 numbers know
the set phrases of this text by heart, and the networks, with 80,000 numbers and no dropout, have
begun to do so too (1.57 bits of text learnt from against 2.0 of held-out text). A GPT with dropout
and weight decay beats them: scripts/2_2_training_at_scale/learning_per_second.py.
"""

import argparse
import time

import numpy as np

import tinylm as tl
from tinylm import backend
from tinylm.backend import to_cpu, to_device
from tinylm.data import frequent_characters, python_documentation, split_text, without_repeats
from tinylm.models import GPT, GPTConfig
from tinylm.models.early.ngram import NGramLM
from tinylm.models.early.nplm import FeedForwardNGramLM
from tinylm.models.early.recurrent import RecurrentConfig, RecurrentLM
from tinylm.optim import AdamW, clip_grad_norm
from tinylm.optim.schedule import cosine
from tinylm.pretrain import CausalLM
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim
from tinylm.train.experiments.picture import Picture, add_plot

BATCH, T = 16, 64
LADDER = 500, 1_500, 5_000  # steps; runs of their own
SEEDS = 5
RATES, TUNING_STEPS, TUNING_SEED = (4e-3, 8e-3, 16e-3, 32e-3), 1_500, 1_001
ORDERS = range(3, 10)  # of the counts
# Bits per character, fewer are better. Networks of one seed read the same batches, so they are
# paired; counting has no seed and is a known number.
BETTER = Claim("costs fewer bits per character", "2.1", larger=False)
CLOSES = Claim("the gap is smaller after the most steps than after the fewest", "2.1", larger=False)
NPLM, LSTM, GRU, TRANSFORMER = "NPLM, 8 characters", "LSTM", "GRU", "transformer"
# (V, seed) -> a network; sizes at which all have about 80,000 parameters
NETWORKS = {
    NPLM: lambda V, seed: FeedForwardNGramLM(9, V, 24, 200, seed=seed),
    GRU: lambda V, seed: RecurrentLM(RecurrentConfig(V, 108, 1, "gru"), seed),
    LSTM: lambda V, seed: RecurrentLM(RecurrentConfig(V, 96, 1, "lstm"), seed),
    TRANSFORMER: lambda V, seed: GPT(
        GPTConfig(V, T, 2, 4, 56, norm="rms", positions="rope", bias=False), seed
    ),
}


def characters():
    """(ids to learn from, to choose by, held out, V) of Python's documentation."""
    ids, kept = frequent_characters(without_repeats(python_documentation()))
    rest, test = split_text(ids, 0.1)
    text, choice = split_text(rest, 0.1)
    return text, choice, test, len(kept) + 1


def bits_of_network(model, part, device):
    """Bits per character of a text, in windows of T characters after their first."""
    n = (len(part) - 1) // T
    # (n, T) each: y is x one character later
    x = part[: n * T].reshape(n, T)
    y = part[1 : n * T + 1].reshape(n, T)
    total = 0.0
    with tl.no_grad():
        for i in range(0, n, 64):
            logits = model(to_device(x[i : i + 64], device))
            target = to_device(y[i : i + 64], device)
            total += tl.cross_entropy(logits, target, reduction="sum").item()
    return float(to_cpu(np.asarray(total))) / (n * T) / np.log(2)  # nats to bits


def train(make, rate, text, V, steps, seed, device):
    """A network trained on `steps` random batches, from one seed."""
    model = make(V, seed).to(device)
    rng = tl.Random(seed, "batches")
    objective = CausalLM()
    optimizer = AdamW(model.named_parameters(), lr=rate, weight_decay=0.01)
    for step in range(steps):
        # (B,) and then (B, T + 1): windows anywhere in the text
        starts = rng.integers(0, len(text) - T, (BATCH,))
        batch = objective.make_batch(text[starts[:, None] + np.arange(T + 1)])
        optimizer.zero_grad()
        with tl.first_order_only():
            loss = tl.cross_entropy(
                model(to_device(batch.inputs, device)), to_device(batch.targets, device)
            )
            loss.backward()
        clip_grad_norm(optimizer.flat, 1.0)
        optimizer.step(rate * cosine(step, steps, warmup=min(50, steps // 5)))
    return model


class Ladder:
    """Finished runs of every kind of network, at every number of steps and from every seed.

    parts    (to learn from, to choose by, held out, V)
    cells    where results are kept;  device  of the training
    """

    def __init__(self, parts, cells, device):
        *self.parts, self.V = parts
        self.cells, self.device = cells, device

    def run(self, name, rate, steps, seed):
        """Train and measure once: {"choice", "held_out", "learnt"} bits, "seconds", "numbers"."""
        cell = {"model": name, "rate": rate, "steps": steps, "seed": seed}
        cell |= {"batch": BATCH, "length": T, "characters": [len(part) for part in self.parts]}

        def measured():
            text, choice, test = self.parts
            began = time.process_time()
            model = train(NETWORKS[name], rate, text, self.V, steps, seed, self.device)
            found = {"seconds": round(time.process_time() - began, 2)}
            for key, part in (
                ("choice", choice),
                ("held_out", test),
                ("learnt", text[: len(test)]),
            ):
                found[key] = bits_of_network(model, part, self.device)
            return found | {"numbers": model.count_parameters()}

        return self.cells(cell, measured)

    def tuned(self, rates, steps):
        """The best learning rate of every kind: {name: rate}. Prints the bits of all."""
        print(
            f"bits per character of the part to choose by, after {steps} steps, by learning rate\n"
            f"{'':<20}" + "".join(f"{rate:>9g}" for rate in rates)
        )
        best = {}
        for name in NETWORKS:
            bits = [self.run(name, rate, steps, TUNING_SEED)["choice"] for rate in rates]
            best[name] = rates[int(np.argmin(bits))]
            note = ""
            if best[name] in (rates[0], rates[-1]):
                note = "   the best is at the edge"
            print(f"{name:<20}" + "".join(f"{b:>9.3f}" for b in bits) + note, flush=True)
        return best


def counted(text, choice, test, V):
    """(order chosen, bits of the held-out text, numbers) of counts with Kneser and Ney's smoothing,
    the best in shannon_entropy.py.
    """
    tables = {order: NGramLM(order, V, "kneser_ney").fit(text) for order in ORDERS}
    order = min(tables, key=lambda order: -tables[order].logprob(choice).mean())
    lm = tables[order]
    return order, -lm.logprob(test).mean() / np.log(2), lm.count_parameters()


def at_seconds(seconds, bits, wanted):
    """Bits after `wanted` seconds, on straight lines between runs over the logarithm of seconds.

    seconds, bits  (seeds, rungs);  returns (seeds,)
    """
    return np.array([np.interp(np.log(wanted), np.log(s), b) for s, b in zip(seconds, bits)])


def crossing(steps, a, b):
    """The steps at which curve a comes to lie below curve b, on straight lines over the logarithm;
    None if it lies below from the first, or is not below at the last.

    steps, a, b  (rungs,)
    """
    gap = np.asarray(a) - np.asarray(b)
    for i in range(len(gap) - 1):
        if gap[i] > 0 >= gap[i + 1 :].max():
            share = gap[i] / (gap[i] - gap[i + 1])
            near, far = np.log(steps[i : i + 2])
            return float(np.exp(near + share * (far - near)))
    return None


def verdicts(found, ladder, counts):
    """Print what the curves show.

    found   name -> (bits (seeds, rungs), seconds (seeds, rungs));  counts  bits of counting
    """
    last = {name: bits[:, -1] for name, (bits, _) in found.items()}
    for older in (GRU, LSTM):
        bits, seconds = found[TRANSFORMER]
        other, others = found[older]
        for i, steps in enumerate(ladder):
            verdict = BETTER.judge(bits[:, i], other[:, i])
            print(f"{TRANSFORMER} {BETTER.text} than {older}, {steps} steps: {verdict}")
        gap = bits - other
        print(f"{TRANSFORMER}, {older}: {CLOSES.text}: {CLOSES.judge(gap[:, -1], gap[:, 0])}")
        place = crossing(ladder, bits.mean(0), other.mean(0))
        if place is None:
            print(f"the curves of {TRANSFORMER} and {older} do not cross between these steps")
        else:
            print(f"the curve of {TRANSFORMER} passes below that of {older} at {place:.0f} steps")
        # as long as the quicker of the two needs for all steps
        wanted = min(seconds[:, -1].mean(), others[:, -1].mean())
        verdict = BETTER.judge(at_seconds(seconds, bits, wanted), at_seconds(others, other, wanted))
        print(f"{TRANSFORMER} {BETTER.text} than {older}, {wanted:.0f} seconds each: {verdict}")
    print(f"{LSTM} {BETTER.text} than {NPLM}: {BETTER.judge(last[LSTM], last[NPLM])}")
    # Every network against counting: to choose the best one after the run would favor networks.
    for name in found:
        print(f"{name} {BETTER.text} than counting: {BETTER.judge(last[name], counts)}")


def plot(path, curves, ladder, counts):
    """Save bits over steps and over seconds as a picture. curves, counts: as in verdicts()."""
    with Picture(path, columns=2, size=(5, 3.8)) as picture:
        y = "bits per character of held-out text"
        panel = picture.panel("by steps", "steps", y, xscale="log", xticks=ladder)
        for name, (bits, _) in curves.items():
            panel.curve(name, ladder, bits)
        panel.level("counting", counts)
        panel = picture.panel("by time", "seconds of one core", y, xscale="log")
        for name, (bits, seconds) in curves.items():
            panel.curve(name, seconds.mean(0), bits)
        panel.level("counting", counts)


def main(argv=None):
    """Search, train and measure, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps")
    parser.add_argument("--out", metavar="FILE", help="keep finished runs there, and go on")
    add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)  # so that seconds are those of one core
    parts = characters()
    ladder, rates, tuning_steps, seeds = LADDER, RATES, TUNING_STEPS, SEEDS
    if options.quick:
        ladder, rates, tuning_steps, seeds = (20, 60), RATES[1:3], 20, 2
        parts = (parts[0], *(part[:4_000] for part in parts[1:3]), parts[3])
        print(ONLY_RUNS)
    text, choice, test, V = parts
    print(
        f"{len(text)} characters of {V} kinds to learn from, {len(choice)} to choose by, "
        f"{len(test)} held out; {BATCH * T} are read in a step"
    )
    order, counts, numbers = counted(text, choice, test, V)
    runs = Ladder(parts, Cells(options.out), options.device)
    best = runs.tuned(rates, tuning_steps)
    print(
        f"bits per character of held-out text, mean over {seeds} seeds, by steps; "
        "at the last: +- standard deviation, of text learnt from, seconds\n"
        f"{'':<20}{'numbers':>8}{'rate':>8}"
        + "".join(f"{steps:>8}" for steps in ladder)
        + f"{'+-':>8}{'learnt':>8}{'seconds':>9}"
    )
    print(f"{f'{order}-gram':<20}{numbers:>8}" + " " * 8 * len(ladder) + f"{counts:>16.3f}")
    found = {name: [] for name in NETWORKS}
    # seeds outside, so that a run that was stopped has whole seeds
    for seed in range(options.seed, options.seed + seeds):
        for name in NETWORKS:
            found[name].append([runs.run(name, best[name], steps, seed) for steps in ladder])
    curves = {}
    for name, grid in found.items():
        # (seeds, rungs) each
        bits, seconds, learnt = (
            np.array([[run[key] for run in row] for row in grid])
            for key in ("held_out", "seconds", "learnt")
        )
        curves[name] = bits, seconds
        print(
            f"{name:<20}{grid[0][0]['numbers']:>8}{best[name]:>8g}"
            + "".join(f"{b:>8.3f}" for b in bits.mean(0))
            + f"{bits[:, -1].std(ddof=1):>8.3f}{learnt[:, -1].mean():>8.3f}"
            f"{seconds[:, -1].mean():>9.0f}"
        )
    verdicts(curves, ladder, counts)
    if options.plot:
        plot(options.plot, curves, ladder, counts)


if __name__ == "__main__":
    main()
