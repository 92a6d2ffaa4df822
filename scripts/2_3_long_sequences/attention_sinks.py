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
[--quick]`; finished cells are kept in FILE and not computed again. 5 seeds, about 17 minutes on
one core; --quick: 2 seeds, few steps. Read next: tinylm/generate/cache/window.py.

Measured output: Not measured yet with this design.
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


def main(argv=None):
    """Train every model that is not in the file, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    parser.add_argument("--quick", action="store_true", help="2 seeds, few steps")
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    keep_freed_memory()
    cells, steps, lengths = Cells(options.out), STEPS, LENGTHS
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
    print(f"{len(seeds)} seeds; {cells.seconds() / 60:.0f} minutes of one core")


if __name__ == "__main__":
    main()
