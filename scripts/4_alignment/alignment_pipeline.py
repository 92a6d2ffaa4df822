"""A tiny assistant through all stages of alignment, with the numbers of each.

Book sections 2.1.4, 4.2 to 4.4. One world for all (tinylm/data/synthetic/list_tasks.py): a list of
words, an instruction about it, a reply in one of three styles. What people like, a right answer in
a full sentence without small talk, is a hidden gold reward; an annotator compares two replies by
it, unsure and careless. The stages, as in the book:

    base           a GPT reads articles, which state such facts: the abilities, no instructions
    SFT            demonstrations in all three styles, as different people write them
    reward model   from comparisons of the SFT model's own replies; its decoder begins as that model
    best of 16     of 16 replies of the SFT model, the one with the highest reward
    DPO            on the same comparisons, without the reward model
    PPO, GRPO      new replies, scored by the reward model, with a penalty on leaving the SFT model

Right is the exact answer, whatever the style: of the greedy reply, and of the chosen one for best
of 16. Gold rewards and distances are those of replies drawn at temperature 1. KL is that of the
policy to the SFT model, over replies of the policy; of best of n it is its bound, log n - (n-1)/n.
New tasks are pairs of operation and category that no instruction of the tuning had, new phrasings
frames that it lacked. Lists are drawn anew: there are half a million of five words for each pair of
categories. The curves have points after 0, 1, 2, 4, .. steps of a method and after its last: the
reward that it is trained by, the gold reward, and that of new tasks. Three layers of width 64,
three seeds, on one core. `python scripts/4_alignment/alignment_pipeline.py [--seed N] [--device
cpu|gpu] [--plot FILE] [--quick]`: --plot draws the curves against the KL; --quick is two seeds and
a twentieth of the steps. Read next: tinylm/align/rlhf/__init__.py; tinylm/align/__init__.py.

Measured output (one core of a busy machine):

                               right        new phrasing           new tasks
    base         0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
    SFT          0.97 (0.93 .. 0.99) 0.95 (0.92 .. 0.97) 0.62 (0.43 .. 0.76)
    best of 16   0.92 (0.88 .. 0.95) 0.86 (0.84 .. 0.90) 0.53 (0.32 .. 0.70)
    DPO          0.97 (0.93 .. 0.99) 0.95 (0.92 .. 0.98) 0.57 (0.31 .. 0.77)
    PPO          0.95 (0.91 .. 0.98) 0.93 (0.90 .. 0.97) 0.57 (0.34 .. 0.75)
    GRPO         0.94 (0.90 .. 0.99) 0.92 (0.89 .. 0.96) 0.56 (0.32 .. 0.75)
                         gold reward                reward                     KL  tokens  minutes
    base         0.00 (0.00 .. 0.00)   0.73 (0.06 .. 1.66) 81.03 (72.66 .. 95.61)    16.0      1.9
    SFT          1.15 (1.07 .. 1.21)  0.03 (-0.03 .. 0.09)    0.00 (0.00 .. 0.00)     7.8      0.2
    best of 16   1.37 (1.31 .. 1.42)   1.06 (0.89 .. 1.21)    1.84 (1.84 .. 1.84)     7.5      0.0
    DPO          1.38 (1.32 .. 1.45)   0.96 (0.83 .. 1.06)    0.86 (0.83 .. 0.92)     7.8      0.2
    PPO          1.40 (1.33 .. 1.44)   1.06 (0.88 .. 1.21)    1.05 (0.97 .. 1.17)     7.5      0.3
    GRPO         1.34 (1.28 .. 1.38)   0.95 (0.83 .. 1.06)    0.86 (0.80 .. 0.92)     7.6      0.2
    reward model, comparisons held out: 0.722 (0.704 .. 0.734)
    PPO, shares of the time of its steps: sampling 0.12 (0.12 .. 0.13), scoring 0.25 (0.25 .. 0.25),
      the rest updates
    GRPO, shares of the time of its steps: sampling 0.31 (0.31 .. 0.32), scoring 0.47 (0.47 ..
      0.48), the rest updates
    3 seeds; 3.4 minutes of one core for each
    curves: 2 replies to each of 64 instructions, new: of new tasks
                                   DPO                         PPO                        GRPO
      step       KL reward  gold   new       KL reward  gold   new       KL reward  gold   new
         0    0.000   0.11  1.16  0.64    0.000   0.11  1.16  0.64    0.000   0.11  1.16  0.64
         1    0.000   0.11  1.16  0.64    0.021   0.28  1.21  0.65    0.001   0.13  1.17  0.63
         2    0.000   0.11  1.16  0.64    0.077   0.45  1.27  0.69    0.003   0.15  1.18  0.65
         4    0.000   0.11  1.16  0.64    0.267   0.72  1.34  0.70    0.009   0.20  1.18  0.64
         8    0.000   0.12  1.17  0.64    0.692   0.99  1.36  0.76    0.033   0.30  1.21  0.65
        16    0.001   0.16  1.17  0.64    0.978   1.06  1.36  0.77    0.095   0.44  1.24  0.63
        32    0.019   0.29  1.21  0.66    1.103   1.09  1.36  0.78    0.238   0.67  1.32  0.67
        64    0.186   0.63  1.33  0.67    1.053   1.08  1.36  0.80    0.608   0.92  1.36  0.74
       128    0.514   0.88  1.38  0.71    1.058   1.09  1.40  0.79    0.881   1.05  1.37  0.73
       256    0.758   1.00  1.40  0.74
      last    0.858   1.04  1.41  0.75    1.063   1.09  1.40  0.81    0.894   1.05  1.37  0.74
                             best of n
         n       KL reward  gold   new
         1    0.000  -0.09  1.10  0.60
         2    0.193   0.26  1.21  0.72
         4    0.636   0.69  1.35  0.71
         8    1.204   0.98  1.42  0.76
        16    1.835   1.08  1.44  0.79
    right: SFT > base (section 4.2.1): +0.968 [+0.878, +1.06], 3 seeds: shows
    comparisons held out: the reward model > a coin (section 4.3.2): +0.222 [+0.183, +0.261], 3
      seeds: shows
    gold reward: best of 16 > SFT (section 4.3.3): +0.222 [+0.18, +0.263], 3 seeds: shows
    gold reward: DPO > SFT (section 4.3.3): +0.228 [+0.065, +0.392], 3 seeds: shows
    gold reward: PPO > SFT (section 4.3.3): +0.248 [+0.208, +0.288], 3 seeds: shows
    gold reward: GRPO > SFT (section 4.3.3): +0.193 [+0.134, +0.251], 3 seeds: shows
    share of a PPO step's time: sampling < a half (section 4.3.3): +0.376 [+0.372, +0.379], 3 seeds:
      shows

Every stage gains what it is for. Tuning makes an assistant of a model that only goes on with
articles. The reward model decides 0.72 of comparisons as the annotator did, who is unsure and
careless. Best of 16, DPO, PPO and GRPO bring the gold reward from 1.15 to 1.34 and more, of at most
1.5: DPO as far as best of 16 at less than half of its KL, PPO farthest, and in a few steps. Best of
16 loses right answers (0.92 of 0.97), PPO and GRPO a few, DPO none on known tasks; on new tasks all
lose some, while their gold reward rises there too. No curve turns down: the reward model is trained
on enough comparisons for the penalty on the KL that is used (what happens otherwise is in
over_optimisation.py).

A former run on these three seeds had the same verdicts. In a first run, on seeds 0 to 2, DPO had
beta 0.1 and a rate of 3e-4. On one seed it left the SFT model by 31 nats, and none of its replies
there was right; its gain was too small to tell (-0.50 [-2.03, +1.03]). All settings were chosen on
seed 100.
"""

import argparse
import time

import numpy as np
from tiny_assistant import DRAWN, GROUPS, GRPO, PPO, WATCHED, Assistant

from tinylm import backend
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

SEEDS = 3
TUNED = "best of 16", "DPO", "PPO", "GRPO"
# Written before the run.
SFT_BEATS = Claim("right: SFT > base", "4.2.1", limit=1.0)
JUDGES = Claim("comparisons held out: the reward model > a coin", "4.3.2", floor=0.5)
BETTER = {name: Claim(f"gold reward: {name} > SFT", "4.3.3", limit=1.5) for name in TUNED}
SAMPLES_LITTLE = Claim("share of a PPO step's time: sampling < a half", "4.3.3", larger=False)


def run(seed, device, share):
    """All stages of one seed.

    returns  {name: Measured}; accuracy of the reward model; {method: list of Point};
             {method: shares of the time of its steps}; minutes of one core, of everything
    """
    begun = time.process_time()
    one = Assistant(seed, device, share)
    one.timed("base", one.pretrain)
    one.timed("SFT", one.instruct)
    one.timed("comparisons", one.collect)
    one.timed("reward model", one.learn_reward)
    policies = {
        "base": one.base,
        "SFT": one.sft,
        "best of 16": None,
        "DPO": one.timed("DPO", one.dpo),
        "PPO": one.timed("PPO", lambda: one.reinforced("ppo", **PPO)),
        "GRPO": one.timed("GRPO", lambda: one.reinforced("grpo", **GRPO)),
    }
    one.watch_best_of_n()
    rows = {name: one.measured(name, model) for name, model in policies.items()}
    minutes = (time.process_time() - begun) / 60
    return rows, one.judge_accuracy(), one.curves, one.spent, minutes


def show(runs):
    """Print the table."""
    print(f"{'':<12}{'right':>20}{'new phrasing':>20}{'new tasks':>20}")
    rows = [r[0] for r in runs]
    for name in rows[0]:
        cells = [mean_and_range([r[name].right[g] for r in rows], ".2f") for g in GROUPS]
        print(f"{name:<12}" + "".join(f"{cell:>20}" for cell in cells))
    print(f"{'':<12}{'gold reward':>20}{'reward':>22}{'KL':>23}{'tokens':>8}{'minutes':>9}")
    for name in rows[0]:
        gold, reward, kl = (
            mean_and_range([getattr(r[name], what) for r in rows], ".2f")
            for what in ("gold", "reward", "kl")
        )
        length = np.mean([r[name].length for r in rows])
        minutes = np.mean([r[name].minutes for r in rows])
        print(f"{name:<12}{gold:>20}{reward:>22}{kl:>23}{length:>8.1f}{minutes:>9.1f}")
    print("reward model, comparisons held out:", mean_and_range([r[1] for r in runs], ".3f"))
    for method in runs[0][3]:
        shares = [
            f"{part} {mean_and_range([r[3][method][part] for r in runs], '.2f')}"
            for part in ("sampling", "scoring")
        ]
        print(f"{method}, shares of the time of its steps: {', '.join(shares)}, the rest updates")
    print(f"{len(runs)} seeds; {np.mean([r[4] for r in runs]):.1f} minutes of one core for each")


def show_curves(runs):
    """Print the means over seeds of the points of every curve."""
    curves = [r[2] for r in runs]
    print(f"curves: {DRAWN} replies to each of {WATCHED} instructions, new: of new tasks")
    trained = [method for method in curves[0] if method != "best of n"]
    _print_curves("step", curves, trained)
    _print_curves("n", curves, ["best of n"])


def _print_curves(first, curves, methods):
    """A table with four columns for each method, a row for each step that all seeds have."""
    columns = "".join(f"{method:>28}" for method in methods)
    print(f"{'':<6}{columns}")
    print(f"{first:>6}" + f"{'KL':>9}{'reward':>7}{'gold':>6}{'new':>6}" * len(methods))
    points = {method: [curve[method][:-1] for curve in curves] for method in methods}
    steps = sorted({point.step for rows in points.values() for row in rows for point in row})
    for step in steps:
        cells = "".join(_cells(points[method], step) for method in methods)
        if cells.strip():
            print(f"{step:>6}{cells}")
    last = [[curve[method][-1:] for curve in curves] for method in methods]
    label = "last"
    if first == "n":
        label = last[0][0][0].step
    print(f"{label:>6}" + "".join(_cells(rows, None) for rows in last))


def _cells(rows, step):
    """The cells of a method at a step, or at the only step that there is."""
    found = [point[1:] for row in rows for point in row if step in (None, point.step)]
    if len(found) < len(rows):
        return " " * 28
    kl, reward, gold, new = np.mean(found, axis=0)
    return f"{kl:>9.3f}{reward:>7.2f}{gold:>6.2f}{new:>6.2f}"


def verdicts(runs):
    """Print the verdict of every claim."""
    rows = [r[0] for r in runs]

    def of(name, what):
        return [getattr(r[name], what) for r in rows]

    sft, base = ([one["right"] for one in of(name, "right")] for name in ("SFT", "base"))
    print(SFT_BEATS.line(sft, base))
    print(JUDGES.line([r[1] for r in runs], [0.5] * len(runs)))
    for name, claim in BETTER.items():
        print(claim.line(of(name, "gold"), of("SFT", "gold")))
    print(SAMPLES_LITTLE.line([r[3]["PPO"]["sampling"] for r in runs], 0.5))


def draw_curves(runs, path):
    """Save the rewards against the KL as a picture: one line for each seed."""
    names = {
        "reward": "reward of the reward model",
        "gold": "gold reward",
        "new": "gold reward, new tasks",
    }
    with Picture(path, columns=3) as picture:
        for column, name in names.items():
            panel = picture.panel(name, "KL to the SFT model (nats)", "reward")
            for number, curves in enumerate(r[2] for r in runs):
                for method, points in curves.items():
                    kl = [point.kl for point in points]
                    values = [getattr(point, column) for point in points]
                    panel.curve(method, kl, values, label=number == 0, linewidth=1)


def main(argv=None):
    """Run every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Seeds 0 to 2 were those of a first run, see above.
    parser.add_argument("--seed", type=int, default=3, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    add_plot(parser, "the curves against the KL")
    parser.add_argument("--quick", action="store_true", help="two seeds, a twentieth of the steps")
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds, share = range(options.seed, options.seed + SEEDS), 1.0
    if options.quick:
        seeds, share = seeds[:2], 0.05
        print(ONLY_RUNS)
    runs = [run(seed, options.device, share) for seed in seeds]
    show(runs)
    show_curves(runs)
    verdicts(runs)
    if options.plot:
        draw_curves(runs, options.plot)


if __name__ == "__main__":
    main()
