"""A question answered by a graph of thoughts: solutions are merged and improved   (book section
3.2.1; Besta et al. 2024).

    generate    `branches` chains of thought           score, and keep the `keep` best
    aggregate   `merges` solutions, each made of all that were kept
    refine      each of the best once more, `rounds` times

The answer is that of the best solution of all, by the model's own evaluation (value_thoughts). A
vote compares answers only; here the steps of one solution can come into another, as the model reads
several at once. Tasks that split into parts have graphs of their own (sorting.py). Read next:
sorting.py.
"""

import itertools
from collections.abc import Callable, Sequence

from tinylm.data.read.items import Item
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.ensemble.paths import Path, sample_paths
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.conclusion import read_conclusion, with_options
from tinylm.prompt.reasoning.graph_of_thoughts import ThoughtGraph
from tinylm.prompt.reasoning.thoughts import value_thoughts
from tinylm.prompt.template.fields import render_fields, stop_strings

COMBINE = (
    "Several solutions of a question are given. Combine what is right in them into one solution."
)
IMPROVE = "A solution of a question is given. Improve it, and correct its errors."


def graph_of_thoughts(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    branches: int = 4,
    keep: int = 2,
    merges: int = 2,
    rounds: int = 1,
    prompt: FewShotPrompt | None = None,
    read: Callable | None = None,
    seed: int = 0,
    max_tokens: int = 256,
    temperature: float = 0.7,
) -> Answer:
    """Answer a question by solutions that are generated, merged and refined.

    demonstrations  Items with rationales, shown where solutions are generated
    branches        chains of thought that are sampled at first
    keep            of them, and of the merged ones, that go on
    merges          solutions that are sampled after a prompt with all that were kept
    rounds          of refinement; 0: none
    prompt, read    as in sample_paths
    returns         Answer of the best solution, its value None if that reaches no answer; details:
                    "graph", a ThoughtGraph of Paths, and "best", the number of the solution; "kept"
                    and "dropped" demonstrations, if there were any
    """
    check_counts("graph_of_thoughts", branches=branches, keep=keep, merges=merges)
    check_counts("graph_of_thoughts", least=0, rounds=rounds)
    options = {"read": read, "max_tokens": max_tokens, "temperature": temperature}

    def solve(question):
        chosen = {"count": branches, "seed": seed, "prompt": prompt, **options}
        return sample_paths(lm, item, demonstrations, **chosen)

    # No two replies are sampled with the same seed.
    seeds = itertools.count(seed + branches)

    def write(paths):
        chosen = {"seed": next(seeds), "demonstrations": demonstrations, **options}
        return _rewritten(lm, item, paths, **chosen)

    graph = ThoughtGraph(item.question)
    first = graph.generate([0], solve)
    best = _best(lm, item, graph, first, keep)
    merged = [number for _ in range(merges) for number in graph.aggregate(best, write)]
    # What was merged need not be better, so its parents stay candidates.
    best = _best(lm, item, graph, best + merged, keep)
    for _ in range(rounds):
        refined = graph.refine(best, lambda one: write([one]))
        best = _best(lm, item, graph, best + refined, keep)
    path = graph.thoughts[best[0]].content
    details = {"graph": graph, "best": best[0], **graph.thoughts[first[0]].content.fitted}
    return Answer(lm.parsed("answer", path.answer), path.reply.text, details)


def _best(lm, item, graph, numbers, keep):
    """The best of some solutions, best first; those without a score get one, in one batch."""
    new = [number for number in numbers if number not in graph.scores]
    states = [(path.reply.text.strip(),) for path in graph.contents(new)]
    if states:
        values = value_thoughts(lm, with_options(item), states)
        graph.scores.update(zip(new, values.tolist()))
    return graph.keep_best(numbers, keep)


def _rewritten(lm, item, paths, *, seed, read, demonstrations, max_tokens, temperature):
    """One solution made of several, the best of which comes first, or an improved one of one: Path.

    Solutions that the context has no room for are left out, the worst first; if it has room for
    none, the best one stays as it is.
    """

    def write(kept):
        request, name = COMBINE, "Combined solution"
        if len(paths) == 1:
            request, name = IMPROVE, "Improved solution"
        shown = [(f"Solution {i + 1}", path.reply.text.strip()) for i, path in enumerate(kept)]
        fields = [("", request), ("Question", with_options(item)), *shown, (name, None)]
        return render_fields(fields)

    fitted = fit_context(lm, write, paths[::-1], max_tokens)
    if not fitted.kept:
        return paths[0]
    reply = lm.complete(
        fitted.text,
        seed=seed,
        stop=stop_strings(["Question", "Solution 1"]),
        max_tokens=max_tokens,
        temperature=temperature,
    )
    _, answer = read_conclusion(reply.text, item, read, demonstrations)
    return Path(reply, lm.parsed("answer", answer))
