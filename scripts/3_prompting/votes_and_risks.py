"""What ensembles.py measures: votes, means, laws, risks and spreads on noisy_rules.py.

Each function takes a model and questions and gives a dict of figures. A number is one token and has
five rivals, so distributions are known exactly: `logs_of` gives log Pr of the six numbers of a
letter after every prompt, and the library's combinations and laws work on these. Book section
3.2.4, eqs. 3.6 to 3.9. Read next: ensembles.py.
"""

from collections import Counter

import numpy as np
from noisy_rules import FORMS, LINE, NUMBERS, RULES, more_lines, posterior, translated

from tinylm.data.measure.proportions import mean_pass_at_k
from tinylm.prompt.ensemble.bayes_risk import absolute, minimum_risk, squared
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.ensemble.diversity import (
    generate_demonstrations,
    permute_demonstrations,
    vary_demonstrations,
)
from tinylm.prompt.ensemble.grid import Grid
from tinylm.prompt.ensemble.marginal import draw_prompts, log_marginal, log_table, monte_carlo
from tinylm.prompt.ensemble.self_consistency import majority_law, vote_at_m, vote_law
from tinylm.prompt.ensemble.tokens import complete_jointly, product_rule
from tinylm.prompt.ensemble.voters import error_correlation, log_odds, spread
from tinylm.prompt.ensemble.wrapped import Shown

K, SHOWN = 3, 3  # members of an ensemble; demonstrations of a prompt
FRESH, SIZES = 16, (3, 5)  # prompts with independent demonstrations; votes of them
DRAWS, REPEATS = (1, 4, 16, 64), 20  # prompts that a sum over 20 is estimated from; how often
SAMPLES, FEW = 64, 4  # samples of a question; n of pass@n
FORM = FORMS[0]
DEMOS, OWN = "other demonstrations", "written by the model"
ORDERS, WORDS, LANGUAGE = "other orders", "other words", "another language"
WAYS = DEMOS, OWN, ORDERS, WORDS, LANGUAGE


def logs_of(lm, asked, prompts):
    """log Pr(number | prompt) of the numbers of all rules: (questions, prompts, RULES).

    prompts  a list for each question
    """
    pairs = [(q.item, prompt) for q, row in zip(asked, prompts) for prompt in row]
    texts = [prompt.prompt(item) for item, prompt in pairs]
    endings = [[prompt.continuation(item, y) for y in item.options] for item, prompt in pairs]
    return log_table(lm, texts, endings).reshape(len(asked), -1, RULES)


def shown(asked, start, stop):
    """A prompt for each question, with these lines of its pool."""
    return [[Shown(FORM, q.pool[start:stop])] for q in asked]


def rules(asked):
    return np.array([q.rule for q in asked])


def voted(asked, best, weights=None):
    """Share of right votes: best (questions, voters) numbers of options."""
    found = [
        vote([q.item.options[y] for y in row], weights).value == q.item.answer
        for q, row in zip(asked, best)
    ]
    return np.mean(found)


def combined(asked, logs):
    """Shares of right answers, of one member and of what combines them: dict."""
    best = logs.argmax(-1)  # (Q, K)
    equal = np.ones(logs.shape[1]) / logs.shape[1]
    summed = np.array([product_rule(one, equal, None).argmax() for one in logs])
    mixed = np.array([log_marginal(one).argmax() for one in logs])
    return {
        "one": np.mean(best == rules(asked)[:, None]),
        "vote": voted(asked, best),
        "sum": np.mean(summed == rules(asked)),
        "mean": np.mean(mixed == rules(asked)),
        "correlation": error_correlation((best != rules(asked)[:, None]).T),
    }


def right_of(asked, logs):
    """Pr of the right number: logs (questions, .., RULES) -> (questions, ..)."""
    return np.exp(logs[np.arange(len(asked)), ..., rules(asked)])


# (1) Five ways to make prompts differ.


def three_prompts(way, lm, q, seed):
    """Three prompts for a question."""
    rng, own = np.random.default_rng([seed, 3]), q.pool[:SHOWN]
    if way == DEMOS:
        return [Shown(FORM, q.pool[i * SHOWN : (i + 1) * SHOWN]) for i in range(K)]
    if way == OWN:
        # Two lines more in each prompt; a line on the letter that is asked would be its answer.
        made = generate_demonstrations(lm, own, 12, seed=seed, max_tokens=LINE + 1, prompt=FORM)
        made = [one for one in made if one.question != q.item.question]
        return [Shown(FORM, (*own, *made[2 * i : 2 * i + 2])) for i in range(K)]
    if way == ORDERS:
        return [Shown(FORM, order) for order in permute_demonstrations(own, K, rng)]
    if way == WORDS:
        return [Shown(form, own) for form in FORMS]
    # Its own language, and two wordings of the other one.
    return [Shown(FORM, own), *(translated(Shown(form, own)) for form in FORMS[:2])]


def ways(lm, world, asked, seed):
    """Accuracies of all ways, and of what reads as many tokens: dict."""
    found = {}
    for way in WAYS:
        prompts = [three_prompts(way, lm, q, seed + 100 * i) for i, q in enumerate(asked)]
        logs = logs_of(lm, asked, prompts)
        found |= {(way, name): value for name, value in combined(asked, logs).items()}
        if way == DEMOS:
            joint = [
                complete_jointly(lm, [p.prompt(q.item) for p in row], max_tokens=1).text
                for q, row in zip(asked[:40], prompts)
            ]
            equal = np.ones(K) / K
            best = [product_rule(one, equal, None).argmax() for one in logs[:40]]
            # Token by token with a cache each, among all tokens and not only six numbers.
            found["token by token"] = np.mean(
                [q.item.options[y] == text for q, y, text in zip(asked, best, joint)]
            )
    # The law of a vote of samples is exact, as the distribution is known; None: no number.
    shares = np.exp(logs_of(lm, asked, shown(asked, 0, SHOWN))[:, 0])
    laws = []
    for q, p in zip(asked, shares):
        known = dict(zip(q.item.options, p)) | {None: max(0.0, 1 - p.sum())}
        laws.append(vote_law(known, K)[q.item.answer])
    found["3 samples"] = np.mean(laws)
    nine = logs_of(lm, asked, shown(asked, 0, K * SHOWN))[:, 0]
    found["nine"] = np.mean(nine.argmax(-1) == rules(asked))
    for n in (SHOWN, K * SHOWN):
        exact = [posterior(world, q.pool[:n]).argmax() == q.rule for q in asked]
        found["bayes", n] = np.mean(exact)
    return found


# (2) Votes of prompts whose demonstrations are independent, given the rule.


def laws(lm, world, asked, rng):
    """Votes of some prompts, and what the law of the answers to others promises: dict."""
    prompts = [
        [Shown(FORM, more_lines(world, q, rng)[:SHOWN]) for _ in range(FRESH)] for q in asked
    ]
    best, half = logs_of(lm, asked, prompts).argmax(-1), FRESH // 2
    found, mean = {}, np.mean(best == rules(asked)[:, None])
    for n in SIZES:
        found["vote", n] = voted(asked, best[:, :n])
        # The other half of the prompts: unbiased, as n of them are n independent ones.
        by_question = [
            vote_at_m(Counter(q.item.options[y] for y in row[half:]), n).get(q.item.answer, 0.0)
            for q, row in zip(asked, best)
        ]
        found["law", n] = np.mean(by_question)
        found["binomial", n] = majority_law(mean, n)
    return found


# (4) The prompt as a hidden variable.


def marginal(lm, asked, rng):
    """Accuracy of the exact sum and of its estimates, and their errors: dict."""
    prompts = [
        [Shown(FORM, one) for one in vary_demonstrations(q.pool[:6], SHOWN, 20, rng)] for q in asked
    ]
    logs, equal = logs_of(lm, asked, prompts), np.ones(20)
    exact = np.exp([log_marginal(one) for one in logs])  # (Q, RULES)
    found = {"exact": np.mean(exact.argmax(-1) == rules(asked))}
    found["one"] = np.mean(logs.argmax(-1) == rules(asked)[:, None])
    six = logs_of(lm, asked, shown(asked, 0, 6))[:, 0]
    found["six"] = np.mean(six.argmax(-1) == rules(asked))
    spreads = np.exp(logs).var(axis=1).mean()  # of one draw
    for n in DRAWS:
        errors, right = [], []
        for one, whole, rule in zip(logs, exact, rules(asked)):
            for _ in range(REPEATS):
                estimate, _ = monte_carlo(one, draw_prompts(n, equal, rng))
                errors.append(((estimate - whole) ** 2).mean())
                right.append(estimate.argmax() == rule)
        found["error", n], found["law", n] = np.mean(errors) ** 0.5, (spreads / n) ** 0.5
        found["drawn", n] = np.mean(right)
    return found


# (5) Least risk, (6) weights, (7) pass@n and the grid.


def drawn(lm, asked, prompts, count, seed):
    """Samples of each prompt, as text: (questions, prompts, count)."""
    texts = [p.prompt(q.item) for q, row in zip(asked, prompts) for p in row for _ in range(count)]
    replies = lm.complete_batch(texts, max_tokens=1, temperature=1.0, seed=seed)
    return np.array([reply.text for reply in replies]).reshape(len(asked), -1, count)


def risks(lm, asked, seed):
    """Errors, in numbers, and shares of right answers of decisions from 16 samples: dict."""
    # Two demonstrations, so that several rules stay possible.
    texts = drawn(lm, asked, shown(asked, 0, 2), 16, seed)[:, 0]
    rows = []
    for q, row in zip(asked, texts):
        values = [int(text) for text in row if text in NUMBERS]
        mode = int(vote([str(value) for value in values]).value)
        least = [minimum_risk(values, risk).value for risk in (absolute, squared)]
        rows.append([value - int(q.item.answer) for value in (values[0], mode, *least)])
    off = np.abs(rows)
    names = "one sample", "mode", "absolute", "squared"
    found = {("off", name): value for name, value in zip(names, off.mean(0))}
    found |= {("rms", name): value for name, value in zip(names, (off**2).mean(0) ** 0.5)}
    return found | {("right", name): value for name, value in zip(names, (off == 0).mean(0))}


def weighted(lm, asked):
    """Votes of prompts with 1, 1, 1 and 5 demonstrations, equal and weighted: dict."""
    bounds = (0, 1), (1, 2), (2, 3), (3, 8)
    logs = np.concatenate([logs_of(lm, asked, shown(asked, *one)) for one in bounds], 1)
    best, half = logs.argmax(-1), len(asked) // 2
    right = (best == rules(asked)[:, None])[:half]
    # Accuracies from one half of the questions, votes on the other.
    weights = log_odds((right.sum(0) + 1) / (half + 2), RULES)
    rest, best = asked[half:], best[half:]
    found = {"equal": voted(rest, best), "weighted": voted(rest, best, weights)}
    return found | {"best alone": np.mean(best[:, 3] == rules(rest))}


def passes(lm, asked, seed):
    """pass@4: estimated, by plug-in, and exact: dict."""
    prompts = shown(asked, 0, SHOWN)
    answers = np.array([q.item.answer for q in asked])[:, None]
    right = drawn(lm, asked, prompts, SAMPLES, seed)[:, 0] == answers
    p = right_of(asked, logs_of(lm, asked, prompts))[:, 0]
    few = right.reshape(len(asked), -1, FEW).mean(-1)  # shares of four samples
    counts = [(SAMPLES, int(one.sum())) for one in right]
    return {
        "estimate": mean_pass_at_k(counts, FEW),
        "plug-in": np.mean(1 - (1 - few) ** FEW),
        "exact": np.mean(1 - (1 - p) ** FEW),
    }


def grid(lms, asked, seed):
    """Variances of a grid, and votes along each of its axes: dict."""
    prompts = [three_prompts(DEMOS, None, q, seed) for q in asked]
    # Other seeds for each model: samples of one seed go together even from different models.
    drawings = [drawn(lm, asked, prompts, 4, seed + 100_000 * m) for m, lm in enumerate(lms)]
    texts = np.stack(drawings, 1)  # (Q, M, K, S)
    answers = np.array([q.item.answer for q in asked])[:, None, None, None]
    parts = spread(texts == answers)
    p = np.stack([right_of(asked, logs_of(lm, asked, prompts)) for lm in lms])
    found = vars(parts) | {"exact": np.mean(p * (1 - p))}
    cuts = {"models": np.s_[:, :1, :1], "prompts": np.s_[:1, :, :1], "samples": np.s_[:1, :1, :3]}
    for name, cut in (cuts | {"all 27": np.s_[:, :, :3], "one": np.s_[:1, :1, :1]}).items():
        votes = [Grid(one[cut].astype(object)).vote().value for one in texts]
        found["vote", name] = np.mean(np.array(votes) == answers[:, 0, 0, 0])
    return found
