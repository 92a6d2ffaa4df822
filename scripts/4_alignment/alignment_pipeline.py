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
of 16. Gold rewards and distances are those of replies drawn at temperature 1. KL is the mean of log
policy - log SFT over replies of the policy; of best of 16 it is its bound, log 16 - 15/16. New
tasks are pairs of operation and category that no instruction of the tuning had, new phrasings
frames that it lacked. Lists are drawn anew: there are half a million of five words for each pair of
categories. Three layers of width 64, three seeds, on one core. `python
scripts/4_alignment/alignment_pipeline.py [--seed N] [--device cpu|gpu] [--plot FILE] [--quick]`:
--plot draws reward and gold reward against the KL; --quick is two seeds and a twentieth of the
steps. Read next: tinylm/align/rlhf/__init__.py; tinylm/align/__init__.py.

Measured output (one core of a busy machine):

                               right        new phrasing           new tasks
    base         0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
    SFT          0.96 (0.96 .. 0.97) 0.97 (0.97 .. 0.97) 0.64 (0.56 .. 0.71)
    best of 16   0.91 (0.87 .. 0.94) 0.92 (0.90 .. 0.94) 0.49 (0.37 .. 0.68)
    DPO          0.46 (0.00 .. 0.82) 0.47 (0.00 .. 0.84) 0.28 (0.00 .. 0.52)
    PPO          0.95 (0.94 .. 0.96) 0.95 (0.93 .. 0.96) 0.67 (0.56 .. 0.73)
    GRPO         0.95 (0.92 .. 0.97) 0.95 (0.93 .. 0.97) 0.62 (0.53 .. 0.72)
                         gold reward               reward                     KL  tokens  minutes
    base         0.00 (0.00 .. 0.00)  0.78 (0.22 .. 1.16) 73.25 (69.24 .. 79.45)    16.0      3.5
    SFT          1.16 (1.15 .. 1.18) 0.03 (-0.04 .. 0.11)    0.00 (0.00 .. 0.00)     7.8      0.3
    best of 16   1.37 (1.30 .. 1.41)  0.99 (0.92 .. 1.09)    1.84 (1.84 .. 1.84)     7.5      0.0
    DPO          0.66 (0.00 .. 1.16)  0.97 (0.78 .. 1.06)  14.34 (2.85 .. 30.73)    11.5      0.8
    PPO          1.41 (1.38 .. 1.44)  0.97 (0.92 .. 1.05)    1.08 (1.05 .. 1.11)     7.5      0.9
    GRPO         1.36 (1.33 .. 1.38)  0.87 (0.82 .. 0.98)    0.89 (0.83 .. 1.00)     7.6      0.8
    reward model, comparisons held out: 0.728 (0.712 .. 0.750)
    3 seeds; 8.0 minutes of one core for each
    ppo, KL, reward and gold reward while training, first seed: [[0.93, 0.92, 1.39], [0.95, 0.93,
      1.39], [1.05, 0.98, 1.43], [1.04, 0.98, 1.43], [1.1, 0.98, 1.43], [1.11, 0.98, 1.43], [1.03,
      0.98, 1.43], [1.03, 0.97, 1.45]]
    grpo, KL, reward and gold reward while training, first seed: [[0.15, 0.36, 1.28], [0.2, 0.46,
      1.25], [0.4, 0.67, 1.35], [0.64, 0.8, 1.37], [0.71, 0.84, 1.39], [0.79, 0.87, 1.4], [0.78,
      0.88, 1.39], [0.78, 0.87, 1.39]]
    best of n, KL, reward and gold reward while training, first seed: [[0.0, 0.06, 1.16], [0.19,
      0.44, 1.27], [0.64, 0.7, 1.3], [1.2, 0.95, 1.42], [1.84, 0.99, 1.4]]
    right: SFT > base (section 4.2.1): +0.963 [+0.947, +0.98], 3 seeds: shows
    comparisons held out: the reward model > a coin (section 4.3.2): +0.228 [+0.179, +0.277], 3
      seeds: shows
    gold reward: best of 16 > SFT (section 4.3.3): +0.205 [+0.0811, +0.329], 3 seeds: shows
    gold reward: DPO > SFT (section 4.3.3): -0.499 [-2.03, +1.03], 3 seeds: too small to tell; 1.5
      could have been seen
    gold reward: PPO > SFT (section 4.3.3): +0.246 [+0.22, +0.273], 3 seeds: shows
    gold reward: GRPO > SFT (section 4.3.3): +0.2 [+0.156, +0.245], 3 seeds: shows

This is a first run, seeds 0 to 2, in which DPO had beta 0.1 and a rate of 3e-4. Tuning makes an
assistant of a model that only goes on with articles. The reward model decides 0.73 of comparisons
as the annotator did, who is unsure and careless. Best of 16, PPO and GRPO gain gold reward: PPO
most (1.41 of at most 1.5), at 1.1 nats, where best of 16 has at most 1.8. Best of 16 loses right
answers (0.91 of 0.96), more of new tasks than of known ones; PPO and GRPO lose hardly any. DPO left
the SFT model by 31 nats on one seed, and none of its replies there was right: too much of it. With
beta 0.3 and a rate of 5e-5, the constants of now, a run of seed 100 had a gold reward of 1.36 at
0.8 nats, against 1.13 of SFT; three seeds of that are not measured yet.
"""

import argparse

import numpy as np
from tiny_assistant import GROUPS, GRPO, PPO, Assistant, N

from tinylm import backend
from tinylm.align.inference.law import kl_bound
from tinylm.train.compare import ONLY_RUNS, Claim, mean_and_range

SEEDS = 3
TUNED = "best of 16", "DPO", "PPO", "GRPO"
# Written before the run.
SFT_BEATS = Claim("right: SFT > base", "4.2.1", limit=1.0)
JUDGES = Claim("comparisons held out: the reward model > a coin", "4.3.2", floor=0.5)
BETTER = {name: Claim(f"gold reward: {name} > SFT", "4.3.3", limit=1.5) for name in TUNED}


def run(seed, device, share):
    """All stages of one seed: ({name: Measured}, accuracy of the reward model, curves)."""
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
    one.curves["best of n"] = [
        (kl_bound(n), *one.worth(one.watched, one.best(one.watched, 6, n))[::-1])
        for n in (1, 2, 4, 8, N)
    ]
    rows = {name: one.measured(name, model) for name, model in policies.items()}
    return rows, one.judge_accuracy(), one.curves, one.minutes


def show(runs):
    """Print the table."""
    print(f"{'':<12}{'right':>20}{'new phrasing':>20}{'new tasks':>20}")
    rows = [r[0] for r in runs]
    for name in rows[0]:
        cells = [mean_and_range([r[name].right[g] for r in rows], ".2f") for g in GROUPS]
        print(f"{name:<12}" + "".join(f"{cell:>20}" for cell in cells))
    print(f"{'':<12}{'gold reward':>20}{'reward':>21}{'KL':>23}{'tokens':>8}{'minutes':>9}")
    for name in rows[0]:
        gold, reward, kl = (
            mean_and_range([getattr(r[name], what) for r in rows], ".2f")
            for what in ("gold", "reward", "kl")
        )
        length = np.mean([r[name].length for r in rows])
        minutes = np.mean([r[name].minutes for r in rows])
        print(f"{name:<12}{gold:>20}{reward:>21}{kl:>23}{length:>8.1f}{minutes:>9.1f}")
    print("reward model, comparisons held out:", mean_and_range([r[1] for r in runs], ".3f"))
    spent = [sum(r[3].values()) for r in runs]
    print(f"{len(runs)} seeds; {np.mean(spent):.1f} minutes of one core for each")


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


def draw_curves(runs, path):
    """Save reward and gold reward against the KL as a picture: one line for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4))
    for axis, column, name in zip(axes, (1, 2), ("reward of the reward model", "gold reward")):
        for _, _, curves, _ in runs:
            for (method, points), color in zip(curves.items(), ("C0", "C1", "C2")):
                points = np.array(points)
                label = method
                if curves is not runs[0][2]:
                    label = None
                axis.plot(points[:, 0], points[:, column], ".-", color=color, label=label)
        axis.set_xlabel("KL to the SFT model, nats")
        axis.set_ylabel(name)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    print(f"saved {path}")


def main(argv=None):
    """Run every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Seeds 0 to 2 were those of a first run, see above.
    parser.add_argument("--seed", type=int, default=3, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--plot", metavar="FILE", help="also save the curves as a picture")
    parser.add_argument("--quick", action="store_true", help="two seeds, a twentieth of the steps")
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds, share = range(options.seed, options.seed + SEEDS), 1.0
    if options.quick:
        seeds, share = seeds[:2], 0.05
        print(ONLY_RUNS)
    runs = [run(seed, options.device, share) for seed in seeds]
    show(runs)
    for method in runs[0][2]:
        points = [np.array(r[2][method]).round(2).tolist() for r in runs]
        print(f"{method}, KL, reward and gold reward while training, first seed: {points[0]}")
    verdicts(runs)
    if options.plot:
        draw_curves(runs, options.plot)


if __name__ == "__main__":
    main()
