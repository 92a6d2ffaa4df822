"""The part of instruction_tuning.py about curated samples: a few of a pool, chosen or at random.

Half of the answers of the pool are wrong. A judge, the model tuned on the whole pool, finds right
answers more probable, since it knows the facts from pre-training: `filtered` are the first samples
among the four tenths with the least cross-entropy, `most probable` those with the least of all.
Section 4.2.3; Fig. 4.5c. Read first: tinylm/align/selection/perplexity.py.

Measured output (a part of that of instruction_tuning.py): Not measured yet with this design.
"""

from functools import partial

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


def scores_of_choices(lab):
    """{name: scores of a model that is tuned on these samples}, and the judge's share, "area"."""
    chosen, area = choices(lab)
    found = {name: lab.scores(lab.tuned(samples), KNOWN) for name, samples in chosen.items()}
    return found | {"area": float(area)}


def curated(labs, table, groups):
    """Print the table and the verdicts.

    labs    list of Lab;  table  the function of instruction_tuning.py that prints one
    """
    rows, found = {}, []
    for lab in labs:
        one = lab.cell("curated", partial(scores_of_choices, lab))
        found.append(one["area"])
        for name, values in one.items():
            if name != "area":
                rows.setdefault(name, []).append(values)
    title = f"of {POOL}"
    scores = {name: found.mean(0) for name, found in table(title, rows, groups).items()}
    print(f"  right over wrong by the judge: {mean_and_range(np.array(found), '.2f')}")
    for count, claim in CHOSEN.items():
        print(f"  {claim.line(scores[f'{count} filtered'], scores[f'{count} random'])}")
    print(f"  {ALIKE.line(scores['180 filtered'], scores['180 probable'])}")
