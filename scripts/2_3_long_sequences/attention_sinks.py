"""Attention sinks: why a window must keep the first tokens, and where that begins. Book section
2.3.3.1 (Xiao et al. 2024; Guo et al. 2024).

Claims: a trained causal model pays more attention to the first token than an even share; read with
a window of n - 1 tokens that the first one has left, far beyond the trained length, its loss rises;
with one or four of the first kept it stays near that of a model that reads the last n tokens anew
for every part; and full attention, at positions that training never had, fails. A GPT with RoPE (2
layers, width 64) learns windows of n = 8, 16 or 64 characters that begin with a mark, of two kinds
of text. In English text (Python's documentation) a head has something to fetch at nearly every
character. Back copies are bigrams of that text in which e, t and i are followed by a copy of the
character before them: there a head has to be off most of the time, and the mark is where it can
look instead. A head that cannot look there spreads over the window, and adds the mean of what it
sees: of few characters a noise, of 64 nearly a constant. Hence the three lengths: at 64, where this
claim was tried first, trials found a rise of at most 0.001 (4 layers), at 8 one of 0.05 for both
kinds. Sinks are read at positions counted inside the cache (`shift` of StreamingLM), and, for
comparison, at their own.

`python scripts/2_3_long_sequences/attention_sinks.py [--seed N] [--device cpu] [--out FILE]
[--quick] [--plot FILE]`; finished cells are kept in FILE and not computed again. 5 seeds, about 19
minutes on one core; --quick: 2 seeds, few steps. Read next: tinylm/generate/cache/window.py.

Measured output:

    English text, n = 8: nats a token from 2 n to 10 n
        steps                                            500                    3000
        full attention                2.674 (2.582 .. 2.866)  3.331 (3.136 .. 3.512)
        the last n, read anew         1.807 (1.781 .. 1.828)  1.404 (1.399 .. 1.412)
        window of n - 1               1.827 (1.806 .. 1.851)  1.453 (1.445 .. 1.463)
        n - 1 and 1 sink              1.809 (1.779 .. 1.831)  1.396 (1.390 .. 1.403)
        n - 4 and 4 sinks             1.836 (1.807 .. 1.864)  1.438 (1.424 .. 1.447)
        n - 4 and 4, not shifted      2.048 (2.018 .. 2.120)  1.983 (1.922 .. 2.018)
        share of the first               0.08 (0.06 .. 0.10)     0.08 (0.07 .. 0.10)
        largest share of the first       0.20 (0.17 .. 0.27)     0.19 (0.17 .. 0.25)
        even share of the first          0.16 (0.16 .. 0.16)     0.16 (0.16 .. 0.16)
      the first token gets 0.1 of attention more than an even share: -0.0751 [-0.086, -0.0642], 5
        seeds: shows the opposite
      full attention beyond its length costs at least 0.1: +1.93 [+1.74, +2.11], 5 seeds: shows
      a window without its sinks costs at least 0.01, n - 1 and 1 sink: +0.0571 [+0.0491, +0.065], 5
        seeds: shows
      a window with sinks costs at most 0.01, n - 1 and 1 sink: +0.00765 [+0.00289, +0.0124], 5
        seeds: shows
      a window without its sinks costs at least 0.01, n - 4 and 4 sinks: +0.0158 [+0.00437,
        +0.0273], 5 seeds: too small to tell; 0.021 could have been seen
      a window with sinks costs at most 0.01, n - 4 and 4 sinks: -0.0336 [-0.0401, -0.0271], 5
        seeds: shows the opposite
    English text, n = 16: nats a token from 2 n to 10 n
        steps                                            500                    3000
        full attention                2.774 (2.692 .. 2.858)  3.482 (3.348 .. 3.669)
        the last n, read anew         1.732 (1.715 .. 1.741)  1.266 (1.260 .. 1.271)
        window of n - 1               1.741 (1.720 .. 1.750)  1.277 (1.270 .. 1.283)
        n - 1 and 1 sink              1.737 (1.717 .. 1.745)  1.266 (1.261 .. 1.274)
        n - 4 and 4 sinks             1.737 (1.721 .. 1.746)  1.269 (1.265 .. 1.274)
        n - 4 and 4, not shifted      1.873 (1.851 .. 1.893)  1.619 (1.573 .. 1.678)
        share of the first               0.03 (0.03 .. 0.05)     0.03 (0.02 .. 0.04)
        largest share of the first       0.10 (0.07 .. 0.11)     0.09 (0.06 .. 0.11)
        even share of the first          0.08 (0.08 .. 0.08)     0.08 (0.08 .. 0.08)
      the first token gets 0.1 of attention more than an even share: -0.0571 [-0.0704, -0.0439], 5
        seeds: shows the opposite
      full attention beyond its length costs at least 0.1: +2.22 [+2.06, +2.37], 5 seeds: shows
      a window without its sinks costs at least 0.01, n - 1 and 1 sink: +0.0105 [+0.00345, +0.0176],
        5 seeds: too small to tell; 0.017 could have been seen
      a window with sinks costs at most 0.01, n - 1 and 1 sink: -0.000527 [-0.00314, +0.00209], 5
        seeds: shows
      a window without its sinks costs at least 0.01, n - 4 and 4 sinks: +0.00721 [+0.000723,
        +0.0137], 5 seeds: too small to tell; 0.016 could have been seen
      a window with sinks costs at most 0.01, n - 4 and 4 sinks: -0.00386 [-0.00496, -0.00276], 5
        seeds: shows
    English text, n = 64: nats a token from 2 n to 10 n
        steps                                            500                    3000
        full attention                2.836 (2.752 .. 3.000)  3.975 (3.815 .. 4.105)
        the last n, read anew         1.702 (1.690 .. 1.716)  1.253 (1.244 .. 1.264)
        window of n - 1               1.707 (1.693 .. 1.730)  1.255 (1.246 .. 1.264)
        n - 1 and 1 sink              1.707 (1.692 .. 1.731)  1.254 (1.245 .. 1.264)
        n - 4 and 4 sinks             1.706 (1.692 .. 1.728)  1.254 (1.244 .. 1.264)
        n - 4 and 4, not shifted      1.829 (1.791 .. 1.896)  1.723 (1.641 .. 1.827)
        share of the first               0.01 (0.01 .. 0.02)     0.01 (0.00 .. 0.01)
        largest share of the first       0.04 (0.01 .. 0.07)     0.02 (0.01 .. 0.04)
        even share of the first          0.02 (0.02 .. 0.02)     0.02 (0.02 .. 0.02)
      the first token gets 0.1 of attention more than an even share: -0.0144 [-0.0167, -0.0121], 5
        seeds: shows the opposite
      full attention beyond its length costs at least 0.1: +2.72 [+2.58, +2.86], 5 seeds: shows
      a window without its sinks costs at least 0.01, n - 1 and 1 sink: +0.000927 [+0.000371,
        +0.00148], 5 seeds: too small to tell; 0.011 could have been seen
      a window with sinks costs at most 0.01, n - 1 and 1 sink: -0.000444 [-0.00137, +0.000485], 5
        seeds: shows
      a window without its sinks costs at least 0.01, n - 4 and 4 sinks: +0.000943 [+0.000244,
        +0.00164], 5 seeds: too small to tell; 0.011 could have been seen
      a window with sinks costs at most 0.01, n - 4 and 4 sinks: -0.000427 [-0.00152, +0.000662], 5
        seeds: shows
    back copies, n = 8: nats a token from 2 n to 10 n
        steps                                            500                    3000
        full attention                2.789 (2.726 .. 2.844)  2.891 (2.777 .. 2.963)
        the last n, read anew         1.976 (1.970 .. 1.983)  1.933 (1.932 .. 1.933)
        window of n - 1               1.991 (1.979 .. 1.996)  2.053 (2.018 .. 2.149)
        n - 1 and 1 sink              1.976 (1.970 .. 1.983)  1.935 (1.934 .. 1.936)
        n - 4 and 4 sinks             1.976 (1.970 .. 1.984)  1.935 (1.933 .. 1.936)
        n - 4 and 4, not shifted      2.150 (2.142 .. 2.164)  2.173 (2.107 .. 2.208)
        share of the first               0.39 (0.31 .. 0.46)     0.56 (0.47 .. 0.62)
        largest share of the first       0.62 (0.55 .. 0.69)     0.94 (0.88 .. 1.00)
        even share of the first          0.16 (0.16 .. 0.16)     0.16 (0.16 .. 0.16)
      the first token gets 0.1 of attention more than an even share: +0.404 [+0.334, +0.474], 5
        seeds: shows
      full attention beyond its length costs at least 0.1: +0.959 [+0.862, +1.06], 5 seeds: shows
      a window without its sinks costs at least 0.01, n - 1 and 1 sink: +0.118 [+0.0493, +0.186], 5
        seeds: shows
      a window with sinks costs at most 0.01, n - 1 and 1 sink: -0.00235 [-0.00319, -0.00152], 5
        seeds: shows
      a window without its sinks costs at least 0.01, n - 4 and 4 sinks: +0.118 [+0.0497, +0.187], 5
        seeds: shows
      a window with sinks costs at most 0.01, n - 4 and 4 sinks: -0.00189 [-0.00295, -0.000843], 5
        seeds: shows
    back copies, n = 16: nats a token from 2 n to 10 n
        steps                                            500                    3000
        full attention                2.653 (2.598 .. 2.771)  2.893 (2.775 .. 3.091)
        the last n, read anew         1.835 (1.829 .. 1.840)  1.787 (1.787 .. 1.788)
        window of n - 1               1.837 (1.830 .. 1.846)  1.797 (1.795 .. 1.800)
        n - 1 and 1 sink              1.835 (1.829 .. 1.841)  1.787 (1.787 .. 1.788)
        n - 4 and 4 sinks             1.834 (1.829 .. 1.840)  1.787 (1.787 .. 1.788)
        n - 4 and 4, not shifted      1.931 (1.910 .. 1.986)  1.934 (1.916 .. 1.960)
        share of the first               0.26 (0.19 .. 0.38)     0.54 (0.48 .. 0.60)
        largest share of the first       0.50 (0.37 .. 0.69)     0.98 (0.88 .. 1.00)
        even share of the first          0.08 (0.08 .. 0.08)     0.08 (0.08 .. 0.08)
      the first token gets 0.1 of attention more than an even share: +0.455 [+0.387, +0.522], 5
        seeds: shows
      full attention beyond its length costs at least 0.1: +1.11 [+0.957, +1.25], 5 seeds: shows
      a window without its sinks costs at least 0.01, n - 1 and 1 sink: +0.00917 [+0.00699,
        +0.0114], 5 seeds: too small to tell; 0.012 could have been seen
      a window with sinks costs at most 0.01, n - 1 and 1 sink: -0.000109 [-0.000244, +2.66e-05], 5
        seeds: shows
      a window without its sinks costs at least 0.01, n - 4 and 4 sinks: +0.00932 [+0.00718,
        +0.0115], 5 seeds: too small to tell; 0.012 could have been seen
      a window with sinks costs at most 0.01, n - 4 and 4 sinks: +3.76e-05 [-0.000175, +0.000251], 5
        seeds: shows
    back copies, n = 64: nats a token from 2 n to 10 n
        steps                                            500                    3000
        full attention                3.182 (3.089 .. 3.263)  3.541 (3.531 .. 3.573)
        the last n, read anew         2.013 (2.005 .. 2.021)  1.960 (1.959 .. 1.961)
        window of n - 1               2.013 (2.004 .. 2.021)  1.960 (1.959 .. 1.961)
        n - 1 and 1 sink              2.013 (2.004 .. 2.021)  1.960 (1.959 .. 1.961)
        n - 4 and 4 sinks             2.013 (2.004 .. 2.021)  1.960 (1.959 .. 1.961)
        n - 4 and 4, not shifted      2.089 (2.072 .. 2.105)  2.114 (2.067 .. 2.133)
        share of the first               0.04 (0.03 .. 0.05)     0.06 (0.05 .. 0.08)
        largest share of the first       0.10 (0.07 .. 0.13)     0.13 (0.09 .. 0.17)
        even share of the first          0.02 (0.02 .. 0.02)     0.02 (0.02 .. 0.02)
      the first token gets 0.1 of attention more than an even share: +0.0392 [+0.0185, +0.0598], 5
        seeds: too small to tell; 0.12 could have been seen
      full attention beyond its length costs at least 0.1: +1.58 [+1.56, +1.6], 5 seeds: shows
      a window without its sinks costs at least 0.01, n - 1 and 1 sink: -7.98e-07 [-5.82e-05,
        +5.66e-05], 5 seeds: too small to tell; 0.01 could have been seen
      a window with sinks costs at most 0.01, n - 1 and 1 sink: -7.58e-05 [-0.000259, +0.000108], 5
        seeds: shows
      a window without its sinks costs at least 0.01, n - 4 and 4 sinks: -1.41e-05 [-0.000103,
        +7.46e-05], 5 seeds: too small to tell; 0.01 could have been seen
      a window with sinks costs at most 0.01, n - 4 and 4 sinks: -8.91e-05 [-0.000299, +0.000121], 5
        seeds: shows
    5 seeds; 19 minutes of one core

One core of an AMD EPYC. Where a head has nothing to fetch (back copies) it looks at the mark: 0.56
of its attention at n = 8 and 0.54 at n = 16, up to 0.94 and 0.98 in a head, against 0.16 and 0.08
of an even share; after 500 steps it is 0.39 and 0.26. A window that has lost the mark then costs
0.12 nats at n = 8, and with one sink kept nothing is lost; at n = 16 it costs 0.009, just below the
0.01 that was asked for. In English text heads find something to fetch nearly everywhere and pay the
mark less than an even share; without it 0.057 nats are lost at n = 8, 0.011 at 16 (too small to
tell) and none that matter at 64. Four of eight characters given to sinks cost more than they save
(shows the opposite there). Full attention at positions that training never had fails everywhere, by
1 to 2.7 nats, and a window whose sinks keep their old positions is worse than one without sinks:
positions must be counted inside the cache. So the effect is one of short windows and idle heads in
models this small; that large models show it at thousands of tokens is theirs to show.
"""

import argparse
import itertools
from functools import partial

import numpy as np

from tinylm import backend
from tinylm.autograd import no_grad
from tinylm.data import python_documentation, split_text, without_repeats
from tinylm.data.synthetic.markov import MarkovChain, back_copy
from tinylm.finetune import fit
from tinylm.generate import StreamingLM
from tinylm.generate.measure.attention_paid import attention_weights, share_of_first
from tinylm.generate.protocol.score import token_logprobs
from tinylm.machine import keep_freed_memory
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import CharTokenizer
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

TOKENS, LAYERS, HEADS, WIDTH, LR = 1024, 2, 4, 64, 4e-3  # TOKENS: of a batch
LENGTHS = 8, 16, 64  # n, of the windows of training and of reading
STEPS = 500, 3000  # where the training is measured; the last is its end
FAR, READ = 10, 10240  # texts are FAR times as long as a window, and have READ tokens together
TEXT, COPY = "English text", "back copies"
TRIGGERS = "eti"  # after which the character before is copied
FULL, ANEW, NONE = "full attention", "the last n, read anew", "window of n - 1"
ONE, FOUR, OWN = "n - 1 and 1 sink", "n - 4 and 4 sinks", "n - 4 and 4, not shifted"
# name: (characters of the window less than n, sinks, whether positions count inside the cache). The
# mark has the largest distance of training for itself: one more character there would be new too,
# so that without it n - 1 are read.
WINDOWS = {NONE: (1, 0, True), ONE: (1, 1, True), FOUR: (4, 4, True), OWN: (4, 4, False)}
# Losses in nats a token, paired by seed: one model and the same texts.
FAILS = Claim("full attention beyond its length costs at least 0.1", "2.3.3.1", least=0.1)
NEEDED = Claim("a window without its sinks costs at least 0.01", "2.3.3.1", least=0.01)
HOLDS = Claim("a window with sinks costs at most 0.01", "2.3.3.1", larger=False, least=-0.01)
PAID = Claim("the first token gets 0.1 of attention more than an even share", "2.3.3.1", least=0.1)


class Bench:
    """What is learnt, and what is read far beyond the trained length n, each with a mark before it.

    kind  TEXT or COPY;  n  tokens of a window, the mark among them
    """

    def __init__(self, kind, n):
        training, held_out = split_text(without_repeats(python_documentation()))
        tokenizer = CharTokenizer.from_text(training + held_out)
        self.n, self.mark = n, tokenizer.vocab_size  # the id after those of the characters
        ids, held = (np.asarray(tokenizer.encode(text)) for text in (training, held_out))
        count = READ // (FAR * n)
        # (rows, n): windows that overlap, one every 7 characters; (count, FAR n): texts that do not
        self.rows = np.lib.stride_tricks.sliding_window_view(ids, n)[::7]
        step = len(held) // count
        self.texts = np.stack([held[i * step : i * step + FAR * n] for i in range(count)])
        if kind == COPY:
            chain = MarkovChain.of_text(ids, self.mark)
            triggers = [tokenizer.encode(one)[0] for one in TRIGGERS]
            self.rows = back_copy(chain, triggers, len(self.rows), n)
            self.texts = back_copy(chain, triggers, count, FAR * n, seed=1)
        self.rows, self.texts = self.marked(self.rows), self.marked(self.texts)

    def marked(self, rows):
        """Rows with a mark before their first token: (B, n) -> (B, n + 1)."""
        return np.concatenate([np.full_like(rows[:, :1], self.mark), rows], axis=1)


def scored(logits, targets):
    """Mean loss in nats over texts: logits (B, T, V), targets (B, T)."""
    return -float(np.mean([token_logprobs(*pair).mean() for pair in zip(logits, targets)]))


def read_anew(bench, model):
    """Loss of tokens from 2 n on, the last n / 2 of windows of n that are read without a cache."""
    found, half = [], bench.n // 2
    for start in range(2 * bench.n - half, (FAR - 1) * bench.n + 1, half):
        # n - 1 tokens after a mark, as in training, and the targets of the last half of them
        window = bench.marked(bench.texts[:, start + 1 : start + bench.n])
        targets = bench.texts[:, start + half + 1 : start + bench.n + 1]
        found.append(scored(model(window).data[:, half:], targets))
    return float(np.mean(found))


def measured(bench, model):
    """{reading: loss in nats over tokens 2 n .. 10 n}, and the shares of the first token."""
    texts, late, inputs = bench.texts, 2 * bench.n, bench.texts[:, :-1]
    with no_grad():
        # positions run on beyond the trained ones
        logits = model(inputs, positions=np.arange(inputs.shape[1])).data
        found = {FULL: scored(logits[:, late:], texts[:, late + 1 :])}
        found[ANEW] = read_anew(bench, model)
    for name, (fewer, sinks, shift) in WINDOWS.items():
        # one token at a time, the window moving along
        stream = StreamingLM(model, bench.n - fewer, sinks, shift)
        found[name] = scored(stream.logits(inputs)[:, late:], texts[:, late + 1 :])
    share = share_of_first(attention_weights(model, texts[:, : bench.n]))  # (L, H)
    found |= {"share": float(share.mean()), "largest share": float(share.max())}
    # what the queries of the second half would pay to each of the tokens that they see
    found["even share"] = float(np.mean(1 / np.arange(bench.n // 2 + 1, bench.n + 1)))
    return found


def along_training(kind, n, seed, steps):
    """{steps: measured()} of one model, trained to the last of the steps."""
    bench, found, done = Bench(kind, n), {}, itertools.count(1)
    sizes = {"n_layer": LAYERS, "n_head": HEADS, "d_model": WIDTH, "positions": "rope"}
    model = GPT(GPTConfig(bench.mark + 1, n, **sizes), seed)

    def measure(*_):
        if (step := next(done)) in steps:
            found[str(step)] = measured(bench, model.eval())
            model.train()

    options = {"batch_size": TOKENS // n, "learning_rate": LR, "seed": seed}
    fit(model, CausalLM(), bench.rows, steps=steps[-1], after_step=measure, **options)
    return found


def show(title, found):
    """Print a table and its verdicts. found: {step: {name: (seeds,)}}."""
    print(f"{title}: nats a token from 2 n to {FAR} n")
    print(f"    {'steps':<28}" + "".join(f"{step:>24}" for step in found))
    for name in next(iter(found.values())):
        form = ".2f" if "share" in name else ".3f"
        cells = "".join(f"{mean_and_range(each[name], form):>24}" for each in found.values())
        print(f"    {name.replace('share', 'share of the first'):<28}{cells}")
    last = list(found.values())[-1]
    print(f"  {PAID.text}: {PAID.judge(last['share'], last['even share'])}")
    print(f"  {FAILS.text}: {FAILS.judge(last[FULL], last[ANEW])}")
    for name in (ONE, FOUR):
        print(f"  {NEEDED.text}, {name}: {NEEDED.judge(last[NONE], last[name])}")
        print(f"  {HOLDS.text}, {name}: {HOLDS.judge(last[name], last[ANEW])}")


def plot(path, drawn):
    """Save the losses of every reading as a picture. drawn: {title: {step: {name: (seeds,)}}}."""
    with Picture(path, rows=2, columns=len(drawn) // 2, size=(4.6, 3.3)) as picture:
        for title, found in drawn.items():
            steps = list(found)
            panel = picture.panel(title, "steps of training", "nats a token", xticks=steps)
            for name in (ANEW, FULL, *WINDOWS):
                panel.curve(name, steps, np.transpose([found[step][name] for step in steps]))


def main(argv=None):
    """Train every model that is not in the file, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    parser.add_argument("--quick", action="store_true", help="2 seeds, few steps")
    add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    keep_freed_memory()
    cells, steps, lengths, drawn = Cells(options.out), STEPS, LENGTHS, {}
    seeds = range(options.seed, options.seed + 5)
    if options.quick:
        seeds, steps, lengths = seeds[:2], (60,), LENGTHS[:2]
        print(ONLY_RUNS)
    for kind, n in itertools.product((TEXT, COPY), lengths):
        cell = {"kind": kind, "n": n, "steps": steps, "rate": LR, "width": WIDTH, "layers": LAYERS}
        runs = [
            cells(cell | {"seed": seed}, partial(along_training, kind, n, seed, steps))
            for seed in seeds
        ]
        names = runs[0][str(steps[-1])]
        found = {
            step: {name: np.array([run[str(step)][name] for run in runs]) for name in names}
            for step in steps
        }
        show(f"{kind}, n = {n}", found)
        drawn[f"{kind}, n = {n}"] = found
    print(f"{len(seeds)} seeds; {cells.seconds() / 60:.0f} minutes of one core")
    if options.plot:
        plot(options.plot, drawn)


if __name__ == "__main__":
    main()
