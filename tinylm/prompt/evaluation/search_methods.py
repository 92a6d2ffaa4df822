"""Methods that first search for a prompt, and then answer all questions with it   (book section
3.3.1).

The demonstrations are the examples on which prompts are scored; no prompt shows them. The winner's
score on them is too high, since it was chosen by it. So it is reported apart from the accuracy on
the questions, which take no part in the search, and from the score on demonstrations that are held
out. The searches themselves are in ../optimize. Read next: methods.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import optimize
from tinylm.prompt.answer import Answer, answer_or_error, check_counts, with_report
from tinylm.prompt.in_context.few_shot import FewShotPrompt, zero_shot
from tinylm.prompt.in_context.selection import text_of
from tinylm.prompt.optimize import ape as written
from tinylm.prompt.optimize import bandit as bandits
from tinylm.prompt.optimize import evolve
from tinylm.prompt.optimize.paraphrase import Lexicon, lm_paraphrases, lm_translator, round_trip
from tinylm.prompt.protocol.text_lm import TextLM

MEASURES = {"accuracy": optimize.TaskMetric, "likelihood": optimize.LogLikelihood}
ALGORITHMS = {
    "halving": bandits.successive_halving,
    "rejects": bandits.successive_rejects,
    "ucb": bandits.ucb,
    "uniform": bandits.uniform,
}


def ape(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    description: str = "",
    pairs: int = 4,
    candidates: int = 8,
    keep: float = 0.5,
    rounds: int = 2,
    variants: int = 2,
    writing: int = 96,
    by: str = "accuracy",
    budget: int = 0,
    held: int = 0,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """APE: the model writes instructions, the best are paraphrased, the best of all is used.

    prompt       FewShotPrompt; its instruction is a candidate too, unless it is empty
    description  of the task, from which candidates are written; "": they are inferred from pairs
    pairs        demonstrations that the model infers an instruction from
    candidates   how many are written at first;  keep  share of them that is paraphrased
    rounds       of paraphrasing;  variants  paraphrases of each
    writing      most tokens of a reply that holds prompts
    by           what is optimized: "accuracy", or "likelihood" of the right answers
    budget       most (prompt, demonstration) pairs that are scored; 0: no limit
    held         demonstrations, the last ones, that take no part in the search and test the winner
    returns      list of Answer or DataError; details of the first: "report"
    raises       ConfigError for a wrong option, or a question that is a demonstration
    """
    check_counts("ape", least=0, rounds=rounds)
    check_counts("ape", pairs=pairs, candidates=candidates, variants=variants, writing=writing)
    search = _Search.of("ape", lm, items, demonstrations, prompt, by, budget, held, max_tokens)
    options = {"seed": seed, "max_tokens": writing}
    if description:
        first = written.init_from_description(lm, description, candidates, **options)
    else:
        first = written.init_from_pairs(lm, search.examples[:pairs], candidates, **options)
    first += [search.form.instruction] * bool(search.form.instruction)
    expand = written.paraphraser(lm, variants, max_tokens=writing)
    found = written.ape(search.evaluate, first, expand, keep, rounds, search.held, seed)
    return search.answers(found, seed)


def grips(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    candidates: int = 5,
    edits: int = 1,
    rounds: int = 10,
    patience: int = 2,
    by: str = "accuracy",
    budget: int = 0,
    held: int = 0,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """GrIPS: phrases of an instruction are deleted, swapped, replaced by synonyms, or added again.

    prompt      FewShotPrompt with the instruction
    candidates, edits, rounds, patience   of optimize.grips
    by, budget, held, and what is returned and raised   as in ape()
    """
    check_counts("grips", least=0, rounds=rounds)
    check_counts("grips", candidates=candidates, edits=edits, patience=patience)
    search = _Search.of("grips", lm, items, demonstrations, prompt, by, budget, held, max_tokens)
    found = optimize.grips(
        search.evaluate,
        search.instruction("grips"),
        Lexicon().paraphrase,
        candidates=candidates,
        edits=edits,
        rounds=rounds,
        patience=patience,
        held=search.held,
        seed=seed,
    )
    return search.answers(found, seed)


def protegi(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    width: int = 2,
    rounds: int = 2,
    batch: int = 16,
    groups: int = 2,
    reasons: int = 1,
    paraphrases: int = 1,
    pulls: int = 100,
    budget: int = 0,
    held: int = 0,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """ProTeGi: the model criticizes an instruction by its mistakes and revises it.

    prompt      FewShotPrompt with the instruction
    width       of the beam;  rounds, batch, pulls  of optimize.protegi
    groups, reasons, paraphrases   of optimize.feedback.feedback_revise
    budget, held, and what is returned and raised   as in ape(); accuracy is optimized, as a mistake
                is an answer that is not right

    The paper has larger numbers (optimize/feedback.py); these are for a model on a few cores.
    """
    check_counts("protegi", least=0, rounds=rounds, paraphrases=paraphrases)
    check_counts("protegi", width=width, batch=batch, groups=groups, reasons=reasons, pulls=pulls)
    search = _Search.of(
        "protegi", lm, items, demonstrations, prompt, "accuracy", budget, held, max_tokens
    )
    found = optimize.protegi(
        lm,
        search.evaluate,
        [search.instruction("protegi")],
        width,
        rounds,
        batch,
        pulls=pulls,
        held=search.held,
        seed=seed,
        groups=groups,
        reasons=reasons,
        paraphrases=paraphrases,
    )
    return search.answers(found, seed)


def evolution(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    size: int = 4,
    generations: int = 3,
    differential: bool = False,
    writing: int = 256,
    by: str = "accuracy",
    budget: int = 0,
    held: int = 0,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """EvoPrompt: the model crosses and mutates prompts; the first ones are an instruction and
    paraphrases of it.

    prompt        FewShotPrompt with the instruction
    size          of the population;  generations  how often it is renewed
    differential  True: differential evolution, of three prompts or more; False: the genetic
                  algorithm
    writing, by, budget, held, and what is returned and raised   as in ape()
    """
    check_counts("evolution", size=size, generations=generations, writing=writing)
    search = _Search.of(
        "evolution", lm, items, demonstrations, prompt, by, budget, held, max_tokens
    )
    population = [search.instruction("evolution")]
    if size > 1:
        population += lm_paraphrases(lm, population[0], size - 1, seed, max_tokens=writing)
    evolved, template = optimize.genetic, evolve.BREED
    if differential:
        evolved, template = optimize.differential, evolve.COMBINE
    begin = "\n<prompt>"  # where a text goes on; a chat carries out the steps before it
    if getattr(lm, "chat", False):
        begin = ""
    operator = evolve.LMOperator(lm, template, begin, writing)
    found = evolved(search.evaluate, population, operator, generations, held=search.held, seed=seed)
    return search.answers(found, seed)


def paraphrases(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: Any = None,
    count: int = 0,
    language: str = "",
    writing: int = 256,
    by: str = "accuracy",
    budget: int = 0,
    held: int = 0,
    seed: int = 0,
    max_tokens: int = 64,
) -> Any:
    """The best of an instruction's paraphrases, each scored on all examples.

    prompt    FewShotPrompt with the instruction
    count     paraphrases that the model writes, beside all that a lexicon of synonyms makes
    language  the model also translates the instruction into it and back, four times four; "": not
    writing, by, budget, held, and what is returned and raised   as in ape()
    """
    check_counts("paraphrases", least=0, count=count)
    check_counts("paraphrases", writing=writing)
    search = _Search.of(
        "paraphrases", lm, items, demonstrations, prompt, by, budget, held, max_tokens
    )
    prompts = _paraphrased(lm, search.instruction("paraphrases"), count, language, writing, seed)
    with search.evaluate.search():
        search.evaluate(prompts)
    return search.answers(search.evaluate.found(search.held), seed)


def bandit(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    algorithm: Callable = "halving",
    pulls: int = 100,
    count: int = 0,
    language: str = "",
    writing: int = 256,
    by: str = "accuracy",
    held: int = 0,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """The same paraphrases; a bandit gives most of a fixed number of evaluations to the best.

    algorithm  "halving" and "rejects" drop the worst by rounds, "ucb" pulls the most promising,
               "uniform" all alike
    pulls      evaluations of one prompt on one example, of all prompts together
    by         as in ape(); for "ucb" scores should be from 0 to 1, as accuracies are
    prompt, count, language, writing, held, and what is returned and raised   as in paraphrases()
    """
    check_counts("bandit", least=0, count=count)
    check_counts("bandit", pulls=pulls, writing=writing)
    if algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise ConfigError(f"bandit: algorithm={algorithm!r} must be one of {known}")
    search = _Search.of("bandit", lm, items, demonstrations, prompt, by, 0, held, max_tokens)
    prompts = _paraphrased(lm, search.instruction("bandit"), count, language, writing, seed)
    evaluate, rng = search.evaluate, np.random.default_rng(seed)
    (best,) = bandits.select_prompts(evaluate, prompts, 1, pulls, rng, ALGORITHMS[algorithm])
    # Its pulls were on some of the examples; the report is of all.
    return search.answers(evaluate.found(search.held, best), seed)


def _paraphrased(lm, instruction, count, language, writing, seed):
    """An instruction and its paraphrases: list of different str."""
    found = [instruction, *Lexicon().paraphrases(instruction)]
    if count:
        found += lm_paraphrases(lm, instruction, count, seed, max_tokens=writing)
    if language:
        there = lm_translator(lm, "English", language, seed=seed, max_tokens=writing)
        back = lm_translator(lm, language, "English", seed=seed, max_tokens=writing)
        found += filter(None, round_trip(instruction, there, back))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Search:
    """What all searches have in common.

    form      FewShotPrompt whose instruction is searched for
    examples  demonstrations that prompts are scored on;  held  those that test the winner
    evaluate  PromptEvaluator;  by  the name of its measure
    items     Items that are answered with the winner, in at most max_tokens each
    """

    lm: object
    form: FewShotPrompt
    examples: list
    held: list
    evaluate: optimize.PromptEvaluator
    by: str
    items: list
    max_tokens: int

    @classmethod
    def of(cls, method, lm, items, demonstrations, prompt, by, budget, held, max_tokens):
        """Raises ConfigError as ape()."""
        if by not in MEASURES:
            raise ConfigError(f"{method}: by={by!r} must be one of {', '.join(MEASURES)}")
        check_counts(method, least=0, budget=budget, held=held)
        demonstrations = list(dict.fromkeys(demonstrations))  # none is both example and held out
        if len(demonstrations) <= held:
            raise ConfigError(
                f"{method}: prompts are tried on demonstrations; of {len(demonstrations)}, "
                f"held={held} leaves none"
            )
        known = {text_of(demo) for demo in demonstrations}
        asked = [item.question for item in items if text_of(item) in known]
        if asked:
            raise ConfigError(
                f"{method}: {len(asked)} of {len(items)} questions are demonstrations, on which "
                f"prompts are tried, first {asked[0]!r:.60}: give other ones"
            )
        form, examples = prompt or FewShotPrompt(), demonstrations[: len(demonstrations) - held]
        options = {"max_tokens": max_tokens}
        if by == "likelihood":
            options = {}
        measure = MEASURES[by](lm, form, **options)
        accounts = [lm.account]
        evaluate = optimize.PromptEvaluator(measure, examples, budget or None, accounts=accounts)
        tested = demonstrations[len(examples) :]
        return cls(lm, form, examples, tested, evaluate, by, list(items), max_tokens)

    def instruction(self, method):
        """The instruction that a search begins with. ConfigError if it is empty."""
        if not self.form.instruction.strip():
            raise ConfigError(f"{method}: give an instruction to begin with: prompt=FewShotPrompt")
        return self.form.instruction

    def answers(self, found, seed):
        """Every question answered zero-shot with the prompt that was found.

        found    optimize.Found
        returns  list of Answer or DataError; details["report"] of the first Answer
        """
        form = replace(self.form, instruction=found.prompt)
        options = {"prompt": form, "max_tokens": self.max_tokens}
        answers = [
            answer_or_error(zero_shot, self.lm, item, seed=seed + 1000 * number, **options)
            for number, item in enumerate(self.items)
        ]
        return with_report(answers, self.report(found))

    def report(self, found):
        """{name: text or number} of a Found."""
        report = {
            "prompt": found.prompt,
            f"{self.by} on the {len(self.examples)} demonstrations that chose it": found.score,
        }
        if found.held_score is not None:
            report[f"{self.by} on {len(self.held)} that were held out"] = found.held_score
        return report | {
            "prompts tried on all of them": len(found.trials),
            "evaluations": found.evaluations,
            "tokens of the search": found.tokens,
        }
