"""Search in a tree of thoughts, and a graph that merges them, against chains of as many tokens.

Book section 3.2.1 (Yao et al. 2023; Besta et al. 2024). Two small models of thoughts_to_search.py:
one proposes steps of the game of 24 and judges states as "sure" or "impossible", the other sorts
and merges lists of letters. Whether steps are right, whether 24 can be reached from a state, and
how wrong a list is can be computed, so a search has exact values as its limit and random ones as
its other. Game: 40 hands that were not trained. One chain (greedy, and line by line at temperature
1), breadth-first search that keeps three of twelve states by the model's values, depth-first
search, and chains for as many tokens, the commonest of which or, by an exact verifier, the best is
taken. Sorting: 60 lists of 16 letters; four parts are sorted and merged, of two outputs each time
the better one, against outputs for the whole list. At last errors are put into thoughts. Five
seeds, about 8 minutes on one core. `python scripts/3_prompting/thought_search.py [--seed N]
[--device cpu|gpu] [--quick]`; --quick is two seeds, a tenth of the tokens and 6 questions. Read
next: prompt/reasoning/tree_of_thoughts.py, prompt/reasoning/graph_of_thoughts.py.

Measured output (one core of a busy machine):

    game: right, tokens of a question; as many tokens have 39.8
        one chain, greedy               0.23 (0.15 .. 0.30)     44
        one chain, sampled              0.23 (0.15 .. 0.33)     44
        line by line                    0.16 (0.07 .. 0.25)     95
        search, own values              0.17 (0.07 .. 0.25)   1749
        search, exact values            0.56 (0.47 .. 0.65)    953
        search, random values           0.12 (0.07 .. 0.17)    954
        depth-first, own values         0.40 (0.35 .. 0.45)   1511
        depth-first, exact values       0.56 (0.47 .. 0.65)    659
        line by line, errors            0.10 (0.05 .. 0.12)     95
        search, own values, errors      0.16 (0.10 .. 0.20)   1779
        search, exact values, errors    0.37 (0.30 .. 0.42)    953
        a vote of chains                0.43 (0.33 .. 0.47)   1750
        the best of chains, verified    0.89 (0.82 .. 0.97)   1750
    sorting: right, tokens of a question; as many tokens have 7.0
        one output                      0.42 (0.03 .. 0.87)     34
        graph                           0.47 (0.08 .. 0.87)    238
        graph, no values                0.39 (0.05 .. 0.77)    239
        graph, two parts                0.49 (0.07 .. 0.92)    147
        graph, errors                   0.46 (0.10 .. 0.85)    238
        graph, no values, errors        0.35 (0.05 .. 0.67)    239
        a vote of outputs               0.47 (0.12 .. 0.95)    241
        the best of outputs             0.68 (0.27 .. 0.98)    241
        the last of a graph is made from 11 thoughts, 4 one after the other
    5 seeds; 498 s of one core
    game: search by own values > one greedy chain (section 3.2.1): -0.055 [-0.17, +0.0599], 5 seeds:
      too small to tell; 0.16 could have been seen
    game: ... > a vote of chains, as many tokens (section 3.2.1): -0.255 [-0.315, -0.195], 5 seeds:
      shows the opposite
    game: ... > the best of these chains, verified (section 3.2.1): -0.71 [-0.774, -0.646], 5 seeds:
      shows the opposite
    game: own values > random values (section 3.2.1): +0.055 [-0.000529, +0.111], 5 seeds: too small
      to tell; 0.11 could have been seen
    game: exact values > own values (section 3.2.1): +0.39 [+0.286, +0.494], 5 seeds: shows
    game: depth-first, as many expansions > breadth-first (section 3.2.1): +0.225 [+0.103, +0.347],
      5 seeds: shows
    game: chains with errors are as (1 - e)^3 within 0.05 (section 3.2.1): -0.0317 [-0.0565,
      -0.00691], 5 seeds: too small to tell; -0.025 could have been seen
    game: errors cost a search by exact values less, of its share (section 3.2.1): +0.143 [+0.0666,
      +0.218], 5 seeds: too small to tell; 0.18 could have been seen
    sorting: graph > one output (section 3.2.1): +0.0533 [-0.0668, +0.173], 5 seeds: too small to
      tell; 0.17 could have been seen
    sorting: graph > a vote of outputs, as many tokens (section 3.2.1): +0.00667 [-0.121, +0.135], 5
      seeds: too small to tell; 0.18 could have been seen
    sorting: graph > the best of these outputs (section 3.2.1): -0.207 [-0.31, -0.104], 5 seeds:
      shows the opposite
    sorting: exact values > none, same graph (section 3.2.1): +0.0867 [+0.0469, +0.126], 5 seeds:
      too small to tell; 0.09 could have been seen
    sorting: errors cost the graph less with values, of its share (section 3.2.1): +0.076 [-0.0366,
      +0.189], 5 seeds: too small to tell; 0.21 could have been seen

Searches lose here to chains of as many tokens. A judgement of a state reads some sixty tokens and a
whole chain has forty-four, so a search by own values costs 40 chains, of which the commonest is
right in 0.43 and one, found by an exact verifier, in 0.89; the search has 0.17. Its values beat
random ones (0.12) by too little to tell; exact values make 0.56 of the same proposals, so the judge
limits the search. Depth-first search ends with the first answer that is right by an exact check,
and has 0.40. The graph, whose values are exact, is better than the same graph without values (0.47,
0.39) and than one output (0.42) by too little to tell, and worse than the best of seven whole
outputs by the same values (0.68). Errors that are put in leave 0.37 of 0.56 to exact values; a
chain can keep (1 - e)^3, and that the search keeps more is too small to tell.

The training is twice that of a first run, whose models were right too rarely to tell anything (0.15
by one chain); it was chosen on seed 100, where three times as much left the sorting nothing to
gain. The verdicts of the first run were the same but one: depth-first against breadth-first was too
small to tell. Models of sorting differ widely by seed (0.03 to 0.87 by one output).
"""

import sys
import time

import numpy as np
from small_runs import command_line
from thoughts_to_search import (
    DEPTH,
    LINE,
    LONGEST,
    VERDICTS,
    exact_values,
    first_output,
    hands,
    letters,
    merged_sort,
    ordered,
    outputs,
    player,
    prompt_of,
    proposer,
    question,
    reached,
    sorter,
)

from tinylm.data.read.items import Item
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.reasoning.sorting import exact_value
from tinylm.prompt.reasoning.thoughts import value_thoughts
from tinylm.prompt.reasoning.tree_of_thoughts import breadth_first, depth_first
from tinylm.train.experiments.compare import Claim, mean_and_range

GAME_TOKENS, SORT_TOKENS = 1_800_000, 650_000
TESTED, HANDS, LISTS = 60, 40, 60  # hands that are not trained; hands and lists that are asked
WIDTH, BRANCHES = 3, 4  # states kept of each depth; lines proposed for each
PARTS, OUTPUTS = 4, 2
ERRORS = 0.2  # share of thoughts that an error is put into
# The rules, written before the run. Scores are shares of right answers, one a seed.
CHAIN = Claim("game: search by own values > one greedy chain", "3.2.1", least=0.05, limit=1.0)
CHAINS = Claim("game: ... > a vote of chains, as many tokens", "3.2.1", least=0.05, limit=1.0)
VERIFIED = Claim("game: ... > the best of these chains, verified", "3.2.1", least=0.05, limit=1.0)
RANDOM = Claim("game: own values > random values", "3.2.1", least=0.05, limit=1.0)
EXACT = Claim("game: exact values > own values", "3.2.1", least=0.05, limit=1.0)
DEEP = Claim(
    "game: depth-first, as many expansions > breadth-first", "3.2.1", least=0.05, limit=1.0
)
CHAIN_LAW = Claim(
    "game: chains with errors are as (1 - e)^3 within 0.05", "3.2.1", larger=False, least=-0.05
)
TREE_ERRORS = Claim(
    "game: errors cost a search by exact values less, of its share", "3.2.1", least=0.1
)
GRAPH = Claim("sorting: graph > one output", "3.2.1", least=0.05, limit=1.0)
GRAPH_VOTE = Claim(
    "sorting: graph > a vote of outputs, as many tokens", "3.2.1", least=0.05, limit=1.0
)
GRAPH_BEST = Claim("sorting: graph > the best of these outputs", "3.2.1", least=0.05, limit=1.0)
BLIND = Claim("sorting: exact values > none, same graph", "3.2.1", least=0.05, limit=1.0)
GRAPH_ERRORS = Claim(
    "sorting: errors cost the graph less with values, of its share", "3.2.1", least=0.1
)


# Methods for the game, each (lm, item, demonstrations, seed=) -> Answer.


def played(item, lines):
    """The Answer of some lines: 24 only if they are three right steps to it."""
    value = None
    if reached(item.question, lines):
        value = item.answer
    return Answer(value, "\n".join(lines))


def chain(lm, item, demonstrations=(), *, seed=0, count=1, temperature=0.0, verified=False):
    """Chains of thought in one run each: the commonest one, or one that is right."""
    replies = lm.sample(
        prompt_of(item),
        count,
        seed,
        begin="\n",
        max_tokens=DEPTH * LINE,
        temperature=temperature,
    )
    texts = [reply.text.strip() for reply in replies]
    if verified:
        right = [text for text in texts if reached(item.question, text.split("\n"))]
        texts = right or texts
    best = vote(texts, key=lambda text: text).value
    return played(item, best.split("\n"))


def tree(
    lm,
    item,
    demonstrations=(),
    *,
    seed=0,
    values="own",
    width=WIDTH,
    branches=BRANCHES,
    errors=0.0,
    deep=False,
):
    """A search over lines. A width and branches of 1: a chain, line by line."""
    rng = np.random.default_rng([seed, 5])

    def evaluate(states):
        if values == "own":
            return value_thoughts(lm, item.question, states, VERDICTS)
        if values == "exact":
            return exact_values(item, states)
        return rng.random(len(states))

    propose = proposer(lm, item, branches, seed, errors)
    if deep:
        # Its expansions are those of the other search: the root, and `width` of two depths.
        search = depth_first(
            (),
            propose,
            evaluate,
            depth=DEPTH,
            accept=lambda lines: reached(item.question, lines),
            most=1 + (DEPTH - 1) * width,
        )
    else:
        search = breadth_first((), propose, evaluate, depth=DEPTH, width=width)
    return played(item, search.state or ())


# Methods for sorting.


def direct(lm, item, demonstrations=(), *, seed=0, count=1):
    """A vote of outputs for the whole list."""
    found = vote(outputs(lm, f"S{item.question}>", count, seed), key=lambda text: text)
    return Answer(found.value, found.value or "")


def graph(
    lm,
    item,
    demonstrations=(),
    *,
    seed=0,
    parts=PARTS,
    count=OUTPUTS,
    value=exact_value,
    errors=0.0,
):
    """A list that is split, sorted and merged; one part: the best of some outputs."""
    options = {"parts": parts, "count": count, "seed": seed, "value": value, "errors": errors}
    thoughts, last = merged_sort(lm, item.question, **options)
    text = "".join(thoughts.thoughts[last].content)
    return Answer(text or None, text, {"size": (thoughts.volume(last), thoughts.latency(last))})


def measured(lm, items, methods, seed, found=None):
    """{name: (share right, tokens a question)} of methods with their options."""
    found = found or {}
    for name, (method, options) in methods.items():
        records = answer_together(lm, method, items, seed=seed, at_once=len(items), **options)
        right, tokens = np.mean([r.right for r in records]), np.mean([r.tokens for r in records])
        found[name] = float(right), float(tokens)
        print(f"seed {seed}, {name}: {right:.2f}", file=sys.stderr, flush=True)
    return found


def as_many(found, whole, one):
    """How many of `one` have the tokens of `whole`."""
    return max(1, round(found[whole][1] / found[one][1]))


def game(lm, items, seed):
    """All methods of the game: {name: (share right, tokens)}, and the chains of a vote."""
    step = {"width": 1, "branches": 1, "values": "random"}
    found = measured(
        lm,
        items,
        {
            "one chain, greedy": (chain, {}),
            "one chain, sampled": (chain, {"temperature": 1.0}),
            "line by line": (tree, step),
            "search, own values": (tree, {}),
            "search, exact values": (tree, {"values": "exact"}),
            "search, random values": (tree, {"values": "random"}),
            "depth-first, own values": (tree, {"deep": True}),
            "depth-first, exact values": (tree, {"deep": True, "values": "exact"}),
            "line by line, errors": (tree, step | {"errors": ERRORS}),
            "search, own values, errors": (tree, {"errors": ERRORS}),
            "search, exact values, errors": (tree, {"values": "exact", "errors": ERRORS}),
        },
        seed,
    )
    count = as_many(found, "search, own values", "one chain, sampled")
    many = {"count": count, "temperature": 1.0}
    ways = {"a vote of chains": (chain, many)}
    ways["the best of chains, verified"] = chain, many | {"verified": True}
    return measured(lm, items, ways, seed, found) | {"count": count}


def sorting(lm, items, seed):
    """All methods of sorting: {name: (share right, tokens)}, and the outputs of a vote."""
    blind = {"value": first_output}
    found = measured(
        lm,
        items,
        {
            "one output": (direct, {}),
            "graph": (graph, {}),
            "graph, no values": (graph, blind),
            "graph, two parts": (graph, {"parts": 2}),
            "graph, errors": (graph, {"errors": ERRORS}),
            "graph, no values, errors": (graph, blind | {"errors": ERRORS}),
        },
        seed,
    )
    count = as_many(found, "graph", "one output")
    ways = {"a vote of outputs": (direct, {"count": count})}
    ways["the best of outputs"] = graph, {"parts": 1, "count": count}
    return measured(lm, items, ways, seed, found) | {"count": count}


def run(seed, share, device, known, new):
    """All measurements of one seed."""
    rng = np.random.default_rng([seed, 1])
    # The hands that are asked are other ones for each seed.
    asked = rng.permutation(len(new))[: max(6, round(HANDS * share))]
    items = [question(new[i]) for i in asked]
    lm = player(known, int(GAME_TOKENS * share), seed, device)
    print(f"seed {seed}: plays", file=sys.stderr, flush=True)
    found = {"game": game(lm, items, seed)}
    lm = sorter(int(SORT_TOKENS * share), seed, device)
    words = [letters(LONGEST, rng) for _ in range(max(6, round(LISTS * share)))]
    found["sorting"] = sorting(lm, [Item(word, ordered(word)) for word in words], seed)
    answer = graph(lm, Item(words[0]), seed=seed)
    return found | {"size": answer.details["size"]}


def show(runs):
    """Print right answers, mean (least .. most) over seeds, and tokens of a question."""
    for task in ("game", "sorting"):
        count = np.mean([r[task]["count"] for r in runs])
        print(f"{task}: right, tokens of a question; as many tokens have {count:.1f}")
        for name in runs[0][task]:
            if name != "count":
                right, tokens = np.transpose([r[task][name] for r in runs])
                print(f"    {name:<30}{mean_and_range(right, '.2f'):>21}{tokens.mean():>7.0f}")
    volume, latency = runs[0]["size"]
    print(f"    the last of a graph is made from {volume} thoughts, {latency} one after the other")


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(task, name):
        return np.array([r[task][name][0] for r in runs])

    def left(task, name):
        # What errors leave of the share of right answers.
        return of(task, f"{name}, errors") / np.maximum(of(task, name), 1e-9)

    own = of("game", "search, own values")
    print(CHAIN.line(own, of("game", "one chain, greedy")))
    print(CHAINS.line(own, of("game", "a vote of chains")))
    print(VERIFIED.line(own, of("game", "the best of chains, verified")))
    print(RANDOM.line(own, of("game", "search, random values")))
    print(EXACT.line(of("game", "search, exact values"), own))
    print(DEEP.line(of("game", "depth-first, own values"), own))
    # An error in a line is never made good by a later one: its step is wrong.
    law = of("game", "line by line") * (1 - ERRORS) ** DEPTH
    print(CHAIN_LAW.line(np.abs(of("game", "line by line, errors") - law), 0.0))
    print(TREE_ERRORS.line(left("game", "search, exact values"), (1 - ERRORS) ** DEPTH))
    whole = of("sorting", "graph")
    print(GRAPH.line(whole, of("sorting", "one output")))
    print(GRAPH_VOTE.line(whole, of("sorting", "a vote of outputs")))
    print(GRAPH_BEST.line(whole, of("sorting", "the best of outputs")))
    print(BLIND.line(whole, of("sorting", "graph, no values")))
    print(GRAPH_ERRORS.line(left("sorting", "graph"), left("sorting", "graph, no values")))


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    args, seeds = command_line(argv, __doc__, "two seeds, a tenth of the tokens, 6 questions")
    began = time.process_time()
    share = 1.0
    if args.quick:
        share = 0.1
    every = hands()
    known, new = every[:-TESTED], every[-TESTED:]
    runs = [run(seed, share, args.device, known, new) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
