"""A model proposes thoughts, and evaluates them   (book section 3.2.1; Yao et al. 2023).

    propose    sample lines that may come next, each alone; or all of them in one reply
    evaluate   Pr(sure), Pr(likely), Pr(impossible) after the steps so far, times 20, 1, 0.001; or
               votes for the best of several states

A state is the tuple of lines so far; a line with a conclusion ("The answer is 5.") finishes it. The
search is that of tree_of_thoughts.py. Read next: game_of_24.py.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.chain_of_thought import fitted_cot_prompt
from tinylm.prompt.reasoning.conclusion import read_conclusion, split_conclusion
from tinylm.prompt.reasoning.tree_of_thoughts import breadth_first
from tinylm.prompt.template.fields import render_fields

EVALUATE = (
    "Evaluate whether the steps so far can lead to the answer of the question. "
    "Reply sure, likely or impossible."
)
# How much each reply is worth: the numbers of the paper's program.
WORTH = {" sure": 20.0, " likely": 1.0, " impossible": 0.001}
VOTE = (
    "Several beginnings of a solution are given. Decide which is the most promising. "
    "Reply with its number."
)


def sample_thoughts(
    lm: TextLM,
    prompt: str,
    state: tuple[str, ...],
    count: int,
    *,
    seed: int = 0,
    max_tokens: int = 64,
    stop: str | Sequence[str] | None = (),
    temperature: float = 0.7,
) -> list[tuple[str, ...]]:
    """Lines that may come next, sampled each alone: states of one line more.

    prompt   str; the lines of the state are what the reply begins with
    returns  list of at most `count` tuples, as equal and empty lines are dropped
    """
    # z ~ Pr(. | x, s): the state s is what the reply begins with, and a line break ends z.
    begin = "".join(f"\n{line}" for line in state) + "\n"
    replies = lm.sample(
        prompt,
        count,
        seed=seed,
        begin=begin,
        max_tokens=max_tokens,
        stop=("\n", *stop),
        temperature=temperature,
    )
    # Equal lines are one thought: the search would follow the same path twice.
    lines = dict.fromkeys(reply.text.strip() for reply in replies)
    return [(*state, line) for line in lines if line]


def list_thoughts(
    lm: TextLM,
    prompt: str,
    state: tuple[str, ...],
    *,
    seed: int = 0,
    max_tokens: int = 256,
    stop: str | Sequence[str] | None = (),
) -> list[tuple[str, ...]]:
    """Lines that may come next, all in one reply, so that they differ: states of one line more.

    prompt   str that asks for one possible next step on each line
    """
    # In one reply each proposal is written after the others, and so is rarely the same.
    reply = lm.complete(prompt, seed=seed, max_tokens=max_tokens, stop=stop)
    lines = dict.fromkeys(line.strip() for line in reply.text.splitlines())
    found = [(*state, line) for line in lines if line]
    return lm.parsed("thoughts", found)


def value_thoughts(
    lm: TextLM, question: str, states: Sequence[tuple[str, ...]], worth: dict[str, float] = WORTH
) -> np.ndarray:
    """The expected worth of each state, by the probabilities of the replies.

    worth    {continuation: its worth}
    returns  (len(states),) float64: sum over replies of Pr(reply) worth(reply), where Pr is over
             these replies alone
    """
    prompts = []
    for state in states:
        steps = " ".join(state)
        fields = [("", EVALUATE), ("Question", question), ("Steps", steps), ("Evaluation", None)]
        prompts.append(render_fields(fields))
    # The paper samples the word several times; its probability is what the shares tend to.
    found = lm.score_batch(prompts, list(worth))
    return np.array([scores.probabilities() @ list(worth.values()) for scores in found])


def vote(
    lm: TextLM,
    question: str,
    states: Sequence[tuple[str, ...]],
    *,
    votes: int = 5,
    seed: int = 0,
    max_tokens: int = 16,
    temperature: float = 0.7,
) -> np.ndarray:
    """Shares of votes for each state: (len(states),) float64, with the sum 1.

    votes    replies that are sampled; one without the number of a state is no vote
    returns  equal shares if there was no vote at all
    """
    if votes < 1:
        raise ConfigError(f"vote: votes {votes} must be 1 or more")
    choices = [(f"Choice {i + 1}", " ".join(state)) for i, state in enumerate(states)]
    fields = [("", VOTE), ("Question", question), *choices, ("Best choice", None)]
    replies = lm.sample(
        render_fields(fields), votes, seed=seed, max_tokens=max_tokens, temperature=temperature
    )
    numbers = [re.search(r"[0-9]+", reply.text) for reply in replies]
    numbers = [int(found[0]) for found in numbers if found]
    counts = Counter(number for number in numbers if 1 <= number <= len(states))
    lm.parsed("votes", counts)
    if not counts:
        return np.full(len(states), 1 / len(states))
    return np.array([counts[i + 1] for i in range(len(states))]) / counts.total()


def tree_of_thoughts(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    width: int = 2,
    branches: int = 3,
    depth: int = 6,
    evaluate: Callable = value_thoughts,
    prompt: FewShotPrompt | None = None,
    read: Callable | None = None,
    seed: int = 0,
    max_tokens: int = 64,
    temperature: float = 0.7,
) -> Answer:
    """Answer a question by a breadth-first search over lines of reasoning.

    demonstrations  Items whose rationales have one step on each line
    width           states kept at each depth; 1: a greedy chain of the best lines
    branches        lines that are sampled for each of them
    depth           most lines;  max_tokens  of a line
    evaluate        function (lm, question, states) -> their values; a verifier's, or vote()
    read            reader of the answer (conclusion.py); None: by the item
    returns         Answer of the best state; details: "search", a Search, and "steps"; "kept" and
                    "dropped" demonstrations
    """
    check_counts("tree_of_thoughts", width=width, branches=branches, depth=depth)
    prompt = prompt or FewShotPrompt()
    # All lines of the deepest state stand behind the prompt.
    fitted, calls = fitted_cot_prompt(lm, item, demonstrations, prompt, depth * max_tokens), 0

    def propose(state):
        nonlocal calls
        calls += 1
        return sample_thoughts(
            lm,
            fitted.text,
            state,
            branches,
            seed=seed + (calls - 1) * branches,  # no two lines are drawn with the same seed
            max_tokens=max_tokens,
            stop=prompt.stop,
            temperature=temperature,
        )

    def values(states):
        return evaluate(lm, item.question, states)

    def finished(state):
        return split_conclusion(state[-1])[1] is not None

    # With width and branches of 1 this is a chain of thought, line by line.
    search = breadth_first((), propose, values, depth=depth, width=width, finished=finished)
    details = {"search": search, "steps": list(search.state or ()), **fitted.details}
    if search.state is None or not finished(search.state):
        return Answer(None, "\n".join(search.state or ()), details)
    _, value = read_conclusion(search.state[-1], item, read, demonstrations)
    return Answer(lm.parsed("answer", value), "\n".join(search.state), details)
