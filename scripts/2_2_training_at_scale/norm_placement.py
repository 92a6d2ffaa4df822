"""Where a deep transformer puts its norms decides whether it trains: pre-norm, post-norm, and the
norm on the branch.

Book section 2.2.2.1: post-norm transformers become unstable with depth, most large models are
pre-norm. Two measurements. First, at the start, the norm of dL/dx for the stream x into the first
block over that for the stream into the last (what depth does to a gradient), for two
initializations: everything of unit size (embeddings 1, weights 1/sqrt(d_in)), and GPT-2's (0.02,
residual maps smaller by sqrt(2 L)). Second, from unit size, 40 steps of AdamW without warm-up on
text of a Markov chain at rising learning rates: the loss in the end, and how many runs diverged
(ended above log V, or not finite). About 40 seconds on two cores. `python
scripts/2_2_training_at_scale/norm_placement.py [--seed N] [--device cpu|gpu] [--quick] [--plot
FILE]`; --quick is two seeds and small depths. Read next: rank_collapse.py.

Measured output (mean over 5 seeds, with the least and the most):

    gradient into the first block / into the last, at the start, everything of unit size
    blocks                              2                            8                           32
    pre                  1.3 (1.2 .. 1.4)             2.6 (2.1 .. 3.2)             5.7 (4.2 .. 6.6)
    post                 0.94 (0.83 .. 1)            1.1 (0.42 .. 2.4)           0.86 (0.14 .. 1.9)
    branch               1.9 (1.7 .. 2.3)               13 (6.1 .. 18) 6.9e+02 (1.1e+02 .. 1.8e+03)
    none                0.8 (0.46 .. 1.1)           0.91 (0.56 .. 1.4)             1 (0.021 .. 1.8)
    gradient into the first block / into the last, at the start, GPT-2's initialization
    blocks                              2                            8                           32
    pre                        1 (1 .. 1)                1 (0.99 .. 1)                 1 (1 .. 1.1)
    post                    39 (36 .. 42)                39 (36 .. 41)                39 (35 .. 42)
    branch               1.7 (1.6 .. 1.8)             2.7 (2.2 .. 3.9)               3.5 (3 .. 4.1)
    none            0.092 (0.054 .. 0.12) 4.5e-06 (1.9e-06 .. 8.3e-06)                   0 (0 .. 0)

    loss after 40 steps without warm-up (log V = 2.48, best 1.40); diverged runs
      blocks    rate                       pre                      post                    branch
           2   0.001   2.22 (2.10 .. 2.28) 0/5   2.19 (2.13 .. 2.24) 0/5   2.24 (2.16 .. 2.33) 0/5
           2    0.01   1.56 (1.46 .. 1.64) 0/5   1.60 (1.46 .. 1.70) 0/5   1.59 (1.46 .. 1.70) 0/5
           2     0.1   1.75 (1.62 .. 1.99) 0/5   2.31 (2.28 .. 2.35) 0/5   1.54 (1.43 .. 1.63) 0/5
          16   0.001   2.00 (1.90 .. 2.11) 0/5   2.33 (2.28 .. 2.36) 0/5   2.25 (2.12 .. 2.35) 0/5
          16    0.01   1.73 (1.58 .. 1.85) 0/5   2.32 (2.27 .. 2.35) 0/5   2.00 (1.83 .. 2.16) 0/5
          16     0.1   2.16 (2.06 .. 2.24) 0/5   2.33 (2.26 .. 2.36) 0/5   2.22 (2.11 .. 2.35) 0/5
    at 16 blocks, each at its best rate: pre-norm 1.73 (1.58 .. 1.85), post-norm 2.32 (2.27 .. 2.35)
    pre-norm trains a deep model better than post-norm (section 2.2.2.1): +0.598 [+0.471, +0.725], 5
      seeds: shows

No run diverged: at these rates deep post-norm does not blow up, it stays at the loss of symbol
frequencies (2.32). The gradient at the start does not foretell it: post-norm's is the most even
over depth. From GPT-2's start depth hardly matters to any placement (post-norm's 39 is its first
norm, which divides small embeddings by their size); without a residual the gradient vanishes there,
and from unit size it does not.
"""

import argparse
import math

import numpy as np

import tinylm as tl
from tinylm.data import MarkovChain, RandomWindows
from tinylm.models import GPT, GPTConfig
from tinylm.nn import PLACEMENTS
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain import CausalLM
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

V, T, D, B, STEPS = 12, 16, 16, 8, 40
DEPTHS = (2, 8, 32)
TRAINED = (2, 16)
RATES = (1e-3, 1e-2, 1e-1)
CHAIN = MarkovChain.random(V, seed=0, sharpness=2.0)
# Losses, each placement at its best rate, paired: the runs of a seed read the same text. A diverged
# run counts as a guess, log V.
TRAINS = Claim("pre-norm trains a deep model better than post-norm", "2.2.2.1", larger=False)


def bare(x, branch, norm):
    """F(norm(x)): without a residual connection, to see its effect."""
    return branch(norm(x))


def build(depth, placement, seed, device, unit=True):
    """A GPT whose blocks place their norms as named; "none" has no residual.

    unit  start from everything of unit size, instead of GPT-2's initialization
    """
    place = {"none": "pre"}.get(placement, placement)
    model = GPT(GPTConfig(V, T, depth, 2, D, norm_placement=place, tied=False), seed)
    if placement == "none":
        for block in model.blocks:
            # same norms as in pre-norm, without the addition
            block.placement = bare
    if unit:
        for name, p in model.named_parameters().items():
            if p.ndim != 2:
                continue
            # Embeddings get std 1; a map of d_in inputs gets d_in^-1/2, so y = x W keeps the size.
            size = p.shape[0] ** -0.5
            if name.startswith(("tokens", "positions")):
                size = 1.0
            p.data *= size / p.data.std()
    return model.to(device)


def gradient_norms(model, ids):
    """|dL/dx| for the stream x into the first and into the last block."""
    streams = []
    for block in (model.blocks[0], model.blocks[-1]):
        inner = type(block).__call__

        # A block called through a spy that keeps the gradient of its input.
        def spy(x, *args, block=block, inner=inner, **options):
            leaf = x * 1.0
            leaf.retain_grad()
            streams.append(leaf)
            return inner(block, leaf, *args, **options)

        model.blocks[model.blocks.index(block)] = spy
    # one backward pass fills the gradients of both leaves
    tl.cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
    return [float(np.linalg.norm(stream.grad.numpy())) for stream in streams]


def final_loss(model, rate, seed, device):
    """Mean loss over the last 5 of STEPS updates; infinity if one was not finite."""
    # text and batches depend on the seed alone
    windows = RandomWindows(CHAIN.sample(5000, seed), T, B, seed)
    losses = []
    optimizer = AdamW(FlatParameters(model.named_parameters()))
    objective = CausalLM()
    for step in range(STEPS):
        optimizer.zero_grad()
        # overflow is a result here, not a fault
        with tl.first_order_only(), np.errstate(all="ignore"):
            loss, metrics = objective.loss(
                model, objective.make_batch(windows.batch(step)).to(device)
            )
            loss.backward()
            optimizer.step(rate)
        losses.append(metrics["loss"])
    if np.isfinite(losses).all():
        return float(np.mean(losses[-5:]))
    return math.inf


def show_gradients(seeds, depths, device):
    """Print the first measurement; returns {placement: ratios (depths, seeds)} of unit size."""
    found = {}
    ids = tl.backend.to_device(CHAIN.sample(B * (T + 1), 1).reshape(B, T + 1), device)
    for unit, name in ((True, "everything of unit size"), (False, "GPT-2's initialization")):
        print(f"gradient into the first block / into the last, at the start, {name}")
        print(f"{'blocks':<8}" + "".join(f"{depth:>29}" for depth in depths))
        for placement in (*PLACEMENTS, "none"):
            cells, rows = [], []
            for depth in depths:
                # (seeds, 2): into the first block, into the last
                norms = np.array(
                    [gradient_norms(build(depth, placement, s, device, unit), ids) for s in seeds]
                )
                rows.append(norms[:, 0] / norms[:, 1])
                cells.append(mean_and_range(rows[-1], ".2g"))
            if unit:
                found[placement] = rows
            print(f"{placement:<8}" + "".join(f"{cell:>29}" for cell in cells))
    return found


def show_training(seeds, depths, device):
    """Print the second measurement and the verdict; returns {depth: {placement: losses (rates,
    seeds)}}.
    """
    # No model can be below the entropy rate of the chain; log V is a guess.
    print(
        f"\nloss after {STEPS} steps without warm-up (log V = {math.log(V):.2f}, "
        f"best {CHAIN.entropy_rate():.2f}); diverged runs"
    )
    print(f"{'blocks':>8}{'rate':>8}" + "".join(f"{name:>26}" for name in PLACEMENTS))
    best, found = {}, {depth: {name: [] for name in PLACEMENTS} for depth in depths}
    for depth in depths:
        for rate in RATES:
            cells = []
            for placement in PLACEMENTS:
                losses = np.array(
                    [final_loss(build(depth, placement, s, device), rate, s, device) for s in seeds]
                )
                found[depth][placement].append(losses)
                # worse than a guess, or not finite
                bad = int((losses > math.log(V)).sum())
                cells.append(f"{mean_and_range(losses, '.2f')} {bad}/{len(losses)}")
                so_far = best.get((depth, placement), losses)
                best[depth, placement] = min([losses, so_far], key=np.mean)
            print(f"{depth:8}{rate:8g}" + "".join(f"{cell:>26}" for cell in cells))
    pre = best[depths[-1], "pre"]
    post = best[depths[-1], "post"]
    print(
        f"at {depths[-1]} blocks, each at its best rate: pre-norm {mean_and_range(pre, '.2f')}, "
        f"post-norm {mean_and_range(post, '.2f')}"
    )
    print(TRAINS.line(np.minimum(pre, math.log(V)), np.minimum(post, math.log(V))))
    return found


def plot(path, depths, ratios, losses):
    """Save gradients over the depth, and losses over the rate, as a picture."""
    with Picture(path, columns=1 + len(losses), size=(4.6, 3.4)) as picture:
        title = "everything of unit size, at the start"
        y = "gradient into the first block / the last"
        scales = {"xscale": "log", "yscale": "log"}
        panel = picture.panel(title, "blocks", y, xticks=depths, **scales)
        for placement, found in ratios.items():
            panel.curve(placement, depths, np.transpose(found))
        for depth, found in losses.items():
            title = f"{depth} blocks, after {STEPS} steps"
            panel = picture.panel(title, "learning rate", "loss (nats)", xscale="log")
            panel.level("a guess", math.log(V))
            for placement, values in found.items():
                values = np.transpose(values)  # (seeds, rates)
                # What diverged is no point of a curve.
                panel.curve(placement, RATES, np.where(values > 2 * math.log(V), np.nan, values))


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds and no deep model")
    add_plot(parser)
    args = parser.parse_args()
    seeds = range(args.seed, args.seed + 5)
    depths = DEPTHS
    trained = TRAINED
    if args.quick:
        seeds, depths, trained = seeds[:2], DEPTHS[:-1], (2, 6)
        print(ONLY_RUNS)
    ratios = show_gradients(seeds, depths, args.device)
    losses = show_training(seeds, trained, args.device)
    if args.plot:
        plot(args.plot, depths, ratios, losses)


if __name__ == "__main__":
    main()
