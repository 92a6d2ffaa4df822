"""Where a penalty on leaving the reference works: three estimators, in the loss or in the reward.

Book section 4.3.3, eqs. 4.51 to 4.56; Schulman 2020; pi* of eq. 4.79. With d = log pi - log pi_ref
of a sampled response, k1 = d, k2 = d^2 / 2 and k3 = exp(-d) - 1 + d estimate a divergence. Three
measurements, each from five seeds:

Exact: for random policies over six responses the expected gradient of each estimator in each place,
beside those of KL(pi || ref) and KL(ref || pi), and how much one sample of it varies.

Fixed points: for random rewards of four responses, and for the case of which pi* is .673 .161 .039
.126, what each algorithm converges to when all expectations are sums, beside pi*: groups of four,
or so large that mean and deviation are exact. With one token each GRPO, DAPO, GSPO and CISPO rest
in one place; told as 1, 2, 3 and 3 tokens, the same responses tell apart what a loss is a mean of.

Sampled: a transformer over 64 responses of three tokens is trained from its own reference on 64
samples a step, the penalty in each place, at one strength and learning rate. The divergence and the
objective E[r] - beta KL(pi || ref) are exact. "printed" is the penalty of eqs. 4.51-4.56, a sampled
log-ratio that is differentiated: on the policy's own responses, and on those of the reference,
weighed by the importance ratio, as the book has it.

Five seeds, about 2 minutes on one core. `python scripts/4_alignment/kl_estimators.py [--seed N]
[--device cpu|gpu] [--quick] [--plot FILE]`; --quick is two seeds and few steps. Read next:
exact_estimators.py, tinylm/align/policy/kl.py, tinylm/align/policy/fixed_points.py.

Measured output (one core of a busy machine):

    expected gradient of a sample: largest error of all seeds; variance, mean over seeds
        k1 in the loss                 0                   1e-16    0.73
        k2 in the loss                 KL(pi || ref)       2e-16    1.57
        k3 in the loss                 KL(ref || pi)       1e-16    1.81
        k3 times the ratio             KL(pi || ref)       2e-16    1.57
        k1 in the reward               KL(pi || ref)       2e-16    1.57
        the same, less its mean        KL(pi || ref)       4e-16    1.47
        k3 times the ratio, of others  KL(pi || ref)       2e-16
        printed, of the reference      -KL(ref || pi)      0e+00
    fixed points of the worked case; distance max |pi - pi*| there and in cases of the seeds
        pi*                           0.673 0.161 0.039 0.126   0.000   0.000 (0.000 .. 0.000)
        pi* of (G-1)/G r              0.617 0.196 0.062 0.125   0.056   0.061 (0.039 .. 0.085)
        A2C, k1 in the reward         0.673 0.161 0.039 0.126   0.000   0.000 (0.000 .. 0.000)
        PPO, k1 in the reward         0.673 0.161 0.039 0.126   0.000   0.000 (0.000 .. 0.000)
        RLOO, k1 in the reward        0.673 0.161 0.039 0.126   0.000   0.000 (0.000 .. 0.000)
        RLOO, k2 in the loss          0.673 0.161 0.039 0.126   0.000   0.000 (0.000 .. 0.000)
        Dr. GRPO, k2 in the loss      0.617 0.196 0.062 0.125   0.056   0.061 (0.039 .. 0.085)
        Dr. GRPO, k3 in the loss      0.601 0.197 0.088 0.114   0.072   0.140 (0.072 .. 0.333)
        GRPO, k3 in the loss          0.783 0.107 0.063 0.048   0.110   0.238 (0.036 .. 0.479)
        GRPO, k3, a large group       0.829 0.073 0.027 0.072   0.156   0.156 (0.051 .. 0.343)
    the same where the responses have 1, 2, 3 and 3 tokens, k3 of tokens in the loss
        GRPO, GSPO: of each response  0.781 0.068 0.065 0.086   0.108   0.199 (0.040 .. 0.343)
        DAPO, CISPO: of all tokens    0.780 0.084 0.061 0.075   0.107   0.200 (0.032 .. 0.353)
        DAPO, until rewards differ    0.808 0.074 0.056 0.062   0.135   0.209 (0.044 .. 0.355)
        DAPO, CISPO: of many groups   0.781 0.095 0.052 0.072   0.108   0.198 (0.020 .. 0.357)
        Dr. GRPO: a constant          0.587 0.190 0.078 0.144   0.086   0.125 (0.082 .. 0.242)
    trained on samples: mean (least .. most) over seeds
                                       reward KL(ref||pi)          KL(pi||ref)                     J
        pi*                              2.35        2.59  2.11 (1.32 .. 3.12)   1.30 (0.93 .. 1.78)
        no penalty                       2.37       20.79  4.59 (2.95 .. 5.89)  0.08 (-0.98 .. 1.43)
        printed                          2.46       16.94  4.84 (3.40 .. 5.74)  0.04 (-0.99 .. 1.43)
        k1 in the reward                 1.87        6.26  1.90 (0.36 .. 3.77)   0.92 (0.31 .. 1.66)
        k2 of responses                  1.87        6.66  1.94 (0.38 .. 3.94)   0.90 (0.26 .. 1.61)
        k2 of tokens                     1.92        3.91  2.03 (0.73 .. 3.45)   0.90 (0.32 .. 1.61)
        k3 of tokens                     1.70        1.92  1.78 (0.92 .. 2.95)   0.81 (0.32 .. 1.44)
        k3 of tokens, times the ratio    1.93        3.92  2.06 (0.73 .. 3.57)   0.90 (0.32 .. 1.61)
        no penalty, of the reference     0.83       23.76  4.34 (2.95 .. 7.29) -1.34 (-3.10 .. 1.43)
        printed, of the reference        0.89      207.34  3.34 (2.40 .. 4.78) -0.77 (-2.09 .. 1.43)
    5 seeds; 75 s of one core
    every identity of expected gradients holds to 1e-10 (section 4.3.3): +1e-10 [+1e-10,
      +1e-10], 5 seeds: shows
    penalty in the reward (A2C, RLOO, PPO): pi* to 1e-6 (section 4.4.2, eq. 4.79): +9.99e-07
      [+9.98e-07, +9.99e-07], 5 seeds: shows
    GRPO in groups of 4: more than 0.02 away from pi* (section 4.4.2): +0.238 [+0.0342, +0.441],
      5 seeds: shows
    k1 in the reward: a higher objective than without a penalty (section 4.3.3): +0.843
      [+0.0189, +1.67], 5 seeds: shows
    k2 of responses in the loss: a higher objective than without a penalty (section 4.3.3):
      +0.818 [-0.0122, +1.65], 5 seeds: too small to tell; 0.83 could have been seen
    printed penalty, own responses: KL(pi || ref) at least 0.95 of that without a penalty
      (section 4.3.3, eq. 4.56): +0.0735 [-0.148, +0.295], 5 seeds: too small to tell; 0.17
      could have been seen
    printed penalty, responses of the reference: KL(ref || pi) more than doubled by it (section
      4.3.3, eq. 4.56): +2.19 [+1.97, +2.4], 5 seeds: shows
    k3 of tokens in the loss: a lower objective than k1 in the reward (section 4.3.3): +0.111
      [-0.0349, +0.257], 5 seeds: too small to tell; 0.15 could have been seen
    k2 of tokens: a lower objective than k2 of responses (section 4.3.3): -0.00225 [-0.0462,
      +0.0417], 5 seeds: too small to tell; 0.044 could have been seen

The identities hold to rounding. On the policy's own samples k2 in the loss, k3 times the ratio and
k1 in the reward have one and the same gradient, d times d log pi, sample by sample; what varies
less is the same less its mean. With the penalty in the reward A2C, RLOO and PPO reach pi*; GRPO
rests elsewhere, and how far depends on the rewards. In one token DAPO, GSPO and CISPO rest where
GRPO does; where lengths differ, a mean of each response (GRPO, GSPO) and one of all tokens (DAPO,
CISPO) rest apart, 0.016 in the worked case, and drawing again until rewards differ moves the point
by 0.029, away from pi*. None of them is pi*, which is the same whatever the lengths.
The penalty as printed holds nothing: on the policy's own samples the divergence is that without one
(2 percent less to 48 percent more); on samples of the reference KL(ref || pi) is nine times as
large with it, for responses that the reference would give are given up, while KL(pi || ref) is
smaller. Of the penalties that work, k1 in the reward is better than none by the objective; k2 seems
as good, but its interval just reaches 0, and what k3 of tokens costs is too small to tell. A first
run (seeds 0 to 4) had references of nearly one response, so that seeds differed by more than
anything else, and took a step at which all of PPO's responses were clipped for its fixed point; the
claim on the reference's samples, then a difference, is judged by logarithms since.
"""

import copy
import sys
import time

import numpy as np
from exact_estimators import (
    CASE,
    WORTH,
    case_of,
    fixed_points,
    fixed_points_of_tokens,
    identities,
)

from tinylm.align.exact import kl, objective, optimal_policy
from tinylm.align.exact.policies import ListedPolicy
from tinylm.align.logprobs import frozen_logprobs, response_logprobs, summed
from tinylm.align.policy.groups import rloo_advantages, rloo_loss
from tinylm.align.policy.kl import book_penalty, k2, k3, kl_in_reward, kl_loss, weighted_k3
from tinylm.align.policy.surrogates import importance_loss
from tinylm.align.rewards.reward_model import mean_and_deviation
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.train.experiments.compare import Claim, mean_and_range
from tinylm.train.experiments.picture import Picture
from tinylm.train.experiments.script import command_line

V, LENGTH = 4, 3  # of the transformer: 64 responses
SAMPLES, STEPS, RATE, BETA = 64, 300, 3e-3, 0.5
SPREAD = 6  # of GPT-2's embeddings: the reference prefers some responses
TINY = 1e-10  # more than rounding, and less than any bias

# Written before the run.
EXACT = Claim("every identity of expected gradients holds to 1e-10", "4.3.3", larger=False)
REACHED = Claim(
    "penalty in the reward (A2C, RLOO, PPO): pi* to 1e-6", "4.4.2, eq. 4.79", larger=False
)
MISSED = Claim("GRPO in groups of 4: more than 0.02 away from pi*", "4.4.2", least=0.02)
PENALTY = Claim("k1 in the reward: a higher objective than without a penalty", "4.3.3")
IN_LOSS = Claim("k2 of responses in the loss: a higher objective than without a penalty", "4.3.3")
# As logarithms: a twentieth less is the most that "no penalty at all" may save.
NONE = Claim(
    "printed penalty, own responses: KL(pi || ref) at least 0.95 of that without a penalty",
    "4.3.3, eq. 4.56",
    least=-0.05,
)
AWAY = Claim(
    "printed penalty, responses of the reference: KL(ref || pi) more than doubled by it",
    "4.3.3, eq. 4.56",
    least=float(np.log(2)),
)
THIRD = Claim(
    "k3 of tokens in the loss: a lower objective than k1 in the reward", "4.3.3", larger=False
)
# A token's own k2 has the gradient of its own step, and not of where that leads.
LOCAL = Claim("k2 of tokens: a lower objective than k2 of responses", "4.3.3", larger=False)

# Sampled: a transformer, 64 responses a step.


def world(seed):
    """A reference, a policy that begins as its copy, both listed, and the rewards (64,)."""
    config = GPTConfig(V, LENGTH + 1, n_layer=1, n_head=2, d_model=16, positions="rope")
    model = GPT(config, seed, np.float64)
    model.tokens.weight.data *= SPREAD
    reference = ListedPolicy(model.eval(), [[0]], LENGTH)
    policy = ListedPolicy(copy.deepcopy(model), [[0]], LENGTH)
    rewards = np.random.default_rng(2000 + seed).normal(size=len(policy.responses))
    mean, deviation = mean_and_deviation(rewards, np.exp(reference.logprobs().data[0]))
    return reference, policy, (rewards - mean) / deviation


def losses_of_places(logp, old, reference, rewards, counted, own):
    """{place of the penalty: function without arguments that gives the loss of a batch}.

    own   True: the responses are the policy's own; False: the reference's
    """
    B, T = logp.shape
    if not own:
        gain = importance_loss(logp, old, rloo_advantages(rewards), counted, "fixed", B)
        printed = BETA * book_penalty(logp, reference, counted).mean()
        return {"no penalty": lambda: gain, "printed": lambda: gain + printed}
    gain = rloo_loss(logp, rloo_advantages(rewards), counted)
    terminal = np.zeros((B, T))
    terminal[np.arange(B), T - 1 - counted[:, ::-1].argmax(axis=1)] = rewards
    whole = summed(logp, counted).reshape(B, 1)
    whole_reference = reference.sum(axis=1, keepdims=True)

    def with_penalty(estimates):
        # sums over tokens, the mean over responses, as in rloo_loss
        return gain + kl_loss(estimates, np.ones(estimates.shape, bool), BETA, "fixed", B)

    def in_reward():
        held = kl_in_reward(terminal, logp, reference, counted, BETA).sum(axis=1)
        return rloo_loss(logp, rloo_advantages(held), counted)

    return {
        "no penalty": lambda: gain,
        "printed": lambda: gain + BETA * book_penalty(logp, reference, counted).mean(),
        "k1 in the reward": in_reward,
        "k2 of responses": lambda: with_penalty(k2(whole, whole_reference)),
        "k2 of tokens": lambda: with_penalty(k2(logp, reference)),
        "k3 of tokens": lambda: with_penalty(k3(logp, reference)),
        "k3 of tokens, times the ratio": lambda: with_penalty(weighted_k3(logp, old, reference)),
    }


OWN = "no penalty", "printed", "k1 in the reward", "k2 of responses", "k2 of tokens"
OWN += "k3 of tokens", "k3 of tokens, times the ratio"
RUNS = [(place, True) for place in OWN] + [("no penalty", False), ("printed", False)]


def trained(seed, place, own, steps):
    """One run: {"J", "KL(pi||ref)", "KL(ref||pi)", "reward"}, exact, of the last policy."""
    reference, policy, rewards = world(seed)
    optimizer = AdamW(policy.named_parameters(), weight_decay=0.0)
    logref = reference.logprobs().data[0]
    # Every place has the same uniform numbers, so that runs of a seed are paired.
    draws = np.random.default_rng(3000 + seed).uniform(size=(steps, SAMPLES))
    for step in range(steps):
        source = logref
        if own:
            source = policy.logprobs().data[0]
        drawn = np.searchsorted(np.cumsum(np.exp(source)), draws[step])
        drawn = drawn.clip(max=len(rewards) - 1)  # cumulative sums may end below 1
        batch = InstructionTuning().make_batch([policy.example(0, k) for k in drawn])
        logp, counted = response_logprobs(policy.model, batch)
        held, _ = frozen_logprobs(reference.model, batch)
        old = held
        if own:
            old = logp.data
        loss = losses_of_places(logp, old, held, rewards[drawn], counted, own)[place]()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(RATE)
    logp = policy.logprobs().data[0]
    return {
        "reward": float(np.exp(logp) @ rewards),
        "KL(pi||ref)": float(kl(logp, logref)),
        "KL(ref||pi)": float(kl(logref, logp)),
        "J": float(objective(logp, logref, rewards, BETA)),
    }


def best(seed):
    """The same of pi*."""
    reference, _, rewards = world(seed)
    logref = reference.logprobs().data[0]
    logp = optimal_policy(logref, rewards, BETA)
    return {
        "reward": float(np.exp(logp) @ rewards),
        "KL(pi||ref)": float(kl(logp, logref)),
        "KL(ref||pi)": float(kl(logref, logp)),
        "J": float(objective(logp, logref, rewards, BETA)),
    }


def run(seed, steps):
    """All measurements of one seed."""
    case = case_of(seed)
    fixed = fixed_points(*case) | fixed_points_of_tokens(*case)
    found = {"exact": identities(seed), "fixed": fixed, "best": best(seed)}
    for place, own in RUNS:
        found[place, own] = trained(seed, place, own, steps)
        J = found[place, own]["J"]
        print(f"seed {seed}, {place}, own {own}: J {J:.3f}", file=sys.stderr, flush=True)
    return found


RANGED = "KL(pi||ref)", "J"  # the columns with least and most


def show(runs):
    """Print the tables."""
    print("expected gradient of a sample: largest error of all seeds; variance, mean over seeds")
    for place, worth in WORTH.items():
        error = max(r["exact"][place][0] for r in runs)
        variance = np.mean([r["exact"][place][1] for r in runs])
        cell = "" if np.isnan(variance) else f"{variance:.2f}"
        print(f"    {place:<31}{worth:<17}{error:>8.0e}{cell:>8}")
    print(
        "fixed points of the worked case; distance max |pi - pi*| there and in cases of the seeds"
    )
    points = fixed_points(*CASE)
    _print_points(runs, points, points["pi*"])
    print("the same where the responses have 1, 2, 3 and 3 tokens, k3 of tokens in the loss")
    _print_points(runs, fixed_points_of_tokens(*CASE), points["pi*"])
    print("trained on samples: mean (least .. most) over seeds")
    print(f"    {'':<30}{'reward':>7}{'KL(ref||pi)':>12}{'KL(pi||ref)':>21}{'J':>22}")
    rows = [("pi*", "best"), *((place, (place, own)) for place, own in RUNS[: len(OWN)])]
    rows += [(f"{place}, of the reference", (place, own)) for place, own in RUNS[len(OWN) :]]
    for label, key in rows:
        means = [np.mean([r[key][name] for r in runs]) for name in ("reward", "KL(ref||pi)")]
        ranges = [mean_and_range([r[key][name] for r in runs], ".2f") for name in RANGED]
        cells = f"{means[0]:>7.2f}{means[1]:>12.2f}{ranges[0]:>21}{ranges[1]:>22}"
        print(f"    {label:<30}{cells}")


def _print_points(runs, points, best):
    for name, p in points.items():
        cells = " ".join(f"{value:.3f}" for value in p)
        far = np.abs(p - best).max()
        others = mean_and_range([distance(r, name) for r in runs])
        print(f"    {name:<30}{cells}{far:>8.3f}   {others}")


def distance(one, name):
    """max |pi - pi*| at the fixed point of an algorithm, in the case of a seed."""
    return float(np.abs(one["fixed"][name] - one["fixed"]["pi*"]).max())


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(place, name, own=True):
        return np.array([r[place, own][name] for r in runs])

    errors = [max(error for error, _ in r["exact"].values()) for r in runs]
    print(EXACT.line(errors, TINY))
    rest = "A2C", "RLOO", "PPO"
    print(
        REACHED.line([max(distance(r, f"{a}, k1 in the reward") for a in rest) for r in runs], 1e-6)
    )
    print(MISSED.line([distance(r, "GRPO, k3 in the loss") for r in runs], 0.0))
    print(PENALTY.line(of("k1 in the reward", "J"), of("no penalty", "J")))
    print(IN_LOSS.line(of("k2 of responses", "J"), of("no penalty", "J")))
    free = np.log(of("no penalty", "KL(pi||ref)"))
    print(NONE.line(np.log(of("printed", "KL(pi||ref)")), free))
    far = (np.log(of(place, "KL(ref||pi)", False)) for place in ("printed", "no penalty"))
    print(AWAY.line(*far))
    print(THIRD.line(of("k3 of tokens", "J"), of("k1 in the reward", "J")))
    print(LOCAL.line(of("k2 of tokens", "J"), of("k2 of responses", "J")))


def plot(path, runs):
    """Save where training by every estimator ends, as reward against divergence."""
    with Picture(path, size=(6.4, 4.4)) as picture:
        x, y = "KL(pi||ref) (nats)", "J: reward less beta KL"
        panel = picture.panel("trained on samples of itself", x, y)
        ends = {"pi*": "best"} | {place: (place, own) for place, own in RUNS if own}
        for name, key in ends.items():
            far, J = ([r[key][what] for r in runs] for what in RANGED)
            panel.points(name, [np.mean(far)], np.reshape(J, (-1, 1)))


def main(argv=None):
    """Measure every seed, print the tables and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, few steps", first=10, plot=True)
    steps = STEPS
    if options.quick:
        steps = 10
    runs = [run(seed, steps) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time():.0f} s of one core")
    verdicts(runs)
    if options.plot:
        plot(options.plot, runs)


if __name__ == "__main__":
    main()
