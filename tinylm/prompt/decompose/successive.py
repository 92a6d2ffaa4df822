"""Successive prompting: the next sub-problem is generated when the last one is solved   (book
section 3.2.2, eq. 3.5; Dua et al. 2022).

    p_i = G_i(p_0, {p_<i, a_<i})        a_i = S_i(p_i, {p_0, p_<i, a_<i})

"What is the capital of Germany?" can only be the second question once the answer to the first,
where Einstein was born, is known; a list made in advance cannot have these words. The model ends
the plan itself. Read next: recursive.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tinylm.data.read.items import Item
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.decompose.least_to_most import Solver
from tinylm.prompt.decompose.plan import decompose
from tinylm.prompt.decompose.solvers import named_solvers, note_of, route
from tinylm.prompt.in_context.fitted import dropped_of
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.conclusion import reader
from tinylm.prompt.template.fields import read_reply, render_fields

END = "There are no more questions."
TASK = (
    "A problem is solved by simple questions, one at a time. Write the next question that has to "
    f'be answered, or "{END}" once the problem can be answered.'
)
NEXT = "Next question"


def next_prompt(item: Item, pairs: Sequence[tuple[str, str]], note: str = "") -> str:
    """The prompt of G_i: the problem, the pairs so far, and the next question open.

    note  on the tools that a question may begin with, note_of(..) (solvers.py)
    """
    fields = [("", TASK + note)]
    if item.context:
        fields.append(("Context", item.context))
    fields.append(("Problem", item.question))
    # {p_<i, a_<i}: so p_i may have words of a_{i-1}.
    for number, (problem, answer) in enumerate(pairs):
        fields += [(f"Question {number + 1}", problem), (f"Answer {number + 1}", answer)]
    return render_fields([*fields, (NEXT, None)])


class Asker:
    """G_i of a model.

    end   text with which the model ends the plan, in any letter case; so do an empty reply, and a
          sub-problem that has been solved: with its answer before it the model has no other
    note  as of next_prompt
    """

    def __init__(
        self, lm: TextLM, *, end: str = END, note: str = "", seed: int = 0, max_tokens: int = 64
    ) -> None:
        self.lm, self.end, self.seed, self.max_tokens = lm, end, seed, max_tokens
        self.note = note

    def generate(self, item: Item, pairs: tuple[tuple[str, str], ...]) -> str | None:
        """The next sub-problem, str, or None."""
        reply = self.lm.complete(
            next_prompt(item, pairs, self.note),
            stop="\n",
            seed=self.seed,
            max_tokens=self.max_tokens,
        )
        problem = read_reply(reply.text, NEXT, ()) or None
        # A model puts words around it: "There are no more questions, as ..".
        if problem is not None and self.end.rstrip(".").lower() in problem.lower():
            problem = None
        if problem in [earlier for earlier, _ in pairs]:
            problem = None
        return self.lm.parsed("next sub-problem", problem)


def successive_prompting(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    most: int = 8,
    end: str = END,
    trigger: str = "",
    read: Callable | None = None,
    solvers: Any = "",
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """Answer a question by sub-problems that are generated one at a time.

    demonstrations, trigger, read, solvers, max_tokens   as of least_to_most
    most     sub-problems that are solved at most
    end      text with which the model ends the plan
    returns  Answer; details: "pairs"; "plan", a Plan that is not complete if the model did not end
             it; the "dropped" demonstrations
    """
    check_counts("successive_prompting", least=0, most=most)
    options: dict[str, Any] = {"trigger": trigger, "seed": seed, "max_tokens": max_tokens}
    solver = Solver(lm, item, demonstrations, **options)
    asker = Asker(lm, end=end, note=note_of(solvers), seed=seed)
    solve = route(named_solvers(solvers), solver.solve)
    # G_i and S_i take turns until G_i ends the plan.
    plan = decompose(item, asker.generate, solve, solver.conclude, most)
    value = lm.parsed("answer", (read or reader(item, demonstrations))(plan.answer, item))
    details = {"pairs": plan.pairs, "plan": plan, "dropped": dropped_of(solver.fits)}
    return Answer(value, solver.text, details)
