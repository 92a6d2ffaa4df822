"""What more samples, a verifier or a refinement make of a model that is right half of the time.

Book sections 3.2.3 (self-refinement) and 3.2.4 (self-consistency; predict, then verify). The model
of half_learnt_sums.py writes chains of two sums, "9+5-4 = > 9+5=14. 14-4=10. #### 10", and was
stopped while it still makes errors; it was also trained to give feedback on drafts and to revise
them. Everything is sampled at temperature 1. Of each question half of the samples are judged; the
other half estimates how probable its answers are, for the laws:

    a vote of n                  what n of these samples vote for, none drawn twice: unbiased
    best of n, exact verifier    pass@n = 1 - (1 - p)^n of each question, by the unbiased estimator
    best of n, 1 verdict in 5 is wrong: `verified_law` of each question
    accuracy after t refinements: two states, right and wrong, with a limit a / (a + b)

Shares of the samples put into the multinomial law of a vote would be biased, as in pass@n. Five
seeds, about 9 minutes on one core. `python scripts/3_prompting/samples_and_verifiers.py
[--seed N] [--device cpu|gpu] [--plot FILE] [--quick]`; --quick is two seeds and a quarter of the
questions. Read next: prompt/ensemble/outputs.py, prompt/refine/markov.py.

Measured output (one core):

    rounds of the mixture: 4, 5, 6, 4, 5
    one sample is right: 0.44 (0.42 .. 0.48); between questions
        the standard deviation is 0.18 (0.16 .. 0.21)
    votes: right
           n                vote           vote, law      vote, binomial
           2 0.46 (0.44 .. 0.50) 0.46 (0.44 .. 0.50) 0.45 (0.42 .. 0.48)
           4 0.53 (0.50 .. 0.59) 0.53 (0.50 .. 0.59) 0.42 (0.38 .. 0.47)
           8 0.59 (0.56 .. 0.67) 0.59 (0.56 .. 0.67) 0.38 (0.33 .. 0.46)
          16 0.64 (0.61 .. 0.73) 0.64 (0.61 .. 0.73) 0.34 (0.27 .. 0.45)
          32 0.67 (0.64 .. 0.76) 0.67 (0.64 .. 0.76) 0.28 (0.19 .. 0.43)
    an exact verifier: right
           n      exact verifier              pass@n        mean p alone             plug-in
           2 0.65 (0.62 .. 0.71) 0.66 (0.63 .. 0.71) 0.69 (0.67 .. 0.73) 0.61 (0.57 .. 0.66)
           4 0.83 (0.81 .. 0.88) 0.84 (0.82 .. 0.88) 0.90 (0.89 .. 0.93) 0.74 (0.70 .. 0.79)
           8 0.94 (0.92 .. 0.96) 0.94 (0.92 .. 0.97) 0.99 (0.99 .. 0.99) 0.82 (0.77 .. 0.88)
          16 0.98 (0.97 .. 0.99) 0.98 (0.97 .. 0.99) 1.00 (1.00 .. 1.00) 0.84 (0.79 .. 0.90)
          32 0.99 (0.99 .. 1.00) 0.99 (0.99 .. 1.00) 1.00 (1.00 .. 1.00) 0.84 (0.80 .. 0.91)
    1 verdict in 5 is wrong: right
           n                errs           errs, law        errs by text
           2 0.57 (0.54 .. 0.62) 0.57 (0.55 .. 0.62) 0.57 (0.54 .. 0.62)
           4 0.67 (0.65 .. 0.71) 0.68 (0.65 .. 0.72) 0.66 (0.64 .. 0.70)
           8 0.71 (0.70 .. 0.76) 0.72 (0.70 .. 0.76) 0.70 (0.67 .. 0.74)
          16 0.73 (0.70 .. 0.77) 0.72 (0.70 .. 0.76) 0.71 (0.68 .. 0.74)
          32 0.72 (0.70 .. 0.77) 0.72 (0.70 .. 0.76) 0.71 (0.68 .. 0.75)
    refinement: right                                tokens a question
        a draft                      0.43 (0.40 .. 0.46)          32
        one refinement               0.38 (0.31 .. 0.40)         126
        one refinement, oracle       0.40 (0.33 .. 0.45)          91
        best of 2, own probability   0.57 (0.53 .. 0.62)          63
        best of 2, own feedback      0.44 (0.39 .. 0.48)         134
        a vote of 4                  0.53 (0.51 .. 0.57)         127
    after t refinements: right, and the law
           0 0.44 (0.41 .. 0.48) 0.44 (0.41 .. 0.48)
           1 0.38 (0.31 .. 0.42) 0.39 (0.33 .. 0.42)
           2 0.35 (0.29 .. 0.41) 0.37 (0.30 .. 0.40)
           3 0.33 (0.25 .. 0.38) 0.37 (0.29 .. 0.40)
           4 0.32 (0.21 .. 0.37) 0.37 (0.29 .. 0.40)
        fixed 0.28 (0.21 .. 0.32), broken 0.49 (0.43 .. 0.52)
        limit 0.37 (0.29 .. 0.40)
    5 seeds; 511 s of one core
    a vote of 16 > one sample (section 3.2.4): +0.196 [+0.162, +0.231], 5 seeds: shows
    votes are as their law within 0.03 (section 3.2.4): -0.0053 [-0.00903, -0.00158], 5 seeds: shows
    best of n is as pass@n within 0.03 (section 3.2.4): -0.00392 [-0.00703, -0.000818], 5 seeds:
      shows
    1 - (1 - mean p)^4 is above best of 4 (section 3.2.4): +0.0702 [+0.0502, +0.0902], 5 seeds:
      shows
    mean 1 - (1 - p)^4, p from 4 samples, is below best of 4 (section 3.2.4): +0.0912 [+0.0597,
      +0.123], 5 seeds: shows
    1 wrong verdict in 5: as its law within 0.03 (section 3.2.4): -0.0051 [-0.00814, -0.00207], 5
      seeds: shows
    wrong by text, n = 32: below that law (section 3.2.4): +0.0121 [-0.00333, +0.0275], 5 seeds: too
      small to tell; 0.035 could have been seen
    16 samples: a verifier with 1 wrong verdict in 5 > a vote (section 3.2.4): +0.0881 [+0.0584,
      +0.118], 5 seeds: shows
    one refinement > its draft (section 3.2.3): -0.0542 [-0.0942, -0.0141], 5 seeds: shows the
      opposite
    one refinement > best of 2, by own probability (section 3.2.3): -0.189 [-0.236, -0.143], 5
      seeds: shows the opposite
    a vote of 4 > one refinement (section 3.2.3): +0.153 [+0.113, +0.193], 5 seeds: shows
    feedback of an oracle > own feedback (section 3.2.3): +0.0234 [-0.00473, +0.0516], 5 seeds: too
      small to tell; 0.048 could have been seen
    after 4 refinements as the two-state law within 0.05 (section 3.2.3): -0.0543 [-0.113,
      +0.00441], 5 seeds: too small to tell; 0.0088 could have been seen

Of samples that are right in 0.44 of all cases a vote of 32 makes 0.67 and an exact verifier 0.99.
Votes, pass@n and the erring verifier follow the laws of each question's own answers (0.004 to 0.005
off). The mean accuracy alone does not give them: the binomial law of the vote, made for two
answers, falls where the vote rises, since wrong answers differ among themselves; 1 - (1 - mean p)^4
is 0.07 too high, since questions differ, and p put in from four samples 0.09 too low. A verifier
with one wrong verdict in five stops gaining at its precision, 0.72, whether it errs by draw or by
text: that errors which stay with a text cost more is too small to tell.

Refinement does harm: this model breaks half of its right drafts and mends a quarter of the wrong
ones, and an oracle that names the wrong step does not change that by as much as could be told. At
equal tokens a vote of 4 is 0.15 better. Four refinements (0.44 to 0.32) end 0.05 off the two-state
law, too near to 0.05 to tell. A model that had read more revisions (480,000 to 720,000 tokens of
the mixture here) may refine better. Sizes: by seed 100.
"""

import sys
import time
from collections import Counter

import drawn_curves
import numpy as np
from half_learnt_sums import (
    CHAIN,
    RIVALS,
    best_of_2,
    best_of_2_judged,
    by_oracle,
    draft,
    question,
    refined,
    train,
    value_of,
    voted,
)
from small_runs import command_line

from tinylm.data.measure.proportions import mean_pass_at_k
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.ensemble.outputs import rerank, verified_law
from tinylm.prompt.ensemble.paths import sample_paths
from tinylm.prompt.ensemble.self_consistency import majority_law, vote_at_m
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.refine import RefinementChain
from tinylm.train.experiments.compare import Claim, mean_and_range

ASKED, SAMPLES = 64, 1024  # questions; samples of each, half of them for the laws
SIZES, N = (2, 4, 8, 16, 32), 16  # of groups; the one that claims are about
FEW = 4  # the one of the claims on pass@n: with 16 nearly all is right, by any law
ERROR = 0.2  # share of wrong verdicts
ITERATIONS, DRAWS = 4, 12  # refinements of a draft; drafts of a question
TOGETHER = 128  # questions that are answered at a time
# The rules, written before the run. Scores are shares of right answers, one a seed.
VOTE = Claim(f"a vote of {N} > one sample", "3.2.4", least=0.02, limit=1.0)
VOTE_LAW = Claim("votes are as their law within 0.03", "3.2.4", larger=False, least=-0.03)
PASS = Claim("best of n is as pass@n within 0.03", "3.2.4", larger=False, least=-0.03)
MEAN = Claim(f"1 - (1 - mean p)^{FEW} is above best of {FEW}", "3.2.4", least=0.02)
PLUG_IN = Claim(
    f"mean 1 - (1 - p)^{FEW}, p from {FEW} samples, is below best of {FEW}",
    "3.2.4",
    larger=False,
    least=0.02,
)
ERRS = Claim(
    "1 wrong verdict in 5: as its law within 0.03",
    "3.2.4",
    larger=False,
    least=-0.03,
)
BY_TEXT = Claim(
    f"wrong by text, n = {SIZES[-1]}: below that law", "3.2.4", larger=False, least=0.02
)
RATHER = Claim(
    f"{N} samples: a verifier with 1 wrong verdict in 5 > a vote",
    "3.2.4",
    least=0.02,
)
REFINED = Claim("one refinement > its draft", "3.2.3", least=0.02, limit=1.0)
BEST_2 = Claim(
    "one refinement > best of 2, by own probability",
    "3.2.3",
    least=0.02,
    limit=1.0,
)
EQUAL = Claim(f"a vote of {RIVALS} > one refinement", "3.2.3", least=0.02, limit=1.0)
ORACLE = Claim("feedback of an oracle > own feedback", "3.2.3", least=0.02, limit=1.0)
MARKOV = Claim(
    f"after {ITERATIONS} refinements as the two-state law within 0.05",
    "3.2.3",
    larger=False,
    least=-0.05,
)


# Votes and verifiers.


def measured(item, paths, n, rng):
    """Shares right over groups of n paths: of votes, and of the best by three verifiers."""
    wrong_texts = {}  # which texts of a group are misjudged

    # Three verifiers: a verdict is true (1) or false (0), and the first of the best is taken.
    def exact(path):
        return is_right(path.answer, item)

    def errs(path):
        wrong = rng.random() < ERROR  # a new draw for each path, also for equal texts
        return exact(path) != wrong

    def errs_by_text(path):
        # The second argument is drawn each time, and kept for the first of equal texts only.
        wrong = wrong_texts.setdefault(path.reply.text, rng.random() < ERROR)
        return exact(path) != wrong

    rows = []
    for i in range(0, len(paths) - n + 1, n):  # disjoint groups, so independent ones
        group = paths[i : i + n]
        wrong_texts.clear()  # each group has a verifier of its own
        answers = [path.answer for path in group]
        values = [vote(answers).value]
        for score in (exact, errs, errs_by_text):
            _, best = rerank(group, score)[0]
            values.append(best.answer)
        rows.append([is_right(value, item) for value in values])
    return np.mean(rows, axis=0)


def laws(item, paths, n):
    """What the law of each question promises: of a vote, and of a verifier that errs."""
    counts = Counter(path.answer for path in paths)
    p = counts[item.answer] / len(paths)
    # Shares put into the law of the vote would bias it; votes of some of the samples do not.
    by_vote = vote_at_m(counts, n).get(item.answer, 0.0)
    return by_vote, verified_law(p, n, ERROR, ERROR), p


def sampled(lm, items, seed, samples):
    """{size: {name: share right}} of votes, verifiers and their laws."""
    both = []
    for i, item in enumerate(items):
        paths = sample_paths(
            lm,
            item,
            count=samples,
            seed=seed + 10_000 * i,  # no seed of a sample twice
            extract=None,
            **CHAIN,
        )
        half = samples // 2  # the first half is judged, the rest gives the laws
        both.append((item, paths[:half], paths[half:]))
    rng, found = np.random.default_rng([seed, 2]), {}
    rights = [[is_right(path.answer, item) for path in rest] for item, _, rest in both]
    counts = [(len(right), sum(right)) for right in rights]
    # The plug-in law takes p from a few samples: 1 - (1 - p)^n is concave in p, so it is too low.
    few = np.array([np.mean(right[:FEW]) for right in rights])
    for n in SIZES:
        shares = [measured(item, paths, n, rng) for item, paths, _ in both]
        seen = np.mean(shares, axis=0)  # (4,)
        names = "vote", "exact verifier", "errs", "errs by text"
        found[n] = dict(zip(names, seen))
        by_question = [laws(item, rest, n) for item, _, rest in both]
        vote_is, errs_is, p = np.mean(by_question, axis=0)
        found[n] |= {"vote, law": vote_is, "pass@n": mean_pass_at_k(counts, n)}
        found[n] |= {"errs, law": errs_is, "vote, binomial": majority_law(p, n)}
        # One p for all questions hides that they differ: by the same concavity it is too high.
        found[n]["mean p alone"] = 1 - (1 - p) ** n
        found[n]["plug-in"] = np.mean(1 - (1 - few) ** n)
    judged = [[is_right(path.answer, item) for path in paths] for item, paths, _ in both]
    found["p"] = np.mean(judged)
    found["spread"] = np.std([np.mean(right) for right in rights])
    return found


# Refinement.


METHODS = {
    "a draft": draft,
    "one refinement": refined,
    "one refinement, oracle": by_oracle,
    "best of 2, own probability": best_of_2,
    "best of 2, own feedback": best_of_2_judged,
    f"a vote of {RIVALS}": voted,
}


def compared(lm, items, seed):
    """{method: (share right, tokens a question)}, and the course of refinement against its law."""
    found = {}
    for name, method in METHODS.items():
        records = answer_together(lm, method, items, seed=seed, at_once=TOGETHER)
        right = np.mean([r.right for r in records])
        tokens = np.mean([r.tokens for r in records])
        found[name] = right, tokens
    states = course(lm, items, seed)
    # The first refinement of half of the drafts gives a and b; the other half is the measured.
    half = len(items) // 2
    chain = RefinementChain.measured(states[:2, :half])
    measured = states[:, half:].mean(axis=1)  # (iterations + 1,)
    start = measured[0]
    found["course"] = measured
    # p_t = p* + (p_0 - p*) (1 - a - b)^t, from the p_0 of the measured half.
    found["law"] = chain.curve(start, ITERATIONS)
    found["chain"] = chain.fix, chain.harm, chain.limit(start)
    return found


def course(lm, items, seed):
    """Which drafts are right before refinement and after each: (iterations + 1, drafts) bool."""
    states = {}

    def method(lm, item, demonstrations=(), *, seed=0):
        answer = refined(lm, item, seed=seed, iterations=ITERATIONS)
        right = [bool(is_right(value_of(text or ""), item)) for text in answer.details["drafts"]]
        # A course that ended early with an empty reply stays wrong.
        states[seed] = right + [False] * (ITERATIONS + 1 - len(right))
        return answer

    answer_together(lm, method, items, seed=seed, at_once=TOGETHER)
    return np.array([states[one] for one in sorted(states)]).T  # seeds rise with the items


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""

    def cell(values, width=20):
        return f"{mean_and_range(values, '.2f'):>{width}}"

    ps = [r["sampled"]["p"] for r in runs]
    spreads = [r["sampled"]["spread"] for r in runs]
    print(f"rounds of the mixture: {', '.join(str(r['rounds']) for r in runs)}")
    print(f"one sample is right: {mean_and_range(ps, '.2f')}; between questions")
    print(f"    the standard deviation is {mean_and_range(spreads, '.2f')}")
    for title, names in {
        "votes": ("vote", "vote, law", "vote, binomial"),
        "an exact verifier": ("exact verifier", "pass@n", "mean p alone", "plug-in"),
        "1 verdict in 5 is wrong": ("errs", "errs, law", "errs by text"),
    }.items():
        print(f"{title}: right")
        print(f"    {'n':>4}" + "".join(f"{name:>20}" for name in names))
        for n in SIZES:
            cells = [cell([r["sampled"][n][name] for r in runs]) for name in names]
            print(f"    {n:>4}" + "".join(cells))
    print(f"refinement: right{'':>32}tokens a question")
    for name in METHODS:
        right, tokens = np.transpose([r["compared"][name] for r in runs])
        print(f"    {name:<28}{cell(right)}{tokens.mean():>12.0f}")
    print("after t refinements: right, and the law")
    courses, law = (np.array([r["compared"][k] for r in runs]) for k in ("course", "law"))
    for t in range(ITERATIONS + 1):
        print(f"    {t:>4}{cell(courses[:, t])}{cell(law[:, t])}")
    fix, harm, limit = np.transpose([r["compared"]["chain"] for r in runs])
    print(f"    fixed {mean_and_range(fix, '.2f')}, broken {mean_and_range(harm, '.2f')}")
    print(f"    limit {mean_and_range(limit, '.2f')}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def at(n, name):
        return np.array([r["sampled"][n][name] for r in runs])

    def off(name, law):
        # Absolute, so that errors of opposite signs at two sizes do not cancel.
        errors = [np.abs(at(n, name) - at(n, law)) for n in SIZES]
        return np.mean(errors, axis=0)  # (seeds,)

    def of(name):
        return [r["compared"][name][0] for r in runs]

    last = SIZES[-1]
    print(VOTE.line(at(N, "vote"), [r["sampled"]["p"] for r in runs]))
    print(VOTE_LAW.line(off("vote", "vote, law"), 0.0))
    print(PASS.line(off("exact verifier", "pass@n"), 0.0))
    print(MEAN.line(at(FEW, "mean p alone"), at(FEW, "exact verifier")))
    print(PLUG_IN.line(at(FEW, "plug-in"), at(FEW, "exact verifier")))
    print(ERRS.line(off("errs", "errs, law"), 0.0))
    print(BY_TEXT.line(at(last, "errs by text"), at(last, "errs, law")))
    print(RATHER.line(at(N, "errs"), at(N, "vote")))
    print(REFINED.line(of("one refinement"), of("a draft")))
    print(BEST_2.line(of("one refinement"), of("best of 2, own probability")))
    print(EQUAL.line(of(f"a vote of {RIVALS}"), of("one refinement")))
    print(ORACLE.line(of("one refinement, oracle"), of("one refinement")))
    results = [r["compared"] for r in runs]
    ends = [abs(one["course"][-1] - one["law"][-1]) for one in results]
    print(MARKOV.line(ends, 0.0))


def run(seed, share, device):
    """All measurements of one seed."""
    lm, rounds = train(seed, device)
    rng = np.random.default_rng([seed, 1])
    count = max(10, round(ASKED * share))
    items = [question(rng) for _ in range(count)]
    found = {"rounds": rounds}
    samples = max(64, int(SAMPLES * share))  # half of 64 is one group of the largest size
    found["sampled"] = sampled(lm, items, seed, samples)
    print(f"seed {seed}: sampled, p = {found['sampled']['p']:.2f}", file=sys.stderr)
    found["compared"] = compared(lm, items * DRAWS, seed)
    return found


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    args, seeds = command_line(argv, __doc__, "two seeds, a quarter of the questions", plot=True)
    began = time.process_time()
    share = 0.25 if args.quick else 1.0
    runs = [run(seed, share, args.device) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)
    drawn_curves.samples(args.plot, runs)


if __name__ == "__main__":
    main()
