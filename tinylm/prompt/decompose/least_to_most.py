"""Least-to-most prompting: sub-problems are listed first, then solved from the first to the last
(book section 3.2.2, eqs. 3.2-3.4; Zhou et al. 2023).

    call 1        the problem -> we need to know: "p_1", "p_2"
    call 2, 3     the problem, p_1 -> a_1;  the problem, p_1, a_1, p_2 -> a_2
    call 4        the problem, p_1, a_1, p_2, a_2, the question -> a_0

From call 2 on, each prompt begins with the one before it and its answer: with a prefix cache, only
what is new is read. Chain of thought may go into any of these prompts: the reply is made to begin
with a trigger sentence, and what follows its conclusion is the answer. Read next: successive.py.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from tinylm.data.read.items import Item
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.decompose.plan import decompose, up_front
from tinylm.prompt.decompose.solvers import named_solvers, note_of, route
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.fitted import dropped_of, fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.conclusion import reader, split_conclusion
from tinylm.prompt.template.fields import render_fields, stop_strings

TASK = (
    "Your task is to decompose a problem into several sub-problems. You will be given a few "
    "examples to illustrate how to achieve this."
)
# The two demonstrations of the book, in words of our own.
GROUPS = Item(
    "Which group is the largest?",
    context="In a community, 5% are infants, 15% are children, 40% are adults, and 40% are "
    "elderly.",
)
BEADS = Item(
    "How many beads do they have in total?",
    context="Alice has twice as many beads as Bob, and Bob has five times as many as Charlie. "
    "Charlie has 6 beads.",
)
DECOMPOSITIONS = (
    (
        GROUPS,
        (
            "What percentage are infants?",
            "What percentage are children?",
            "What percentage are adults?",
            "What percentage are elderly?",
        ),
    ),
    (BEADS, ("How many beads does Bob have?", "How many beads does Alice have?")),
)
_NEEDED = re.compile(r"need to know:?", re.IGNORECASE)
_FIELD = re.compile(r"\A\s*(?:SUB-PROB[0-9]+ Q|FINAL Q|A):")
QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”')


def decomposition_prompt(
    item: Item,
    decompositions: tuple[tuple[Item, tuple[str, ...]], ...] = DECOMPOSITIONS,
    note: str = "",
) -> str:
    """The prompt of the first call: the task, demonstrations, and the problem.

    decompositions  (Item, sub-problems) pairs
    note            on the tools that a sub-problem may begin with, note_of(..) (solvers.py)
    """
    # The fields of the book: TASK, DEMO1, DEMO2, USER.
    fields = [("TASK", TASK + note)]
    for number, (demo, problems) in enumerate(decompositions):
        fields += [(f"DEMO{number + 1} Q", _whole(demo)), ("A", needed(demo, problems))]
    fields += [("USER Q", _whole(item)), ("A", None)]
    return render_fields(fields)


def needed(item: Item, problems: tuple[str, ...]) -> str:
    """The reply that lists sub-problems: ... we need to know: "p_1", "p_2"."""
    listed = ", ".join(f'"{problem}"' for problem in problems)
    return f'To answer the question "{item.question}", we need to know: {listed}.'


def read_needed(reply: str) -> list[str]:
    """The sub-problems of a reply, what is quoted after "we need to know": list of str, in order;
    empty if nothing is needed; None if the reply does not have these words.
    """
    found = _NEEDED.search(reply)
    if found is None:
        return None
    # The rest of the line alone: below it a model may quote other things.
    listed = reply[found.end() :].lstrip().partition("\n")[0]
    return [(straight or curly).strip() for straight, curly in QUOTED.findall(listed)]


def _whole(item):
    return " ".join(filter(None, (item.context, item.question)))


def solving_prompt(
    item: Item,
    pairs: Sequence[tuple[str, str]],
    problem: str | None = None,
    demonstrations: Sequence[Item] = (),
    rationale: bool = False,
) -> str:
    """The prompt for a sub-problem, or for the question itself at the end.

    pairs           (sub-problem, answer) pairs before it: p_<i, a_<i
    problem         p_i; None: the question of the item, FINAL
    demonstrations  Items with answers, in front
    rationale       True: they show their rationales
    returns         str. The problem p_0 comes first: the context of the item, or its question if it
                    has none
    """
    fields = [("", item.context or item.question)]
    # {p_<i, a_<i}: the prompt of the last call, and one pair more
    for number, (earlier, answer) in enumerate(pairs):
        fields += [(f"SUB-PROB{number + 1} Q", earlier), ("A", answer)]
    # S_0 answers the question itself, S_i the next sub-problem.
    if problem is None:
        fields += [("FINAL Q", item.question), ("A", None)]
    else:
        fields += [(f"SUB-PROB{len(pairs) + 1} Q", problem), ("A", None)]
    form = FewShotPrompt()
    shown = [form.demonstration(demo, rationale) for demo in demonstrations]
    return form.separator.join([*shown, render_fields(fields)])


STOP = (*stop_strings(["Q", "A", "FINAL Q", "USER Q"]), "\nSUB-PROB", "\nDEMO")


class Solver:
    """S_i and S_0 of a model that gets the pairs so far in its prompt.

    item            p_0
    trigger         text that every reply begins with; "": none
    demonstrations, max_tokens, seed as of least_to_most

    The last reply of `conclude` is kept in `text`, the Fitted of each call in `fits`: a prompt
    grows with its pairs, and leaves less room for demonstrations.
    """

    def __init__(
        self,
        lm: TextLM,
        item: Item,
        demonstrations: Sequence[Item] = (),
        *,
        trigger: str = "",
        seed: int = 0,
        max_tokens: int,
    ) -> None:
        self.lm, self.item, self.demonstrations = lm, item, demonstrations
        self.trigger, self.seed, self.max_tokens = trigger, seed, max_tokens
        self.text, self.fits = "", []

    def _reply(self, pairs, problem):
        # With a trigger S_i is chain of thought; without one, the reply is the answer.
        begin = f" {self.trigger}".rstrip()

        def write(kept):
            return solving_prompt(self.item, pairs, problem, kept, rationale=bool(self.trigger))

        fitted = fit_context(self.lm, write, self.demonstrations, self.max_tokens, begin)
        self.fits.append(fitted)
        reply = self.lm.complete(
            fitted.text,
            begin=begin,
            stop=STOP,
            seed=self.seed,
            max_tokens=self.max_tokens,
        )
        # A chat model may repeat the name of the field that its reply is in.
        text = _FIELD.sub("", reply.text)
        steps, conclusion = split_conclusion(text)
        if conclusion is None:
            conclusion = steps  # a reply that is an answer and nothing else
        return reply.text, conclusion

    def solve(self, problem: str, whole: Item, pairs: tuple[tuple[str, str], ...]) -> str:
        """S_i: the answer to a sub-problem, str."""
        _, answer = self._reply(pairs, problem)
        return self.lm.parsed("sub-answer", answer)

    def conclude(self, whole: Item, pairs: tuple[tuple[str, str], ...]) -> str:
        """S_0: the answer to the question, str."""
        self.text, answer = self._reply(pairs, None)
        return answer


def least_to_most(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    decompositions: tuple[tuple[Item, tuple], ...] = DECOMPOSITIONS,
    trigger: str = "",
    plan_trigger: str = "",
    read: Callable | None = None,
    solvers: str = "",
    most: int = 16,
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """Answer a question by sub-problems that are listed first.

    demonstrations  Items in front of every solving prompt
    decompositions  (Item, sub-problems) demonstrations of the first call
    trigger         text that the replies of the solving calls begin with, such as "Let's think step
                    by step."; "": none. Demonstrations then show their rationales
    plan_trigger    the same for the first call
    read            reader of the answer (reasoning/conclusion.py); None: by the item
    solvers         of sub-problems that begin with "[name]" (solvers.py): {name: S}, or names such
                    as "calculator,sort"; "": the model solves all
    most            sub-problems that are solved at most
    max_tokens      of each reply
    returns         Answer; details: "sub_problems" (None: the first reply had no list, and nothing
                    was solved), "pairs", "plan", and the "dropped" demonstrations
    """
    check_counts("least_to_most", least=0, most=most)
    asked: dict[str, Any] = {"stop": STOP, "seed": seed, "max_tokens": max_tokens}
    begin = f" {plan_trigger}".rstrip()
    # {p_1, .., p_n} = G(p_0)   (3.2)
    prompt = decomposition_prompt(item, decompositions, note_of(solvers))
    reply = lm.complete(prompt, begin=begin, **asked)
    problems = lm.parsed("sub-problems", read_needed(reply.text))
    if problems is None:
        return Answer(None, reply.text, {"sub_problems": None, "pairs": [], "plan": None})
    options: dict[str, Any] = {"trigger": trigger, "seed": seed, "max_tokens": max_tokens}
    # a_i = S_i(p_i, {p_0, p_<i, a_<i}), then a_0 = S_0(p_0, p_<=n, a_<=n)   (3.3, 3.4)
    solver = Solver(lm, item, demonstrations, **options)
    # In the loop of all methods, a list is a G_i that does not look at answers.
    listed = up_front(lambda problem: problems)
    solve = route(named_solvers(solvers), solver.solve)
    plan = decompose(item, listed, solve, solver.conclude, most)
    value = lm.parsed("answer", (read or reader(item, demonstrations))(plan.answer, item))
    details = {"sub_problems": problems, "pairs": plan.pairs, "plan": plan}
    details["dropped"] = dropped_of(solver.fits)
    return Answer(value, solver.text, details)
