"""Several models, prompts or samples against one prompt that may read as many tokens.

Book section 3.2.4 (eqs. 3.6 to 3.9, Fig. 3.2). The models of noisy_rules.py read demonstrations of
a rule, a third of which are wrong, and give the number of a letter; three members have each read
1,200,000 tokens of one world. A number is a token and has five rivals, the numbers of other rules,
so every distribution is known exactly, and Bayes' rule gives the best answer that there can be. (1)
Five ways to make three prompts differ: accuracy of one, of the vote (3.6), of the sum of logarithms
(3.7) and of the mean of probabilities (3.8), and how much errors go together. (2) Votes of prompts
with independent demonstrations against their laws. (3) Three models; two against one that has read
as much as both. (4) The prompt as a hidden variable: all 20 choices of three from six
demonstrations, and some of them drawn. (5) The answer of least risk. (6) Weights of votes. (7) The
spread of a grid of models, prompts and samples, and pass@n. Five seeds, about 14 minutes on one
core. `python scripts/3_prompting/ensembles.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is
two seeds, a tenth of the tokens and 20 questions. Read next: prompt/ensemble/voters.py,
prompt_variants.py for wordings of a published model.

Measured output (one core of a busy machine):

    (1) right                        one                vote                 sum                mean
        other demonstrations; errors correlate by 0.01 (-0.04 .. 0.08)
                   0.77 (0.75 .. 0.77) 0.90 (0.89 .. 0.91) 0.96 (0.95 .. 0.97) 0.96 (0.94 .. 0.97)
        written by the model; errors correlate by 0.65 (0.59 .. 0.69)
                   0.72 (0.68 .. 0.76) 0.75 (0.70 .. 0.79) 0.75 (0.70 .. 0.79) 0.75 (0.71 .. 0.79)
        other orders; errors correlate by 0.94 (0.92 .. 0.98)
                   0.76 (0.72 .. 0.80) 0.76 (0.71 .. 0.81) 0.76 (0.71 .. 0.81) 0.76 (0.71 .. 0.81)
        other words; errors correlate by 0.93 (0.90 .. 0.96)
                   0.75 (0.71 .. 0.80) 0.75 (0.71 .. 0.80) 0.75 (0.71 .. 0.80) 0.75 (0.71 .. 0.80)
        another language; errors correlate by 0.84 (0.82 .. 0.86)
                   0.75 (0.68 .. 0.78) 0.75 (0.67 .. 0.79) 0.75 (0.67 .. 0.77) 0.75 (0.68 .. 0.77)
        one prompt with nine      0.97 (0.96 .. 0.97)
        a vote of 3 samples       0.55 (0.54 .. 0.56)
        Bayes' rule, three        0.78 (0.75 .. 0.81)
        Bayes' rule, nine         0.98 (0.97 .. 0.99)
        token by token as (3.7)   1.00 (1.00 .. 1.00)
    (2) votes of n              vote              its law         binomial law
           3  0.90 (0.87 .. 0.93)  0.91 (0.89 .. 0.92)  0.87 (0.87 .. 0.88)
           5  0.96 (0.95 .. 0.99)  0.97 (0.96 .. 0.98)  0.92 (0.92 .. 0.93)
    (3) right
        one of three models         0.75 (0.71 .. 0.79)
        their vote                  0.76 (0.71 .. 0.80)
        sum of logarithms           0.76 (0.71 .. 0.80)
        mean of probabilities       0.76 (0.71 .. 0.80)
        errors correlate by         0.77 (0.70 .. 0.84)
        mean of two models          0.76 (0.71 .. 0.79)
        one of twice the training   0.75 (0.71 .. 0.80)
    (4) prompts drawn         right                 error                  law
           1  0.79 (0.76 .. 0.82)  0.0764 (0.0730 .. 0.0834)  0.0765 (0.0727 .. 0.0824)
           4  0.89 (0.87 .. 0.91)  0.0382 (0.0355 .. 0.0416)  0.0383 (0.0364 .. 0.0412)
          16  0.92 (0.91 .. 0.94)  0.0192 (0.0180 .. 0.0204)  0.0191 (0.0182 .. 0.0206)
          64  0.93 (0.91 .. 0.95)  0.0095 (0.0091 .. 0.0103)  0.0096 (0.0091 .. 0.0103)
        all 20                    0.93 (0.89 .. 0.95)
        one                       0.79 (0.77 .. 0.81)
        one prompt with six       0.92 (0.91 .. 0.95)
    (5) 16 samples        mean |error|      root mean square           right
        one sample    18.4 (15.9 .. 20.5)  28.5 (26.1 .. 31.4)  0.37 (0.33 .. 0.42)
        mode           10.3 (9.3 .. 13.0)  20.5 (18.3 .. 25.1)  0.61 (0.58 .. 0.65)
        absolute       10.8 (9.5 .. 13.3)  19.3 (17.0 .. 23.2)  0.52 (0.49 .. 0.56)
        squared       13.8 (12.6 .. 14.7)  20.0 (17.9 .. 21.2)  0.30 (0.26 .. 0.33)
    (6) votes of 1, 1, 1 and 5 demonstrations: right
        equal                     0.88 (0.84 .. 0.92)
        weighted                  0.91 (0.88 .. 0.95)
        best alone                0.87 (0.85 .. 0.92)
    (7) variances of a right answer, and votes of three
        models        0.001 (-0.000 .. 0.003)
        prompts        0.036 (0.027 .. 0.040)
        both          0.000 (-0.001 .. 0.002)
        samples        0.211 (0.208 .. 0.218)
        exact          0.211 (0.209 .. 0.213)
        a vote: one               0.44 (0.42 .. 0.47)
        a vote: models            0.53 (0.50 .. 0.59)
        a vote: prompts           0.53 (0.52 .. 0.54)
        a vote: samples           0.52 (0.49 .. 0.55)
        a vote: all 27            0.89 (0.85 .. 0.93)
        pass@4, exact             0.83 (0.82 .. 0.85)
        pass@4, estimate          0.84 (0.82 .. 0.85)
        pass@4, plug-in           0.74 (0.73 .. 0.76)
    5 seeds; 814 s of one core
    (1) a vote over other demonstrations > one prompt (section 3.2.4): +0.134 [+0.12, +0.148], 5
      seeds: shows
    (1) that vote > a vote of three samples (section 3.2.4): +0.353 [+0.334, +0.373], 5 seeds: shows
    (1) one prompt with all nine > that vote (section 3.2.4): +0.0653 [+0.0545, +0.0761], 5 seeds:
      shows
    (1) sum of logarithms > vote, other demonstrations (section 3.2.4): +0.0613 [+0.0434, +0.0793],
      5 seeds: shows
    (1) mean of probabilities > vote, same prompts (section 3.2.4): +0.056 [+0.0369, +0.0751], 5
      seeds: shows
    (1) their errors correlate less than over written by the model (section 3.2.4): +0.637 [+0.57,
      +0.703], 5 seeds: shows
    (1) their errors correlate less than over other orders (section 3.2.4): +0.929 [+0.849, +1.01],
      5 seeds: shows
    (1) their errors correlate less than over other words (section 3.2.4): +0.921 [+0.863, +0.979],
      5 seeds: shows
    (1) their errors correlate less than over another language (section 3.2.4): +0.832 [+0.773,
      +0.89], 5 seeds: shows
        over all of these: shows
    (1) a vote over other orders gains at most 0.03 (section 3.2.4): -0.00222 [-0.00952, +0.00508],
      5 seeds: shows
    (1) a vote over other words gains at most 0.03 (section 3.2.4): +0.000889 [-0.00657, +0.00834],
      5 seeds: shows
    (1) a vote over another language gains at most 0.03 (section 3.2.4): -0.000889 [-0.0141,
      +0.0123], 5 seeds: shows
    (2) votes are as their law within 0.03 (section 3.2.4): -0.0149 [-0.0214, -0.00844], 5 seeds:
      shows
    (2) the binomial law of the mean is below votes (section 3.2.4): +0.0335 [+0.0141, +0.053], 5
      seeds: too small to tell; 0.039 could have been seen
    (3) mean of three models > one of them (section 3.2.4): +0.004 [-0.00198, +0.00998], 5 seeds:
      too small to tell; 0.026 could have been seen
    (3) mean of three models > their vote (section 3.2.4): +1.11e-16 [-0.00585, +0.00585], 5 seeds:
      too small to tell; 0.0059 could have been seen
    (3) one model of twice the training > mean of two (section 3.2.4): -0.00533 [-0.0275, +0.0169],
      5 seeds: too small to tell; 0.042 could have been seen
    (4) the sum over 20 prompts > one of them (section 3.2.4): +0.134 [+0.107, +0.16], 5 seeds:
      shows
    (4) one prompt with all six > that sum (section 3.2.4): -0.004 [-0.0266, +0.0186], 5 seeds: too
      small to tell; 0.033 could have been seen
    (4) its estimate errs as N^-0.5 within 0.05 (section 3.2.4): -0.00213 [-0.00362, -0.000644], 5
      seeds: shows
    (5) least absolute risk errs less, in numbers, than the mode (section 3.2.4): -0.531 [-1.21,
      +0.149], 5 seeds: too small to tell; 0.68 could have been seen
    (5) ... than one sample (section 3.2.4): +7.6 [+4.6, +10.6], 5 seeds: shows
    (5) the mode is right more often than the least risk (section 3.2.4): +0.0947 [+0.0635, +0.126],
      5 seeds: shows
    (6) votes weighted by log-odds > equal ones (section 3.2.4): +0.0347 [-0.00345, +0.0728], 5
      seeds: too small to tell; 0.058 could have been seen
    (7) prompts make more of the spread than models (section 3.2.4): +0.0348 [+0.0286, +0.041], 5
      seeds: shows
    (7) spread of samples: p (1 - p) within 0.01 (section 3.2.4): -0.00218 [-0.0044, +3.75e-05], 5
      seeds: shows
    (7) pass@4 by its estimate is the exact one within 0.02 (section 3.2.4): -0.00444 [-0.00872,
      -0.000162], 5 seeds: shows
    (7) the plug-in 1 - (1 - c/4)^4 is below the exact one (section 3.2.4): +0.0903 [+0.0871,
      +0.0936], 5 seeds: shows

Prompts gain by other evidence alone. Over other demonstrations, a third of which are wrong, errors
hardly correlate, and a vote makes 0.90 of 0.77; over the others, other orders, wordings, a language
whose tables are learnt apart and demonstrations that the model writes, they correlate by 0.6 or
more, and a vote gains at most 0.03. One prompt with all nine demonstrations beats the vote (0.96),
and so do the sum of logarithms and the mean of probabilities; Bayes' rule on these has 0.98, so
little of what is missing is the model's. The vote follows the law of each question's own answers;
the binomial law of the mean accuracy is 0.03 too low, as wrong answers differ, by too little to
tell.

Members that have learnt the task well err together (0.77), and three of them gain nothing over one
(0.004). The sum over all 20 prompts beats one of them by 0.13; its estimate follows N^-0.5, and
four draws make 0.89 of its 0.93. The least absolute risk errs less than a sample, but is less often
right than the mode, as it takes what lies between; that it errs less in numbers than the mode is
too small to tell, as are weights of votes. Of the spread of right answers the prompts make 0.036,
the models 0.001 and sampling 0.211. pass@4 by its estimate is exact, the plug-in 0.09 too low.

Two earlier runs on seeds 0 to 4 read 450,000 and 600,000 tokens a member. The first member of one
or two seeds had learnt next to nothing (0.15 to 0.2, a guess has 0.17), which widened every
interval. There three models, whose errors correlated by 0.3 to 0.4, beat one of them by 0.12 to
0.14: models help each other while each has learnt something else.
"""

import sys
import time

import numpy as np
from noisy_rules import question, read_more, tables, train
from small_runs import command_line
from votes_and_risks import (
    DEMOS,
    DRAWS,
    FEW,
    LANGUAGE,
    ORDERS,
    SHOWN,
    SIZES,
    WAYS,
    WORDS,
    K,
    combined,
    grid,
    laws,
    logs_of,
    marginal,
    passes,
    risks,
    rules,
    shown,
    ways,
    weighted,
)

from tinylm.train.experiments.compare import Claim, mean_and_range, slopes, weakest

TOKENS, ASKED = 1_200_000, 150  # of the training of a member; questions
# The rules, written before the run. Scores are shares of right answers unless it is said, one a
# seed; both sides of a claim have the same questions.
VOTE = Claim("(1) a vote over other demonstrations > one prompt", "3.2.4", least=0.02, limit=1.0)
SAMPLED = Claim("(1) that vote > a vote of three samples", "3.2.4", least=0.02, limit=1.0)
LONG = Claim("(1) one prompt with all nine > that vote", "3.2.4", least=0.01, limit=1.0)
SUM = Claim("(1) sum of logarithms > vote, other demonstrations", "3.2.4", least=0.01, limit=1.0)
MIXED = Claim("(1) mean of probabilities > vote, same prompts", "3.2.4", least=0.01, limit=1.0)
APART = Claim("(1) their errors correlate less than over {}", "3.2.4", larger=False, least=0.1)
SAME = Claim("(1) a vote over {} gains at most 0.03", "3.2.4", larger=False, least=-0.03)
LAW = Claim("(2) votes are as their law within 0.03", "3.2.4", larger=False, least=-0.03)
BINOMIAL = Claim(
    "(2) the binomial law of the mean is below votes", "3.2.4", larger=False, least=0.02
)
MODELS = Claim("(3) mean of three models > one of them", "3.2.4", least=0.02, limit=1.0)
MODELS_VOTE = Claim("(3) mean of three models > their vote", "3.2.4", limit=1.0)
TWICE = Claim("(3) one model of twice the training > mean of two", "3.2.4", least=0.02, limit=1.0)
MARGINAL = Claim("(4) the sum over 20 prompts > one of them", "3.2.4", least=0.02, limit=1.0)
SIX = Claim("(4) one prompt with all six > that sum", "3.2.4", least=0.01, limit=1.0)
SLOPE = Claim("(4) its estimate errs as N^-0.5 within 0.05", "3.2.4", larger=False, least=-0.05)
RISK = Claim("(5) least absolute risk errs less, in numbers, than the mode", "3.2.4", larger=False)
ONE = Claim("(5) ... than one sample", "3.2.4", larger=False, least=1.0)
MODE = Claim("(5) the mode is right more often than the least risk", "3.2.4", limit=1.0)
WEIGHTS = Claim("(6) votes weighted by log-odds > equal ones", "3.2.4", least=0.02, limit=1.0)
PROMPTS = Claim("(7) prompts make more of the spread than models", "3.2.4", least=0.01)
WITHIN = Claim("(7) spread of samples: p (1 - p) within 0.01", "3.2.4", larger=False, least=-0.01)
PASS = Claim(
    "(7) pass@4 by its estimate is the exact one within 0.02", "3.2.4", larger=False, least=-0.02
)
PLUG = Claim(
    "(7) the plug-in 1 - (1 - c/4)^4 is below the exact one", "3.2.4", larger=False, least=0.02
)


def run(seed, tokens, count, device):
    """All measurements of one seed."""
    world, rng = tables(seed), np.random.default_rng([seed, 1])
    members = []
    for member in range(K):
        lm, model = train(world, tokens, seed, member, device)
        members.append(lm)
        print(f"seed {seed}: member {member} trained", file=sys.stderr, flush=True)
    asked = [question(world, rng) for _ in range(count)]
    first = members[0]
    found = {"ways": ways(first, world, asked, seed), "laws": laws(first, world, asked, rng)}
    found["marginal"] = marginal(first, asked[: 2 * count // 3], rng)
    found["risks"], found["weights"] = risks(first, asked, seed), weighted(first, asked)
    found["pass"], found["grid"] = passes(first, asked, seed), grid(members, asked, seed)
    logs = np.concatenate([logs_of(lm, asked, shown(asked, 0, SHOWN)) for lm in members], 1)
    found["models"] = combined(asked, logs)
    found["two"] = combined(asked, logs[:, 1:])
    # The last member goes on, to as many tokens as the last two have read together.
    read_more(lm, model, world, tokens, seed, K)
    twice = logs_of(lm, asked, shown(asked, 0, SHOWN))[:, 0]
    found["twice"] = {"one": np.mean(twice.argmax(-1) == rules(asked))}
    print(f"seed {seed}: measured", file=sys.stderr, flush=True)
    return found


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""

    def cell(part, *names):
        name = names
        if len(names) == 1:
            (name,) = names
        return f"{mean_and_range([r[part][name] for r in runs], '.2f'):>21}"

    names = "one", "vote", "sum", "mean"
    print("(1) right       " + "".join(f"{name:>20}" for name in names))
    for way in WAYS:
        print(f"    {way}; errors correlate by {cell('ways', way, 'correlation').strip()}")
        print(" " * 14 + "".join(cell("ways", way, name)[1:] for name in names))
    for name, what in {
        ("nine",): "one prompt with nine",
        ("3 samples",): "a vote of 3 samples",
        ("bayes", SHOWN): "Bayes' rule, three",
        ("bayes", K * SHOWN): "Bayes' rule, nine",
        ("token by token",): "token by token as (3.7)",
    }.items():
        print(f"    {what:<24}{cell('ways', *name)}")
    print(f"(2) votes of n{'vote':>18}{'its law':>21}{'binomial law':>21}")
    for n in SIZES:
        cells = [cell("laws", name, n) for name in ("vote", "law", "binomial")]
        print(f"    {n:>4}{''.join(cells)}")
    print("(3) right")
    for part, name, what in (
        ("models", "one", "one of three models"),
        ("models", "vote", "their vote"),
        ("models", "sum", "sum of logarithms"),
        ("models", "mean", "mean of probabilities"),
        ("models", "correlation", "errors correlate by"),
        ("two", "mean", "mean of two models"),
        ("twice", "one", "one of twice the training"),
    ):
        print(f"    {what:<26}{cell(part, name)}")
    print(f"(4) prompts drawn{'right':>14}{'error':>22}{'law':>21}")
    for n in DRAWS:
        rows = [[r["marginal"][name, n] for r in runs] for name in ("error", "law")]
        cells = [f"{mean_and_range(row, '.4f'):>27}" for row in rows]
        print(f"    {n:>4}{cell('marginal', 'drawn', n)}{''.join(cells)}")
    for name, what in (("exact", "all 20"), ("one", "one"), ("six", "one prompt with six")):
        print(f"    {what:<24}{cell('marginal', name)}")
    print(f"(5) 16 samples{'mean |error|':>20}{'root mean square':>22}{'right':>16}")
    for name in ("one sample", "mode", "absolute", "squared"):
        rows = [[r["risks"][kind, name] for r in runs] for kind in ("off", "rms")]
        cells = [f"{mean_and_range(row, '.1f'):>21}" for row in rows]
        print(f"    {name:<12}{''.join(cells)}{cell('risks', 'right', name)}")
    print("(6) votes of 1, 1, 1 and 5 demonstrations: right")
    for name in ("equal", "weighted", "best alone"):
        print(f"    {name:<24}{cell('weights', name)}")
    print("(7) variances of a right answer, and votes of three")
    for name in ("models", "prompts", "both", "samples", "exact"):
        values = [r["grid"][name] for r in runs]
        print(f"    {name:<12}{mean_and_range(values, '.3f'):>25}")
    for name in ("one", "models", "prompts", "samples", "all 27"):
        print(f"    a vote: {name:<16}{cell('grid', 'vote', name)}")
    for name in ("exact", "estimate", "plug-in"):
        print(f"    pass@{FEW}, {name:<16}{cell('pass', name)}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(part, *names):
        name = names
        if len(names) == 1:
            (name,) = names
        return np.array([r[part][name] for r in runs])

    def way(name, what):
        return of("ways", name, what)

    print(VOTE.line(way(DEMOS, "vote"), way(DEMOS, "one")))
    print(SAMPLED.line(way(DEMOS, "vote"), of("ways", "3 samples")))
    print(LONG.line(of("ways", "nine"), way(DEMOS, "vote")))
    print(SUM.line(way(DEMOS, "sum"), way(DEMOS, "vote")))
    print(MIXED.line(way(DEMOS, "mean"), way(DEMOS, "vote")))
    apart = way(DEMOS, "correlation")
    found = {name: APART.judge(apart, way(name, "correlation")) for name in WAYS[1:]}
    for name, verdict in found.items():
        print(f"{APART.text.format(name)} (section 3.2.4): {verdict}")
    print(f"    over all of these: {weakest(found.values()).word}")
    for name in (ORDERS, WORDS, LANGUAGE):
        gains = SAME.judge(way(name, "vote"), way(name, "one"))
        print(f"{SAME.text.format(name)} (section 3.2.4): {gains}")
    for claim, law in ((LAW, "law"), (BINOMIAL, "binomial")):
        votes, laws = (np.array([of("laws", name, n) for n in SIZES]) for name in ("vote", law))
        if claim is LAW:
            # Absolute, so that errors of opposite signs at two sizes do not cancel.
            print(claim.line(np.abs(votes - laws).mean(0), 0.0))
        else:
            print(claim.line(laws.mean(0), votes.mean(0)))
    print(MODELS.line(of("models", "mean"), of("models", "one")))
    print(MODELS_VOTE.line(of("models", "mean"), of("models", "vote")))
    print(TWICE.line(of("twice", "one"), of("two", "mean")))
    print(MARGINAL.line(of("marginal", "exact"), of("marginal", "one")))
    print(SIX.line(of("marginal", "six"), of("marginal", "exact")))
    errors = np.log([of("marginal", "error", n) for n in DRAWS]).T
    print(SLOPE.line(np.abs(slopes(np.log(DRAWS), errors) + 0.5), 0.0))
    print(RISK.line(of("risks", "off", "absolute"), of("risks", "off", "mode")))
    print(ONE.line(of("risks", "off", "absolute"), of("risks", "off", "one sample")))
    print(MODE.line(of("risks", "right", "mode"), of("risks", "right", "absolute")))
    print(WEIGHTS.line(of("weights", "weighted"), of("weights", "equal")))
    print(PROMPTS.line(of("grid", "prompts"), of("grid", "models")))
    print(WITHIN.line(np.abs(of("grid", "samples") - of("grid", "exact")), 0.0))
    print(PASS.line(np.abs(of("pass", "estimate") - of("pass", "exact")), 0.0))
    print(PLUG.line(of("pass", "plug-in"), of("pass", "exact")))


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    # Seeds 0 to 4 were those of earlier runs, see above.
    args, seeds = command_line(
        argv, __doc__, "two seeds, a tenth of the tokens, 20 questions", first=5
    )
    began = time.process_time()
    tokens, count = TOKENS, ASKED
    if args.quick:
        tokens, count = TOKENS // 10, 20
    runs = [run(seed, tokens, count, args.device) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
