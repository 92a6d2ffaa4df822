"""Several models, prompts or samples against one prompt that may read as many tokens.

Book section 3.2.4 (eqs. 3.6 to 3.9, Fig. 3.2). The models of noisy_rules.py read demonstrations of
a rule, a third of which are wrong, and give the number of a letter; three members have each read
1,200,000 tokens of one world. A number is a token and has five rivals, the numbers of other rules, so
every distribution is known exactly, and Bayes' rule gives the best answer that there can be. (1)
Five ways to make three prompts differ: accuracy of one, of the vote (3.6), of the sum of logarithms
(3.7) and of the mean of probabilities (3.8), and how much errors go together. (2) Votes of prompts
with independent demonstrations against their laws. (3) Three models; two against one that has read
as much as both. (4) The prompt as a hidden variable: all 20 choices of three from six
demonstrations, and some of them drawn. (5) The answer of least risk. (6) Weights of votes. (7) The
spread of a grid of models, prompts and samples, and pass@n. Five seeds, about 12 minutes on one
core. `python scripts/3_prompting/ensembles.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is
two seeds, a tenth of the tokens and 20 questions. Read next: prompt/ensemble/voters.py,
prompt_variants.py for wordings of a published model.

Measured output (one core):

    (1) right                        one                vote                 sum                mean
        other demonstrations; errors correlate by 0.22 (-0.07 .. 0.88)
                   0.58 (0.15 .. 0.73) 0.68 (0.15 .. 0.90) 0.75 (0.15 .. 0.96) 0.75 (0.15 .. 0.95)
        written by the model; errors correlate by 0.57 (0.43 .. 0.77)
                   0.53 (0.17 .. 0.68) 0.55 (0.16 .. 0.71) 0.59 (0.16 .. 0.74) 0.59 (0.16 .. 0.74)
        other orders; errors correlate by 0.94 (0.92 .. 0.96)
                   0.59 (0.15 .. 0.76) 0.59 (0.15 .. 0.76) 0.60 (0.15 .. 0.77) 0.60 (0.15 .. 0.77)
        other words; errors correlate by 0.91 (0.79 .. 0.99)
                   0.60 (0.15 .. 0.77) 0.60 (0.15 .. 0.78) 0.60 (0.15 .. 0.78) 0.60 (0.15 .. 0.78)
        another language; errors correlate by 0.49 (0.10 .. 0.66)
                   0.52 (0.15 .. 0.71) 0.50 (0.17 .. 0.67) 0.58 (0.17 .. 0.75) 0.58 (0.19 .. 0.73)
        one prompt with nine      0.76 (0.21 .. 0.93)
        a vote of 3 samples       0.38 (0.17 .. 0.46)
        Bayes' rule, three        0.79 (0.74 .. 0.85)
        Bayes' rule, nine         0.97 (0.97 .. 0.99)
        token by token as (3.7)   1.00 (1.00 .. 1.00)
    (2) votes of n              vote              its law         binomial law
           3  0.66 (0.14 .. 0.82)  0.67 (0.15 .. 0.85)  0.62 (0.06 .. 0.82)
           5  0.73 (0.15 .. 0.93)  0.74 (0.15 .. 0.93)  0.65 (0.03 .. 0.87)
    (3) right
        one of three models         0.56 (0.32 .. 0.78)
        their vote                  0.64 (0.36 .. 0.83)
        sum of logarithms           0.70 (0.51 .. 0.81)
        mean of probabilities       0.70 (0.49 .. 0.81)
        errors correlate by        0.28 (-0.01 .. 0.54)
        mean of two models          0.67 (0.47 .. 0.80)
        one of twice the training   0.61 (0.21 .. 0.82)
    (4) prompts drawn         right                 error                  law
           1  0.57 (0.16 .. 0.72)  0.0582 (0.0027 .. 0.0783)  0.0582 (0.0027 .. 0.0784)
           4  0.65 (0.16 .. 0.80)  0.0292 (0.0014 .. 0.0390)  0.0291 (0.0014 .. 0.0392)
          16  0.68 (0.16 .. 0.84)  0.0147 (0.0007 .. 0.0198)  0.0146 (0.0007 .. 0.0196)
          64  0.68 (0.16 .. 0.86)  0.0073 (0.0003 .. 0.0099)  0.0073 (0.0003 .. 0.0098)
        all 20                    0.69 (0.16 .. 0.86)
        one                       0.56 (0.15 .. 0.71)
        one prompt with six       0.71 (0.24 .. 0.88)
    (5) 16 samples        mean |error|      root mean square           right
        one sample    21.6 (18.2 .. 27.0)  30.6 (27.1 .. 34.9)  0.29 (0.15 .. 0.36)
        mode          16.4 (11.8 .. 25.2)  26.3 (22.1 .. 33.8)  0.45 (0.19 .. 0.55)
        absolute      15.0 (12.4 .. 20.9)  22.8 (20.4 .. 27.6)  0.37 (0.18 .. 0.49)
        squared       16.0 (13.8 .. 20.7)  22.0 (19.6 .. 26.5)  0.27 (0.18 .. 0.34)
    (6) votes of 1, 1, 1 and 5 demonstrations: right
        equal                     0.66 (0.15 .. 0.85)
        weighted                  0.70 (0.16 .. 0.88)
        best alone                0.67 (0.13 .. 0.84)
    (7) variance of a right answer between samples, and p (1 - p)
        samples        0.189 (0.160 .. 0.215)
        exact          0.186 (0.155 .. 0.210)
        pass@4, exact             0.72 (0.51 .. 0.80)
        pass@4, estimate          0.72 (0.51 .. 0.80)
        pass@4, plug-in           0.61 (0.39 .. 0.69)
    5 seeds; 326 s of one core
    (1) a vote over other demonstrations > one prompt (section 3.2.4): +0.104 [+0.0238, +0.185], 5
      seeds: shows
    (1) that vote > a vote of three samples (section 3.2.4): +0.303 [+0.0716, +0.535], 5 seeds:
      shows
    (1) one prompt with all nine > that vote (section 3.2.4): +0.0813 [+0.0362, +0.126], 5 seeds:
      shows
    (1) sum of logarithms > vote, other demonstrations (section 3.2.4): +0.0693 [+0.0161, +0.123], 5
      seeds: shows
    (1) mean of probabilities > vote, same prompts (section 3.2.4): +0.0653 [+0.0109, +0.12], 5
      seeds: shows
    (1) their errors correlate less than over written by the model (section 3.2.4): +0.348 [+0.0154,
      +0.681], 5 seeds: too small to tell; 0.43 could have been seen
    (1) their errors correlate less than over other orders (section 3.2.4): +0.723 [+0.24, +1.21], 5
      seeds: shows
    (1) their errors correlate less than over other words (section 3.2.4): +0.697 [+0.13, +1.26], 5
      seeds: shows
    (1) their errors correlate less than over another language (section 3.2.4): +0.273 [-0.478,
      +1.02], 5 seeds: too small to tell; 0.85 could have been seen
        over all of these: too small to tell
    (1) a vote over other orders gains at most 0.03 (section 3.2.4): -0.00133 [-0.00448, +0.00181],
      5 seeds: shows
    (1) a vote over other words gains at most 0.03 (section 3.2.4): -0.00222 [-0.00898, +0.00454], 5
      seeds: shows
    (1) a vote over another language gains at most 0.03 (section 3.2.4): +0.0271 [-0.00352,
      +0.0577], 5 seeds: shows
    (2) votes are as their law within 0.03 (section 3.2.4): -0.0146 [-0.0271, -0.00219], 5 seeds:
      shows
    (2) the binomial law of the mean is below votes (section 3.2.4): +0.0641 [+0.0246, +0.104], 5
      seeds: shows
    (3) mean of three models > one of them (section 3.2.4): +0.14 [+0.0437, +0.236], 5 seeds: shows
    (3) mean of three models > their vote (section 3.2.4): +0.0547 [-0.0114, +0.121], 5 seeds: too
      small to tell; 0.066 could have been seen
    (3) one model of twice the training > mean of two (section 3.2.4): -0.0547 [-0.418, +0.309], 5
      seeds: too small to tell; 0.38 could have been seen
    (4) the sum over 20 prompts > one of them (section 3.2.4): +0.126 [+0.0415, +0.211], 5 seeds:
      shows
    (4) one prompt with all six > that sum (section 3.2.4): +0.022 [-0.028, +0.072], 5 seeds: too
      small to tell; 0.06 could have been seen
    (4) its estimate errs as N^-0.5 within 0.05 (section 3.2.4): -0.0028 [-0.00568, +7.65e-05], 5
      seeds: shows
    (5) least absolute risk errs less, in numbers, than the mode (section 3.2.4): +1.36 [-1.6,
      +4.33], 5 seeds: too small to tell; 3 could have been seen
    (5) ... than one sample (section 3.2.4): +6.53 [+4.15, +8.9], 5 seeds: shows
    (5) the mode is right more often than the least risk (section 3.2.4): +0.08 [+0.0135, +0.146], 5
      seeds: shows
    (6) votes weighted by log-odds > equal ones (section 3.2.4): +0.04 [-0.00827, +0.0883], 5 seeds:
      too small to tell; 0.068 could have been seen
    (7) spread of samples: p (1 - p) within 0.01 (section 3.2.4): -0.00571 [-0.0089, -0.00251], 5
      seeds: shows
    (7) pass@4 by its estimate is the exact one within 0.02 (section 3.2.4): -0.00581 [-0.0108,
      -0.000796], 5 seeds: shows
    (7) the plug-in 1 - (1 - c/4)^4 is below the exact one (section 3.2.4): +0.116 [+0.105, +0.127],
      5 seeds: shows

The first member of one seed learnt next to nothing (0.15, a guess has 0.17), which widens every
interval. Prompts gain by other evidence alone. Over other demonstrations, a third of which are
wrong, errors correlate by 0.22, a vote makes 0.68 of 0.58 and sums 0.75; over other orders or
wordings of the same demonstrations they correlate by 0.9, and a vote gains nothing. Another
language, whose tables are learnt apart, and demonstrations that the model writes lie between. One
prompt with all nine demonstrations beats the vote (0.76), and the sum of logarithms nearly reaches
it; Bayes' rule on these has 0.97, so most of what is missing is the model's. The vote follows the
law of each question's own answers; the binomial law of the mean accuracy is 0.06 too low, as wrong
answers differ.

Three models make 0.70 of 0.56; whether that is more than their vote, or than one model with twice
the training, cannot be told: some members had not learnt. The sum over all 20 prompts beats one of
them by 0.13; its estimate follows N^-0.5, and four draws make 0.65 of its 0.69. The least absolute
risk errs less than a sample, but is less often right than the mode, as it takes what lies between;
that it errs less in numbers is too small to tell, as are weights of votes. pass@4 by its estimate
is exact, the plug-in 0.12 too low. The run drew samples of all models of the grid with the same
seeds, which is mended: its variances of models and prompts, its votes and the claim on them are
left out here.
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

from tinylm.train.compare import Claim, mean_and_range, slopes, weakest

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
    args, seeds = command_line(argv, __doc__, "two seeds, a tenth of the tokens, 20 questions")
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
