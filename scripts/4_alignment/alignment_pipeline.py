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
    print(f"{'':<12}{'gold reward':>22}{'reward':>22}{'KL':>24}{'tokens':>8}{'minutes':>9}")
    for name in rows[0]:
        gold, reward, kl = (
            mean_and_range([getattr(r[name], what) for r in rows], ".2f")
            for what in ("gold", "reward", "kl")
        )
        length = np.mean([r[name].length for r in rows])
        minutes = np.mean([r[name].minutes for r in rows])
        print(f"{name:<12}{gold:>22}{reward:>22}{kl:>24}{length:>8.1f}{minutes:>9.1f}")
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
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
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
