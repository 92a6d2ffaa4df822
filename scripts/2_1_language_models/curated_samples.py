"""The part of instruction_tuning.py about curated samples: a few of a pool, chosen or at random.

Half of the answers of the pool are wrong. A judge, the model tuned on the whole pool, finds right
answers more probable, since it knows the facts from pre-training: `filtered` are the first samples
among the four tenths with the least cross-entropy, `most probable` those with the least of all.
Section 4.2.3; Fig. 4.5c. Read first: tinylm/align/selection/perplexity.py.

Measured output (a part of that of instruction_tuning.py; mean (lowest .. highest) of ten seeds):

    of 2880                     as tuned        new phrasing            new pair          new aspect
    36 random        0.09 (0.05 .. 0.17) 0.06 (0.01 .. 0.17) 0.10 (0.03 .. 0.28) 0.03 (0.00 .. 0.15)
    36 filtered      0.25 (0.11 .. 0.39) 0.22 (0.07 .. 0.44) 0.24 (0.07 .. 0.47) 0.10 (0.00 .. 0.30)
    36 probable      0.06 (0.01 .. 0.10) 0.05 (0.00 .. 0.17) 0.05 (0.03 .. 0.12) 0.02 (0.00 .. 0.10)
    180 random       0.16 (0.08 .. 0.23) 0.07 (0.00 .. 0.23) 0.14 (0.10 .. 0.20) 0.11 (0.00 .. 0.26)
    180 filtered     0.42 (0.17 .. 0.64) 0.38 (0.03 .. 0.63) 0.41 (0.19 .. 0.65) 0.28 (0.00 .. 0.63)
    180 probable     0.20 (0.06 .. 0.28) 0.14 (0.06 .. 0.31) 0.20 (0.14 .. 0.23) 0.10 (0.00 .. 0.35)
    720 random       0.31 (0.15 .. 0.39) 0.19 (0.05 .. 0.34) 0.28 (0.13 .. 0.48) 0.10 (0.00 .. 0.29)
    720 filtered     0.42 (0.17 .. 0.65) 0.40 (0.12 .. 0.62) 0.42 (0.14 .. 0.62) 0.30 (0.02 .. 0.80)
    720 probable     0.37 (0.14 .. 0.62) 0.37 (0.10 .. 0.57) 0.35 (0.16 .. 0.57) 0.21 (0.00 .. 0.50)
      right over wrong by the judge: 0.99 (0.97 .. 1.00)
      36 filtered samples over 36 random ones (section 4.2.3): +0.13 [+0.0716, +0.189], 10 seeds:
        shows
      180 filtered samples over 180 random ones (section 4.2.3): +0.253 [+0.141, +0.365], 10 seeds:
        shows
      720 filtered samples over 720 random ones (section 4.2.3): +0.165 [+0.0721, +0.258], 10 seeds:
        shows
      180 filtered samples over the 180 most probable (section 4.2.3): +0.212 [+0.101, +0.322], 10
        seeds: shows

The judge tells right from wrong, and 36 filtered samples do about as well as 720 random ones, of
which half are wrong. They nearly are what right ones are (means over the groups of 0.20, 0.37 and
0.39 against 0.18, 0.44 and 0.48 in the header of instruction_tuning.py). The most probable samples
are right as well, and up to 180 worth little more than random ones: they are alike. On seeds 100 to
103 the first 180 had 15 to 24 of 108 facts, and the filtered ones 74 to 80.
"""

import numpy as np

from tinylm.align.selection import cross_entropies, detection, perplexity_filter, rank_by_ce
from tinylm.data.synthetic.told_facts import KNOWN
from tinylm.train.experiments.compare import Claim, mean_and_range

POOL, WRONG, KEPT = 2880, 0.5, 0.4
COUNTS = 36, 180, 720
# Written before the run. Means over four groups of questions, one a seed, paired.
CHOSEN = {
    count: Claim(f"{count} filtered samples over {count} random ones", "4.2.3", least=0.03)
    for count in COUNTS
}
ALIKE = Claim("180 filtered samples over the 180 most probable", "4.2.3", least=0.03)


def is_right(world, sample):
    """Whether the answer is the fact that was asked for."""
    aspect, _ = sample.task.split()
    facts = (world.facts.get((aspect, word)) for word in sample.user.split())
    return sample.output in facts


def choices(lab):
    """({name: samples}, share of pairs of a right and a wrong sample that the judge decides)."""
    pool = lab.samples(KNOWN, POOL, noise=WRONG)
    judge = lab.tuned(pool)
    losses = cross_entropies(judge, lab.encoded(pool), 64)
    kept = perplexity_filter(losses, keep_fraction=KEPT)
    found = {}
    for count in COUNTS:
        # The pool is in random order, so its first samples are a random choice.
        found[f"{count} random"] = pool[:count]
        found[f"{count} filtered"] = [pool[i] for i in kept[:count]]
        found[f"{count} probable"] = [pool[i] for i in rank_by_ce(losses)[:count]]
    return found, detection(-losses, [is_right(lab.world, one) for one in pool])


def curated(labs, table, groups):
    """Print the table and the verdicts.

    labs    list of Lab;  table  the function of instruction_tuning.py that prints one
    """
    rows, found = {}, []
    for lab in labs:
        chosen, area = choices(lab)
        found.append(area)
        for name, samples in chosen.items():
            rows.setdefault(name, []).append(lab.scores(lab.tuned(samples), KNOWN))
    title = f"of {POOL}"
    scores = {name: found.mean(0) for name, found in table(title, rows, groups).items()}
    print(f"  right over wrong by the judge: {mean_and_range(np.array(found), '.2f')}")
    for count, claim in CHOSEN.items():
        print(f"  {claim.line(scores[f'{count} filtered'], scores[f'{count} random'])}")
    print(f"  {ALIKE.line(scores['180 filtered'], scores['180 probable'])}")
