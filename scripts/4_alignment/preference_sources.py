"""Which preferences to collect, and what a choice alone does: four claims in a world that is exact.

Book sections 4.4.2, 4.4.3 and 4.4.5. The world of over_optimisation.py: a transformer writes six of
four tokens, so that all 4,096 responses can be listed, and expected gold rewards, divergences and
shares of pairs are sums. The gold reward is hidden behind comparisons, and has mean 0 and variance
1 over the reference's responses.

    offline, online  DPO on 2,048 comparisons: of the reference's responses, all at once; of a
                     writer's who hardly ever writes the mark that the gold reward likes; of the
                     policy's own, 128 in each of 16 rounds. Judged by what DPO maximizes, gold -
                     beta KL, at equal labels, each at the rate and steps that pilots chose for it
    diversity        reward models of 1,200 comparisons, candidates by one, two or four writers by
                     turns: how many pairs of a stranger, whom none has read, are in gold order
    people, model    labels of people, unbiased and noisy, and of a model, clean and with a liking
                     of its own (a tilt to token 0): shares of both, in 100, 400 and 2,400 labels
    choice           rejection sampling fine-tuning by a learned reward, the best of 4 for each of
                     128 prompts, three rounds, beside the matched random control; its law is that
                     of infinite data

Claims stand below. Twenty seeds, of gold reward, reference, pairs, labels and training; sizes and
rates were chosen with seeds 100 to 103. About 9 minutes on one core. `python
scripts/4_alignment/preference_sources.py [--seed N] [--device cpu|gpu] [--plot FILE] [--quick]`;
--plot saves a picture, --quick is two seeds and a tenth of the training. Read next:
tinylm/align/preference/online.py, align/feedback/annotators.py, align/inference/tuning.py.

Measured output (one core):

    mean +- sd of 20 seeds
    DPO on 2048 labels
                                          gold - beta KL                gold                  KL
        offline, the reference's          0.344 +- 0.355      0.925 +- 0.292      1.161 +- 0.307
        offline, a timid writer's        -0.016 +- 0.284      0.421 +- 0.172      0.875 +- 0.369
        online                            0.483 +- 0.083      0.791 +- 0.228      0.616 +- 0.335
        pi*                               0.844 +- 0.055      1.461 +- 0.132      1.235 +- 0.160
    1200 labels, writers of the candidates
                                      tokens that differ stranger's in order        own in order
        1                                 4.151 +- 0.043      0.700 +- 0.053      0.812 +- 0.041
        2                                 4.417 +- 0.030      0.754 +- 0.045      0.809 +- 0.045
        4                                 4.620 +- 0.029      0.785 +- 0.036      0.806 +- 0.038
    labels of people and of a model
                                                in order    gold, best of 16
        100 labels, 0% a model's          0.610 +- 0.107      0.583 +- 0.308
        100 labels, 25% a model's         0.642 +- 0.087      0.697 +- 0.273
        100 labels, 50% a model's         0.653 +- 0.068      0.731 +- 0.267
        100 labels, 100% a model's        0.701 +- 0.060      0.895 +- 0.204
        400 labels, 0% a model's          0.713 +- 0.055      0.848 +- 0.149
        400 labels, 25% a model's         0.716 +- 0.057      0.938 +- 0.167
        400 labels, 50% a model's         0.717 +- 0.049      0.930 +- 0.148
        400 labels, 100% a model's        0.723 +- 0.050      0.928 +- 0.216
        2400 labels, 0% a model's         0.783 +- 0.040      0.966 +- 0.164
        2400 labels, 25% a model's        0.755 +- 0.049      1.013 +- 0.210
        2400 labels, 50% a model's        0.741 +- 0.048      0.953 +- 0.281
        2400 labels, 100% a model's       0.735 +- 0.045      0.968 +- 0.254
    best of 4, 3 rounds
                                                    gold                  KL
        best                              0.407 +- 0.560      1.913 +- 0.930
        random                            0.024 +- 0.126      0.037 +- 0.029
        law                               0.966 +- 0.294      3.174 +- 0.000
    20 seeds; 534 s of one core
    2048 labels: gold - beta KL online over offline (section 4.4.2): +0.139 [-0.0291, +0.307], 20
      seeds: too small to tell; 0.22 could have been seen
    offline: the reference's responses over a timid writer's (section 4.4.2): +0.36 [+0.231, +0.49],
      20 seeds: shows
    a stranger's pairs: candidates of four writers over one (section 4.4.3): +0.0851 [+0.0603,
      +0.11], 20 seeds: shows
    the reference's pairs: four writers cost no more than 0.02 (section 4.4.3): -0.00613 [-0.015,
      +0.00276], 20 seeds: shows
    100 labels: a model's over people's (section 4.4.3): +0.0913 [+0.0401, +0.143], 20 seeds: shows
    2400 labels: people's over a model's (section 4.4.3): +0.0484 [+0.0273, +0.0696], 20 seeds:
      shows
    100 labels: half of each over people's alone (section 4.4.3): +0.0435 [+0.00247, +0.0845], 20
      seeds: too small to tell; 0.061 could have been seen
    2400 labels: half of each over a model's alone (section 4.4.3): +0.00584 [-0.000661, +0.0123],
      20 seeds: too small to tell; 0.027 could have been seen
    400 labels: half of each over either alone (section 4.4.3): -0.00563 [-0.0231, +0.0118], 20
      seeds: too small to tell; 0.017 could have been seen
    rejection sampling: more gold than the random control (section 4.4.5): +0.383 [+0.0863, +0.679],
      20 seeds: too small to tell; 0.4 could have been seen
    the random control: gold rises by more than 0.1 (section 4.4.5): +0.0243 [-0.0347, +0.0834], 20
      seeds: too small to tell; 0.16 could have been seen

What a data set does not cover costs DPO most: a timid writer's pairs gain nothing. Online training
stays nearer to the reference for what it gains, and varies a quarter as much from seed to seed; in
the mean it is ahead by 0.14, where 0.22 could have been seen, and its gold reward alone is no
higher. Pairs of four writers prepare a reward model for a stranger (0.79 against 0.70 in order), at
no cost for the reference's own. Of few labels a clean and tilted model's are better, of many
people's; a mixture lies between, and is better than both nowhere. To train on the best of four
gains 0.41 in the mean, the random control nothing, as its gradient says; but the gain varies so
much from seed to seed (0.56), as the reward of 300 labels is followed 1.9 nats far, that it is not
shown to be above 0.1, and it is less than half of what infinite data would give.

A first run, on seeds 0 to 7 with 300 labels for diversity, was too small for seven of eleven
claims: this one has other seeds and 1,200 labels there. The choice over its control showed then
(+0.73 [+0.36, +1.1]), and the control lost a little (-0.13 [-0.24, -0.02]); online over offline was
+0.32 [-0.03, +0.66].
"""

import copy
import sys
import time

import drawn_signals
import numpy as np
from over_optimisation import LENGTH, PROMPT, V, gold_rewards, reference_model, standard

from tinylm.align.exact import expectation, kl, optimal_policy
from tinylm.align.exact.policies import ListedPolicy
from tinylm.align.feedback.annotators import (
    SimulatedAnnotator,
    by_turns,
    collect_preferences,
    mixed_labels,
)
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.inference.law import over_optimization_curve
from tinylm.align.inference.tuning import iterated_law, rejection_sampling_finetune
from tinylm.align.preference.online import online_dpo
from tinylm.align.preference.tuning import DPO, tune
from tinylm.align.rewards.modeling import RewardModeling
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.autograd import no_grad
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.train.experiments.compare import Claim, mean_and_sd, weakest
from tinylm.train.experiments.script import command_line

FIRST, SEEDS = 8, 20  # seeds 0 to 7 were those of a first run, see the end of the header
# Chances of the four tokens, the last of which is the mark.
WRITERS = (
    None,  # the reference, which has learnt to write .42 .30 .18 .10
    (0.10, 0.42, 0.30, 0.18),
    (0.18, 0.10, 0.42, 0.30),
    (0.30, 0.18, 0.10, 0.42),
)
STRANGER = 0.25, 0.25, 0.25, 0.25
TIMID = 0.46, 0.33, 0.20, 0.01
BETA, COMPARED, ROUNDS = 0.5, 2048, 16
OWN, OTHERS, ONLINE = "offline, the reference's", "offline, a timid writer's", "online"
# (steps, rate), the best of each for its source: with those of another, offline policies go far
# astray (the timid writer's to -2.7 with the first).
TRAINED = {OWN: (512, 1e-3), OTHERS: (256, 3e-4), ONLINE: (512, 3e-4)}
LABELS = 300  # of the reward model that chooses
DIVERSE_LABELS, COUNTS = 1200, (1, 2, 4)  # so many that coverage matters; writers
TOTALS, SHARES = (100, 400, 2400), (0.0, 0.25, 0.5, 1.0)  # labels; the share of a model's
TILT = 0.5  # what the model adds to the gold reward for each token 0
N, GROUPS, TUNINGS = 4, 128, 3
TUNE = {"batch_size": 16, "learning_rate": 1e-3}
FEW, MIDDLE, MANY = TOTALS

# Written before the run. One number a seed, paired.
BY_ONLINE = Claim(f"{COMPARED} labels: gold - beta KL online over offline", "4.4.2", least=0.05)
COVERS = Claim("offline: the reference's responses over a timid writer's", "4.4.2", least=0.05)
DIVERSE = Claim("a stranger's pairs: candidates of four writers over one", "4.4.3", least=0.02)
OWN_PAIRS = Claim(
    "the reference's pairs: four writers cost no more than 0.02", "4.4.3", least=-0.02
)
CLEAN = Claim(f"{FEW} labels: a model's over people's", "4.4.3", least=0.02)
UNBIASED = Claim(f"{MANY} labels: people's over a model's", "4.4.3", least=0.02)
HALF_FEW = Claim(f"{FEW} labels: half of each over people's alone", "4.4.3", least=0.02)
HALF_MANY = Claim(f"{MANY} labels: half of each over a model's alone", "4.4.3", least=0.02)
BOTH = Claim(f"{MIDDLE} labels: half of each over either alone", "4.4.3")
CHOICE = Claim("rejection sampling: more gold than the random control", "4.4.5", least=0.1)
NOTHING = Claim("the random control: gold rises by more than 0.1", "4.4.5", least=0.1)


class World:
    """The gold reward of a seed, and its reference with the probabilities of all responses.

    share   of the usual steps of training
    """

    def __init__(self, seed, share, device):
        self.seed, self.share = seed, share
        self.reference = reference_model(seed, share).to(device)
        self.responses = ListedPolicy(self.reference, [PROMPT], LENGTH).responses  # (K, LENGTH)
        self.logref = self.logprobs(self.reference)
        self.chance = np.exp(self.logref)
        self.gold = standard(gold_rewards(self.responses, 300 + seed), self.chance)

    def steps(self, count):
        """The share of so many steps, at least one."""
        return max(1, int(self.share * count))

    def logprobs(self, model):
        """log Pr of every response: (K,) float64."""
        with no_grad():
            listed = ListedPolicy(model, [PROMPT], LENGTH).logprobs().data
        logp = np.asarray(listed.tolist()[0], np.float64)
        return logp - np.log(np.exp(logp).sum())  # float32 sums to 1 up to rounding

    def writer(self, chances):
        """The probabilities of a writer of independent tokens: (K,)."""
        if chances is None:
            return self.chance
        return np.prod(np.array(chances)[self.responses], axis=1)

    def people(self, temperature=1.0, careless=0.0):
        """An annotator without a bias."""
        return SimulatedAnnotator(lambda prompt, k: self.gold[k], temperature, careless)

    def tilted(self):
        """A model that labels: hardly ever unsure, and always with the same liking."""
        zeros = (self.responses == 0).sum(axis=1)
        liking = lambda prompt, k: TILT * zeros[k]  # noqa: E731
        return SimulatedAnnotator(lambda prompt, k: self.gold[k], 0.25, bias=liking)

    def compared(self, chance, count, rng, annotators, weights=(1.0,)):
        """Comparisons of a writer's responses, each by one of the annotators: list of pairs."""
        drawn = rng.choice(len(chance), (2 * count + 64, 2), p=chance)
        drawn = [pair for pair in drawn if pair[0] != pair[1]]
        while len(drawn) < count:  # a policy that is nearly sure
            drawn += [
                pair for pair in rng.choice(len(chance), (count, 2), p=chance) if pair[0] != pair[1]
            ]
        return [
            self.encoded(mixed_labels("", a, b, annotators, weights, rng)) for a, b in drawn[:count]
        ]

    def encoded(self, found):
        """A Preference between numbers of responses as an EncodedPair."""
        sides = (encode_sft(PROMPT, self.responses[k]) for k in (found.chosen, found.rejected))
        return EncodedPair(*sides)

    def reward(self, pairs, number):
        """Rewards of all responses by a model of these pairs: (K,), mean 0 and variance 1."""
        model = RewardModel(copy.deepcopy(self.reference), seed=number)
        epochs = 10 * (LABELS / len(pairs)) ** 0.5  # more labels: more steps, fewer epochs
        steps = self.steps(epochs * len(pairs) / 16)
        given = {"batch_size": 16, "learning_rate": 1e-3, "seed": number}
        fit(model, RewardModeling(), pairs, steps=steps, **given)
        return standard(model.score([[*PROMPT, *y] for y in self.responses], 1024), self.chance)

    def ordered(self, rewards, chance):
        """The share of a writer's pairs that are in gold order, over all pairs: float."""
        right = total = 0.0
        for rows in np.array_split(np.arange(len(chance)), 16):
            better = self.gold[rows, None] > self.gold  # (rows, K)
            weight = chance[rows, None] * chance * better
            right += weight[rewards[rows, None] > rewards].sum()
            total += weight.sum()
        return right / total

    def chosen(self, rewards, n=16):
        """Expected gold reward of the best of n by these rewards: float."""
        return float(over_optimization_curve(self.chance, rewards, self.gold, [n])[0, 2])

    def worth(self, logp):
        """(gold - beta KL, gold, KL) of a policy."""
        gold, away = float(expectation(logp, self.gold)), float(kl(logp, self.logref))
        return gold - BETA * away, gold, away


def on_and_offline(world):
    """{source of the pairs: worth of the policy}, with that of pi*."""
    rng = np.random.default_rng(600 + world.seed)
    task, people = DPO(options={"beta": BETA}), [world.people()]
    found = {}
    for name, (steps, rate) in TRAINED.items():
        policy = copy.deepcopy(world.reference)
        given = {"batch_size": 16, "learning_rate": rate, "seed": world.seed}
        if name == ONLINE:

            def draw(model, k):
                chance = np.exp(world.logprobs(model))
                return world.compared(chance, COMPARED // ROUNDS, rng, people)

            each = world.steps(steps / ROUNDS)
            online_dpo(policy, task, draw, rounds=ROUNDS, steps=each, **given)
        else:
            chance = world.writer({OWN: None, OTHERS: TIMID}[name])
            pairs = world.compared(chance, COMPARED, rng, people)
            tune(policy, task, pairs, steps=world.steps(steps), **given)
        found[name] = world.worth(world.logprobs(policy))
    found["pi*"] = world.worth(optimal_policy(world.logref, world.gold, BETA))
    return found


def diversity(world):
    """{writers: (tokens that differ in a pair, shares in order: stranger's, reference's)}."""
    rng = np.random.default_rng(700 + world.seed)

    def sampler(chance):
        return lambda prompt, count, rng: rng.choice(len(chance), count, p=chance).tolist()

    found = {}
    for count in COUNTS:
        sample = by_turns([sampler(world.writer(one)) for one in WRITERS[:count]])
        # Some prompts have four equal candidates, and give no pair.
        prompts = range(DIVERSE_LABELS + DIVERSE_LABELS // 4)
        labels = collect_preferences(prompts, sample, world.people(), rng=rng)[:DIVERSE_LABELS]
        a, b = (world.responses[[getattr(p, s) for p in labels]] for s in ("chosen", "rejected"))
        rewards = world.reward([world.encoded(one) for one in labels], 10 * world.seed + count)
        shares = (world.ordered(rewards, world.writer(one)) for one in (STRANGER, None))
        found[count] = float((a != b).sum(axis=1).mean()), *shares
    return found


def mixtures(world):
    """{(labels, share of the model's): (share in order, gold of the best of 16)}."""
    annotators, found = [world.people(1.5, careless=0.6), world.tilted()], {}
    for total in TOTALS:
        for share in SHARES:
            rng = np.random.default_rng(800 + world.seed)  # the same pairs for all shares
            given = world.chance, total, rng, annotators, (1 - share, share)
            rewards = world.reward(world.compared(*given), 10 * world.seed + 5)
            found[total, share] = world.ordered(rewards, world.chance), world.chosen(rewards)
    return found


def choice(world):
    """{selection: (gold, KL)}, with the law."""
    rng = np.random.default_rng(900 + world.seed)
    pairs = world.compared(world.chance, LABELS, rng, [world.people()])
    rewards = world.reward(pairs, 10 * world.seed + 6)
    places = V ** np.arange(LENGTH)[::-1]  # a response's number in the list
    found = {}
    for select in ("best", "random"):
        policy = copy.deepcopy(world.reference)
        rejection_sampling_finetune(
            policy,
            [PROMPT] * GROUPS,
            lambda prompt, tokens: rewards[np.array(tokens) @ places],
            N,
            LENGTH,
            rounds=TUNINGS,
            select=select,
            seed=10**6 * (world.seed + 1),
            steps=world.steps(32),
            **TUNE,
        )
        found[select] = world.worth(world.logprobs(policy))[1:]
    law = iterated_law(world.chance, rewards, N, TUNINGS)
    found["law"] = float(law @ world.gold), float(kl(np.log(law + 1e-300), world.logref))
    return found


def run(seed, share, device):
    """All measurements of one seed."""
    world = World(seed, share, device)
    found = [part(world) for part in (on_and_offline, diversity, mixtures, choice)]
    print(f"seed {seed}: {time.process_time():.0f} s", file=sys.stderr, flush=True)
    return found


def show(title, tables, columns):
    """Print one part of all seeds: mean +- sd of each number."""
    print(title)
    print(f"    {'':<28}" + "".join(f"{column:>20}" for column in columns))
    for name in tables[0]:
        cells = [mean_and_sd(values) for values in zip(*(one[name] for one in tables))]
        label = name
        if isinstance(name, tuple):
            label = f"{name[0]} labels, {name[1]:.0%} a model's"
        print(f"    {label!s:<28}" + "".join(f"{cell:>20}" for cell in cells))


def verdicts(dpo, diverse, mixed, chosen):
    """Print the verdict of every claim; arguments are lists over seeds."""

    def of(tables, name, column=0):
        return [one[name][column] for one in tables]

    print(BY_ONLINE.line(of(dpo, ONLINE), of(dpo, OWN)))
    print(COVERS.line(of(dpo, OWN), of(dpo, OTHERS)))
    print(DIVERSE.line(of(diverse, 4, 1), of(diverse, 1, 1)))
    print(OWN_PAIRS.line(of(diverse, 4, 2), of(diverse, 1, 2)))
    print(CLEAN.line(of(mixed, (FEW, 1.0)), of(mixed, (FEW, 0.0))))
    print(UNBIASED.line(of(mixed, (MANY, 0.0)), of(mixed, (MANY, 1.0))))
    print(HALF_FEW.line(of(mixed, (FEW, 0.5)), of(mixed, (FEW, 0.0))))
    print(HALF_MANY.line(of(mixed, (MANY, 0.5)), of(mixed, (MANY, 1.0))))
    half = of(mixed, (MIDDLE, 0.5))
    both = [BOTH.judge(half, of(mixed, (MIDDLE, share))) for share in (0.0, 1.0)]
    print(f"{BOTH.text} (section {BOTH.section}): {weakest(both)}")
    print(CHOICE.line(of(chosen, "best"), of(chosen, "random")))
    # The reference has 0.
    print(NOTHING.line(of(chosen, "random"), 0.0))


def main(argv=None):
    """Measure every seed, print the tables and the verdicts."""
    options, seeds = command_line(
        argv, __doc__, "two seeds, a tenth of the training", FIRST, plot=True, count=SEEDS
    )
    share = 1.0
    if options.quick:
        share = 0.1
    parts = list(zip(*(run(seed, share, options.device) for seed in seeds)))
    print(f"mean +- sd of {len(seeds)} seeds")
    show(f"DPO on {COMPARED} labels", parts[0], ("gold - beta KL", "gold", "KL"))
    columns = "tokens that differ", "stranger's in order", "own in order"
    show(f"{DIVERSE_LABELS} labels, writers of the candidates", parts[1], columns)
    show("labels of people and of a model", parts[2], ("in order", "gold, best of 16"))
    show(f"best of {N}, {TUNINGS} rounds", parts[3], ("gold", "KL"))
    print(f"{len(seeds)} seeds; {time.process_time():.0f} s of one core")
    verdicts(*parts)
    drawn_signals.sources(options.plot, *parts)


if __name__ == "__main__":
    main()
