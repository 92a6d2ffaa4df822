"""What more samples, a verifier or a refinement make of a model that is right half of the time.

Book sections 3.2.3 (self-refinement) and 3.2.4 (self-consistency; predict, then verify). The model
of half_learnt_sums.py writes chains of two sums, "9+5-4 = > 9+5=14. 14-4=10. #### 10", and was
stopped while it still makes errors; it was also trained to give feedback on drafts and to revise
them. Everything is sampled at temperature 1. Of each question half of the samples are judged; the
other half estimates how probable its answers are, for the laws:

    a vote of n                  multinomial, from the answers' shares of each question
    best of n, exact verifier    pass@n = 1 - (1 - p)^n of each question, by the unbiased estimator
    best of n, 1 verdict in 5 is wrong: `verified_law` of each question
    accuracy after t refinements: two states, right and wrong, with a limit a / (a + b)

Five seeds, about 4 minutes on one core. `python scripts/3_prompting/samples_and_verifiers.py
[--seed N] [--device cpu|gpu] [--quick]`; --quick is two seeds and a quarter of the questions. Read
next: prompt/ensemble/outputs.py, prompt/refine/markov.py.

Measured output (one core of a busy machine):

    rounds of the mixture: 4, 5, 6, 4, 5
    one sample is right: 0.45 (0.43 .. 0.49); between questions
        the standard deviation is 0.18 (0.16 .. 0.22)
    votes: right
           n                vote           vote, law      vote, binomial
           2 0.47 (0.42 .. 0.51) 0.46 (0.43 .. 0.50) 0.45 (0.42 .. 0.49)
           4 0.54 (0.51 .. 0.59) 0.53 (0.50 .. 0.57) 0.42 (0.39 .. 0.48)
           8 0.60 (0.56 .. 0.64) 0.59 (0.56 .. 0.64) 0.39 (0.34 .. 0.47)
          16 0.65 (0.62 .. 0.70) 0.63 (0.60 .. 0.68) 0.34 (0.27 .. 0.46)
          32 0.67 (0.62 .. 0.70) 0.66 (0.63 .. 0.71) 0.28 (0.19 .. 0.44)
    an exact verifier: right
           n      exact verifier              pass@n        mean p alone             plug-in
           2 0.66 (0.64 .. 0.70) 0.66 (0.64 .. 0.71) 0.69 (0.67 .. 0.74) 0.64 (0.61 .. 0.71)
           4 0.84 (0.81 .. 0.87) 0.85 (0.83 .. 0.88) 0.91 (0.89 .. 0.93) 0.82 (0.79 .. 0.88)
           8 0.94 (0.92 .. 0.95) 0.95 (0.92 .. 0.97) 0.99 (0.99 .. 1.00) 0.92 (0.89 .. 0.97)
          16 0.98 (0.97 .. 0.99) 0.98 (0.96 .. 0.99) 1.00 (1.00 .. 1.00) 0.96 (0.92 .. 0.99)
          32 1.00 (0.99 .. 1.00) 0.99 (0.97 .. 1.00) 1.00 (1.00 .. 1.00) 0.97 (0.93 .. 1.00)
    1 verdict in 5 is wrong: right
           n                errs           errs, law        errs by text
           2 0.58 (0.56 .. 0.63) 0.58 (0.55 .. 0.62) 0.57 (0.53 .. 0.63)
           4 0.69 (0.67 .. 0.73) 0.68 (0.66 .. 0.72) 0.67 (0.64 .. 0.73)
           8 0.72 (0.69 .. 0.77) 0.72 (0.71 .. 0.76) 0.68 (0.62 .. 0.74)
          16 0.72 (0.70 .. 0.76) 0.73 (0.71 .. 0.76) 0.70 (0.66 .. 0.74)
          32 0.69 (0.61 .. 0.72) 0.73 (0.71 .. 0.76) 0.73 (0.67 .. 0.77)
    refinement: right                                tokens a question
        a draft                      0.46 (0.40 .. 0.55)          32
        one refinement               0.38 (0.30 .. 0.46)         127
        one refinement, oracle       0.42 (0.30 .. 0.49)          91
        best of 2, own probability   0.58 (0.50 .. 0.65)          63
        best of 2, own feedback      0.44 (0.39 .. 0.55)         134
        a vote of 4                  0.53 (0.49 .. 0.59)         126
    after t refinements: right, and the law
           0 0.46 (0.31 .. 0.58) 0.46 (0.31 .. 0.58)
           1 0.37 (0.31 .. 0.42) 0.39 (0.22 .. 0.53)
           2 0.36 (0.29 .. 0.42) 0.39 (0.20 .. 0.51)
           3 0.33 (0.27 .. 0.40) 0.38 (0.20 .. 0.49)
           4 0.36 (0.21 .. 0.50) 0.38 (0.20 .. 0.48)
        fixed 0.31 (0.16 .. 0.43), broken 0.53 (0.24 .. 0.65)
        limit 0.38 (0.20 .. 0.48)
    5 seeds; 216 s of one core
    a vote of 16 > one sample (section 3.2.4): +0.202 [+0.177, +0.228], 5 seeds: shows
    votes are as their law within 0.03 (section 3.2.4): -0.022 [-0.0322, -0.0117], 5 seeds: too
      small to tell; -0.02 could have been seen
    best of n is as pass@n within 0.03 (section 3.2.4): -0.00852 [-0.0119, -0.00511], 5 seeds: shows
    1 - (1 - mean p)^16 is above best of 16 (section 3.2.4): +0.0163 [+0.00525, +0.0274], 5 seeds:
      too small to tell; 0.031 could have been seen
    mean 1 - (1 - p)^16, p from 16 samples, is below best of 16 (section 3.2.4): +0.0275 [-0.00577,
      +0.0608], 5 seeds: too small to tell; 0.053 could have been seen
    1 wrong verdict in 5: as its law within 0.03 (section 3.2.4): -0.0169 [-0.0289, -0.00482], 5
      seeds: shows
    wrong by text, n = 32: below that law (section 3.2.4): -0.00625 [-0.0631, +0.0506], 5 seeds: too
      small to tell; 0.077 could have been seen
    16 samples: a verifier with 1 wrong verdict in 5 > a vote (section 3.2.4): +0.0672 [+0.034,
      +0.1], 5 seeds: shows
    one refinement > its draft (section 3.2.3): -0.0792 [-0.113, -0.0454], 5 seeds: shows the
      opposite
    one refinement > best of 2, by own probability (section 3.2.3): -0.202 [-0.276, -0.129], 5
      seeds: shows the opposite
    a vote of 4 > one refinement (section 3.2.3): +0.15 [+0.0556, +0.244], 5 seeds: shows
    feedback of an oracle > own feedback (section 3.2.3): +0.0354 [-0.0152, +0.086], 5 seeds: too
      small to tell; 0.071 could have been seen
    after 4 refinements as the two-state law within 0.05 (section 3.2.3): -0.169 [-0.247, -0.0902],
      5 seeds: shows the opposite

Of samples that are right in 0.45 of all cases a vote makes 0.67 and an exact verifier 1.00. Pass@n
and the erring verifier follow the laws of each question's own answers; votes are 0.022 off, just
too much for "within 0.03" to show. The binomial law of the mean accuracy, made for two answers,
falls where the vote rises: wrong answers differ among themselves. A verifier with one wrong verdict
in five stops gaining at its precision, about 0.7, whether it errs by draw or by text. Refinement
does harm: this model breaks half of its right drafts and mends a third of the wrong ones, also when
an oracle names the step, and its two-state limit, 0.38, lies below the first drafts. On the mean
the course is as the law (0.36 and 0.38), but a seed's rates come from 48 drafts, too few to predict
those of 48 others. At equal tokens a vote of 4 is 0.15 better. A model that had read more revisions
may refine better: this one read 480,000 to 720,000 tokens of the mixture. Sizes: by seed 100.
"""

import argparse
import sys
import time

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

from tinylm import backend
from tinylm.data.measure.proportions import mean_pass_at_k
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.ensemble.outputs import rerank, verified_law
from tinylm.prompt.ensemble.paths import sample_paths
from tinylm.prompt.ensemble.self_consistency import majority_law, vote_law
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.refine import RefinementChain
from tinylm.train.compare import ONLY_RUNS, Claim, mean_and_range

ASKED, SAMPLES = 32, 256  # questions; samples of each, half of them for the laws
SIZES, N = (2, 4, 8, 16, 32), 16  # of groups; the one that claims are about
ERROR = 0.2  # share of wrong verdicts
ITERATIONS, DRAWS = 4, 3  # refinements of a draft; drafts of a question
# The rules, written before the run. Scores are shares of right answers, one a seed.
VOTE = Claim(f"a vote of {N} > one sample", "3.2.4", least=0.02, limit=1.0)
VOTE_LAW = Claim("votes are as their law within 0.03", "3.2.4", larger=False, least=-0.03)
PASS = Claim("best of n is as pass@n within 0.03", "3.2.4", larger=False, least=-0.03)
MEAN = Claim(f"1 - (1 - mean p)^{N} is above best of {N}", "3.2.4", least=0.02)
PLUG_IN = Claim(
    f"mean 1 - (1 - p)^{N}, p from {N} samples, is below best of {N}",
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
    wrong_texts = {}  # whether a text is misjudged is drawn once

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
        answers = [path.answer for path in group]
        values = [vote(answers).value]
        for score in (exact, errs, errs_by_text):
            _, best = rerank(group, score)[0]
            values.append(best.answer)
        rows.append([is_right(value, item) for value in values])
    return np.mean(rows, axis=0)


def laws(item, paths, n):
    """What the law of each question promises: of a vote, and of a verifier that errs."""
    answers = [path.answer for path in paths]
    total = len(answers)
    shares = {answer: answers.count(answer) / total for answer in set(answers)}
    p = shares.get(item.answer, 0.0)  # 0 for an answer that no sample reached
    by_vote = vote_law(shares, n).get(item.answer, 0.0)
    return by_vote, verified_law(p, n, ERROR, ERROR), p


def sampled(lm, items, seed, samples):
    """{size: {name: share right}} of votes, verifiers and their laws."""
    both = []
    for i, item in enumerate(items):
        paths = sample_paths(
            lm,
            item,
            count=samples,
            seed=seed + 1000 * i,
            extract=None,
            **CHAIN,
        )
        half = samples // 2  # the first half is judged, the rest gives the laws
        both.append((item, paths[:half], paths[half:]))
    rng, found = np.random.default_rng([seed, 2]), {}
    rights = [[is_right(path.answer, item) for path in rest] for item, _, rest in both]
    counts = [(len(right), sum(right)) for right in rights]
    # The plug-in law takes p from N samples: 1 - (1 - p)^n is concave in p, so it is too low.
    few = np.array([np.mean(right[:N]) for right in rights])
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
        records = list(answer_items(lm, method, items, seed=seed))
        right = np.mean([r.right for r in records])
        tokens = np.mean([r.tokens for r in records])
        found[name] = right, tokens
    states = []
    for i, item in enumerate(items):
        answer = refined(lm, item, seed=seed + 1000 * i, iterations=ITERATIONS)
        drafts = answer.details["drafts"]
        right = [bool(is_right(value_of(text or ""), item)) for text in drafts]
        # A course that ended early with an empty reply stays wrong.
        missing = ITERATIONS + 1 - len(right)
        states.append(right + [False] * missing)
    states = np.array(states).T  # (iterations + 1, drafts)
    # The first refinement of half of the questions gives a and b; the other half is the measured.
    half = len(items) // 2
    chain = RefinementChain.measured(states[:2, :half])
    course = states[:, half:].mean(axis=1)  # (iterations + 1,)
    start = course[0]
    found["course"] = course
    # p_t = p* + (p_0 - p*) (1 - a - b)^t, from the p_0 of the measured half.
    found["law"] = chain.curve(start, ITERATIONS)
    found["chain"] = chain.fix, chain.harm, chain.limit(start)
    return found


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
    print(MEAN.line(at(N, "mean p alone"), at(N, "exact verifier")))
    print(PLUG_IN.line(at(N, "plug-in"), at(N, "exact verifier")))
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few questions")
    args = parser.parse_args(argv)
    backend.blas_threads(1)
    began = time.process_time()
    seeds = range(args.seed, args.seed + 5)
    share = 1.0
    if args.quick:
        seeds, share = seeds[:2], 0.25
        print(ONLY_RUNS)
    runs = [run(seed, share, args.device) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
