"""Attention sinks: why a window must keep the first tokens, and from when on. Book section 2.3.3.1
(Xiao et al. 2024).

Claims: a trained causal model pays much of its attention to the first token; read with a window of
the last 64 tokens, which the first ones leave, its loss rises by 0.1 nats a token and more, far
beyond the trained length; with one or a few first tokens kept it stays within 0.05 of a model that
reads the last 64 anew for every part; and full attention, at positions that training never had,
fails. A character-level GPT with RoPE (4 layers, width 64, 64 characters) learns Python's
documentation, in two ways: windows that begin anywhere, so that any character may be the first, and
windows that begin with a mark. Each is measured along its training, since sinks take steps to form.
Sinks are read at positions counted inside the cache (`shift` of StreamingLM), and, for comparison,
at their own. `python scripts/2_3_long_sequences/attention_sinks.py [--seed N] [--device cpu]
[--out FILE] [--quick]`; finished cells are kept in FILE and not computed again. 5 seeds, about MIN
minutes on one core; --quick: 2 seeds, few steps. Read next: tinylm/generate/cache/window.py.

Measured output: Not measured yet with this design.
"""

import argparse
import itertools

import numpy as np

from tinylm import backend
from tinylm.autograd import no_grad
from tinylm.data import python_documentation, split_text, without_repeats
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

T, BATCH, LAYERS, HEADS, WIDTH, LR = 64, 16, 4, 4, 64, 4e-3
STEPS = 250, 1000, 4000  # where the training is measured; the last is its end
FAR, TEXTS = 10 * T, 16
ANYWHERE, MARK = "begins anywhere", "begins with a mark"
FULL, ANEW, NONE = "full attention", "the last 64, read anew", "window of 64"
ONE, FOUR, OWN = "63 and 1 sink", "60 and 4 sinks", "60 and 4 sinks, not shifted"
# name: (window, sinks, whether positions count inside the cache)
WINDOWS = {NONE: (64, 0, True), ONE: (63, 1, True), FOUR: (60, 4, True), OWN: (60, 4, False)}
# Losses in nats a token, paired by seed: one model and the same texts.
FAILS = Claim("full attention beyond its length costs at least 0.1", "2.3.3.1", least=0.1)
NEEDED = Claim("a window without its sinks costs at least 0.1", "2.3.3.1", least=0.1)
HOLDS = Claim("a window with sinks costs at most 0.05", "2.3.3.1", larger=False, least=-0.05)
PAID = Claim("the first token gets at least a tenth of the attention", "2.3.3.1", least=0.1)


class Bench:
    """Text to train on and to read far beyond the trained length."""

    def __init__(self):
        training, held_out = split_text(without_repeats(python_documentation()))
        tokenizer = CharTokenizer.from_text(training + held_out)
        self.mark = tokenizer.vocab_size  # the id after those of the characters
        ids, held = (np.asarray(tokenizer.encode(text)) for text in (training, held_out))
        # (n, T + 1): windows that overlap, one every 7 characters
        self.rows = np.lib.stride_tricks.sliding_window_view(ids, T + 1)[::7]
        # (TEXTS, FAR + 1): texts that do not overlap
        step = len(held) // TEXTS
        self.texts = np.stack([held[i * step : i * step + FAR + 1] for i in range(TEXTS)])

    def begun(self, kind, rows):
        """Rows with a mark before their first token, as long as before, for models that know it."""
        if kind == ANYWHERE:
            return rows
        return np.concatenate([np.full_like(rows[:, :1], self.mark), rows[:, :-1]], axis=1)


def scored(logits, targets):
    """Mean loss in nats over texts: logits (B, n, V), targets (B, n)."""
    return -float(np.mean([token_logprobs(*pair).mean() for pair in zip(logits, targets)]))


def read_anew(bench, kind, model, texts):
    """Loss of tokens from 2 T on, the last T / 2 of windows of T that are read without a cache."""
    found = []
    for start in range(2 * T - T // 2, FAR - T + 1, T // 2):
        window = bench.begun(kind, texts[:, start : start + T])
        if kind == MARK:  # the mark takes the first place; what it predicts is not scored
            window[:, 1:] = texts[:, start + 1 : start + T]
        logits = model(window).data[:, T // 2 :]
        found.append(scored(logits, texts[:, start + T // 2 + 1 : start + T + 1]))
    return float(np.mean(found))


def measured(bench, kind, model):
    """{reading: loss in nats over tokens 2 T .. 10 T}, and the share of the first token."""
    texts = bench.begun(kind, bench.texts)
    with no_grad():
        # positions run on beyond the trained ones
        logits = model(texts[:, :-1], positions=np.arange(FAR)).data
        found = {
            FULL: scored(logits[:, 2 * T :], texts[:, 2 * T + 1 :]),
            ANEW: read_anew(bench, kind, model, texts),
        }
    for name, options in WINDOWS.items():
        # one token at a time, the window moving along
        logits = StreamingLM(model, *options).logits(texts[:, :-1])
        found[name] = scored(logits[:, 2 * T :], texts[:, 2 * T + 1 :])
    share = share_of_first(attention_weights(model, texts[:, :T]))  # (L, H)
    found |= {"share": float(share.mean()), "largest share": float(share.max())}
    return found


def along_training(bench, kind, seed, steps):
    """{steps: measured()} of one model, trained to the last of the steps."""
    config = GPTConfig(
        bench.mark + 1, T, n_layer=LAYERS, n_head=HEADS, d_model=WIDTH, positions="rope"
    )
    model, found = GPT(config, seed), {}

    done = itertools.count(1)

    def measure(*_):
        if (step := next(done)) in steps:
            found[str(step)] = measured(bench, kind, model.eval())
            model.train()

    fit(
        model,
        CausalLM(),
        bench.begun(kind, bench.rows),
        steps=steps[-1],
        batch_size=BATCH,
        learning_rate=LR,
        seed=seed,
        after_step=measure,
    )
    return found


def show(kind, found):
    """Print a table and its verdicts. found: {step: {name: (seeds,)}}."""
    print(f"text {kind}: nats a token, tokens {2 * T} .. {FAR}")
    print(f"    {'steps':<28}" + "".join(f"{step:>24}" for step in found))
    for name in next(iter(found.values())):
        if "share" not in name:
            cells = "".join(f"{mean_and_range(each[name]):>24}" for each in found.values())
            print(f"    {name:<28}{cells}")
    for name, title in (("share", "first token's share"), ("largest share", "of the largest head")):
        cells = "".join(f"{mean_and_range(each[name], '.2f'):>24}" for each in found.values())
        print(f"    {title:<28}{cells}")
    for step, each in found.items():
        print(f"  after {step} steps")
        print(f"    {PAID.text}: {PAID.judge(each['share'], 0.0)}")
        print(f"    {FAILS.text}: {FAILS.judge(each[FULL], each[ANEW])}")
        for name in (ONE, FOUR):
            print(f"    {NEEDED.text}, {name}: {NEEDED.judge(each[NONE], each[name])}")
            print(f"    {HOLDS.text}, {name}: {HOLDS.judge(each[name], each[ANEW])}")


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
    cells, steps, bench = Cells(options.out), STEPS, Bench()
    seeds = range(options.seed, options.seed + 5)
    if options.quick:
        seeds, steps = seeds[:2], (60,)
        print(ONLY_RUNS)
    for kind in (ANYWHERE, MARK):
        runs = [
            cells(
                {"text": kind, "seed": seed, "steps": steps, "rate": LR, "width": WIDTH},
                lambda kind=kind, seed=seed: along_training(bench, kind, seed, steps),
            )
            for seed in seeds
        ]
        show(
            kind,
            {
                str(step): {
                    name: np.array([run[str(step)][name] for run in runs])
                    for name in runs[0][str(step)]
                }
                for step in steps
            },
        )
    print(f"{len(seeds)} seeds; {cells.seconds():.0f} s of one core")


if __name__ == "__main__":
    main()
