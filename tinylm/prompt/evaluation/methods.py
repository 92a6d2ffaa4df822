"""All prompting methods by name, each with its section of the book.

A method is a function method(lm, item, demonstrations=(), ..) -> Answer; one that needs all
questions for the answer to each, or that learns from the demonstrations before the first question,
is method(lm, items, demonstrations=(), ..) -> list of Answer. It is imported when it is used, so
that a list of all is quick. Read next: needs.py, runner.py.
"""

import difflib
import importlib
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinylm.errors import ConfigError
from tinylm.generate.sample import Sampling

# Arguments that every method takes from its caller; the others are its own options.
COMMON = "lm", "item", "items", "demonstrations", "seed"
SAMPLING = typing.get_type_hints(Sampling)  # {name: type}
SIMPLE = int, float, str, bool


@dataclass(frozen=True)
class Method:
    """A prompting method.

    name      as on the command line
    section   of the book
    function  "module:name"
    summary   a line
    passes    "module:name" of the function that gets the keywords which the method passes on;
              "": those of a method with **sampling are fields of generate.Sampling
    needs     names of what it cannot do without, keys of NEEDS (needs.py)
    ignores   fields of a question, and "demonstrations", that change nothing that it does
    """

    name: str
    section: str
    function: str
    summary: str
    passes: str = ""
    needs: tuple = ()
    ignores: tuple = ()

    def load(self) -> Callable:
        """The function."""
        return _loaded(self.function)

    def options(self) -> dict[str, Any]:
        """The method's options with their defaults, with those that it passes on: {name: value}.

        Fields of Sampling are left out: see `kinds`.
        """
        found = _defaults(self.load())
        if self.passes:
            found = {**_defaults(_loaded(self.passes)), **found}
        return found

    def samples(self) -> bool:
        """True if the function takes fields of Sampling as **sampling."""
        parameters = inspect.signature(self.load()).parameters.values()
        return not self.passes and any(p.kind is p.VAR_KEYWORD for p in parameters)

    def accepts(self, name: str) -> bool:
        """True if the function takes a keyword of that name."""
        return name in self.options() or (self.samples() and name in SAMPLING)

    def kinds(self) -> dict[str, Any]:
        """What can be set by a word of the command line: {name: type}."""
        found = {}
        for name, value in self.options().items():
            if type(value) in SIMPLE:
                found[name] = type(value)
            elif _is_texts(value):
                found[name] = tuple[str, ...]
        if self.samples():
            found |= SAMPLING
        return found


def _is_texts(value):
    """True for a tuple of str, at least one."""
    return type(value) is tuple and bool(value) and all(type(one) is str for one in value)


def _loaded(function):
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(f"tinylm.prompt.{module}"), name)


def _defaults(function):
    """{name: default} of the keywords that a function can do without."""
    parameters = inspect.signature(function).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in COMMON and parameter.default is not parameter.empty
    }


# What methods ignore: of a text that is worked on, it has no options and is about no passage.
OPTIONS, PASSAGE, DEMOS = ("options",), ("context",), ("demonstrations",)
TEXT = OPTIONS + PASSAGE
PATHS = "ensemble.paths:sample_paths"  # what votes on chains of thought sample them by

# fmt: off
METHODS = {
    method.name: method
    for method in (
        Method("zero-shot", "3.1.2", "in_context.few_shot:zero_shot", "the question alone",
               ignores=DEMOS),
        Method("few-shot", "3.1.2", "in_context.few_shot:few_shot", "after demonstrations",
               needs=("demonstrations",)),
        Method("calibrated", "3.1.4.1", "in_context.calibration:contextual_calibration",
               "options, less what the prompt alone prefers", needs=("options",)),
        Method("batch-calibrated", "3.1.4.1", "in_context.calibration:batch_calibration",
               "options, less what all questions prefer", needs=("options", "batch")),
        Method("classify", "3.1.4.1", "evaluation.task_methods:classify",
               "a text by its labels: scored, written, or a cloze", needs=("options",),
               ignores=PASSAGE),
        Method("verbalizer", "3.1.4.1", "evaluation.task_methods:verbalizer",
               "a text by words that stand for the labels", ignores=PASSAGE + DEMOS),
        Method("names", "3.1.4.2", "tasks.extraction:extract_names", "all person names of a text",
               ignores=TEXT),
        Method("entities", "3.1.4.2", "evaluation.task_methods:entities",
               "named entities of a text with their types", ignores=TEXT),
        Method("relations", "3.1.4.2", "evaluation.task_methods:relations",
               "how given entities are related", needs=("entities",), ignores=TEXT),
        Method("extract", "3.1.4.2", "evaluation.task_methods:extract",
               "keywords, events, coreference, or what task= describes", ignores=TEXT),
        Method("story", "3.1.4.3", "tasks.generation:continue_story", "a story is continued",
               ignores=TEXT),
        Method("dialogue", "3.1.4.3", "evaluation.task_methods:dialogue",
               "a dialogue is continued by turns", needs=("speakers",), ignores=TEXT),
        Method("write", "3.1.4.3", "evaluation.task_methods:write",
               "a text within limits that are checked", ignores=TEXT),
        Method("write-function", "3.1.4.3", "evaluation.task_methods:write_function",
               "Python code; run=true runs it on cases", needs=("function",), ignores=TEXT),
        Method("complete-function", "3.1.4.3", "evaluation.task_methods:complete_function",
               "Python code that is begun; run=true runs it on cases", needs=("beginning",),
               ignores=TEXT),
        Method("translate", "3.1.4.4", "tasks.transformation:translate",
               "a text into another language", ignores=TEXT),
        Method("summarize", "3.1.4.4", "tasks.transformation:summarize",
               "a text in at most limit= words", ignores=TEXT),
        Method("rewrite", "3.1.4.4", "tasks.transformation:rewrite", "a text in another style",
               ignores=TEXT),
        Method("choose-letter", "3.1.4.5", "tasks.multiple_choice:choose_by_letter",
               "options are listed, their letters scored", needs=("options",)),
        Method("choose-option", "3.1.4.5", "tasks.multiple_choice:choose_by_option",
               "options are listed, their texts scored", needs=("options",)),
        Method("choose-cloze", "3.1.4.5", "tasks.multiple_choice:choose_by_cloze",
               "options are not listed, their texts scored", needs=("options",)),
        Method("choose-generated", "3.1.4.5", "tasks.multiple_choice:choose_generated",
               "options are listed, the reply names one", needs=("options",)),
        Method("word-problem", "3.1.4.5", "evaluation.task_methods:word_problem",
               "worked solutions that end with #### number", needs=("rationales",),
               ignores=OPTIONS),
        Method("context-only", "3.1.3", "template.tables:answer_from_context",
               "from the item's passage and nothing else", needs=("context",),
               ignores=OPTIONS + DEMOS),
        Method("stepwise", "3.1.3", "template.stepwise:solve_stepwise",
               "four named steps of a mathematician", ignores=TEXT + DEMOS),
        Method("solve-then-judge", "3.1.3", "template.rounds:solve_then_judge",
               "a second round judges and solves again", ignores=TEXT + DEMOS),
        Method("chain-of-thought", "3.2.1", "reasoning.chain_of_thought:chain_of_thought",
               "demonstrations with their reasoning", needs=("rationales",)),
        Method("zero-shot-cot", "3.2.1", "reasoning.chain_of_thought:zero_shot_cot",
               "Let's think step by step.", ignores=DEMOS),
        Method("two-stage-cot", "3.2.1", "reasoning.chain_of_thought:two_stage_cot",
               "reason, then extract the answer", ignores=DEMOS),
        Method("tree-of-thoughts", "3.2.1", "reasoning.thoughts:tree_of_thoughts",
               "search over partial reasoning"),
        Method("graph-of-thoughts", "3.2.1", "reasoning.graph_answer:graph_of_thoughts",
               "the best solutions are merged and improved"),
        Method("least-to-most", "3.2.2", "decompose.least_to_most:least_to_most",
               "sub-problems are listed, then solved in order"),
        Method("successive", "3.2.2", "decompose.successive:successive_prompting",
               "the next sub-problem once the last is solved"),
        Method("recursive", "3.2.2", "decompose.recursive:recursive_prompting",
               "sub-problems are decomposed in turn"),
        Method("outline", "3.2.2", "decompose.outline:outline_then_write",
               "an outline, then its sections", ignores=TEXT + DEMOS),
        Method("map-reduce", "3.2.2", "decompose.map_reduce:map_reduce",
               "does a long passage discuss the topic?", needs=("context",),
               ignores=OPTIONS + DEMOS),
        Method("in-parts", "3.2.2", "decompose.shorter:in_parts",
               "shorter questions of the same kind", "in_context.few_shot:zero_shot",
               needs=("parts",), ignores=DEMOS),
        Method("multi-hop", "3.2.2", "decompose.multi_hop:multi_hop",
               "a search in the passage for each hop", needs=("context",)),
        Method("scan", "3.2.2", "decompose.scan:scan_least_to_most",
               "SCAN commands by the commands inside them", needs=("command",),
               ignores=TEXT + DEMOS),
        Method("self-refine", "3.2.3", "refine.self_refine:self_refine",
               "draft, feedback, refinement", ignores=TEXT),
        Method("refine-aspects", "3.2.3", "refine.aspects:refine_aspects",
               "translate, then refine by instruction", needs=("languages",), ignores=TEXT),
        Method("deliberate", "3.2.3", "refine.deliberate:deliberate",
               "translate, name the error, then refine", needs=("languages",), ignores=TEXT),
        Method("deliberate-negative", "3.2.3", "refine.deliberate:deliberate_negative",
               "translate after a random wrong draft", needs=("languages", "demonstrations"),
               ignores=TEXT),
        Method("prompt-ensemble", "3.2.4", "ensemble.prompts:prompt_ensemble",
               "several prompts vote"),
        Method("grid", "3.2.4", "evaluation.task_methods:prompts_and_samples",
               "several prompts with several samples each vote", ignores=OPTIONS),
        Method("token-ensemble", "3.2.4", "ensemble.tokens:token_ensemble",
               "several prompts choose each token", ignores=OPTIONS),
        Method("marginal", "3.2.4", "ensemble.marginal:marginal_answer",
               "options summed over several prompts", needs=("options",)),
        Method("model-vote", "3.2.4", "evaluation.model_methods:models_vote",
               "several models vote", needs=("models",)),
        Method("model-average", "3.2.4", "evaluation.model_methods:models_average",
               "several models choose each token", needs=("models",)),
        Method("best-of-n", "3.2.4", "ensemble.outputs:best_of_n",
               "the best scored of n chains of thought", PATHS),
        Method("self-consistency", "3.2.4", "ensemble.self_consistency:self_consistency",
               "sampled chains of thought vote", PATHS),
        Method("least-risk", "3.2.4", "ensemble.bayes_risk:least_risk",
               "the sample most like the others", ignores=OPTIONS),
        Method("rag", "3.2.5", "rag.answer:retrieval_answer",
               "from retrieved texts, or \"No answer!\"", needs=("context",)),
        Method("tools", "3.2.5", "tools.answer:tool_answer",
               "calls of tools are run while it writes", ignores=PASSAGE),
        Method("ape", "3.3.1", "evaluation.search_methods:ape",
               "a model writes instructions; the best ones are varied",
               needs=("demonstrations",)),
        Method("paraphrases", "3.3.1", "evaluation.search_methods:paraphrases",
               "the best paraphrase of an instruction",
               needs=("instruction", "demonstrations")),
        Method("bandit", "3.3.1", "evaluation.search_methods:bandit",
               "the best paraphrase, found by few evaluations",
               needs=("instruction", "demonstrations")),
        Method("grips", "3.3.1", "evaluation.search_methods:grips",
               "phrases of an instruction are edited",
               needs=("instruction", "demonstrations")),
        Method("protegi", "3.3.1", "evaluation.search_methods:protegi",
               "an instruction is criticized by its errors, and revised",
               needs=("instruction", "demonstrations")),
        Method("evolution", "3.3.1", "evaluation.search_methods:evolution",
               "instructions are crossed and mutated by a model",
               needs=("instruction", "demonstrations")),
        Method("nearest", "3.3.1", "evaluation.chosen_methods:nearest",
               "after the demonstrations most like the question",
               needs=("demonstrations",)),
        Method("diverse", "3.3.1", "evaluation.chosen_methods:diverse",
               "after near demonstrations that differ", needs=("demonstrations",)),
        Method("clustered", "3.3.1", "evaluation.chosen_methods:clustered",
               "after one demonstration of each cluster", needs=("demonstrations",)),
        Method("learned-retriever", "3.3.1", "evaluation.chosen_methods:learned",
               "after those that a trained retriever chooses", needs=("demonstrations",)),
        Method("auto-cot", "3.3.1", "evaluation.chosen_methods:self_written",
               "after demonstrations whose steps the model wrote", needs=("pool",)),
        Method("simplified", "3.3.3", "evaluation.compressed_methods:simplified",
               "an instruction shortened by rules", needs=("instruction",)),
        Method("selective-context", "3.3.3", "evaluation.compressed_methods:selective_passage",
               "a passage without what the model expects", needs=("context",)),
        Method("limited-passage", "3.3.3", "evaluation.compressed_methods:limited_passage",
               "a passage that the model has shortened", needs=("context",)),
        Method("llmlingua", "3.3.3", "evaluation.compressed_methods:compressed",
               "a prompt compressed by demonstrations and tokens",
               needs=("shortened",)),
    )
}
# fmt: on


# What has another signature, as it takes a model of another kind, a model to train, or a space of
# prompts: {what: (section, module)}.
LIBRARY_ONLY = {
    "text editing by learned rules": ("3.2.3", "refine.brill"),
    "tools that a model learns": ("3.2.5", "tools.toolformer"),
    "fine-tuning for retrieved texts": ("3.2.5", "rag.training_data"),
    "search strategies in a space of prompts": ("3.3.1", "optimize.search"),
    "one field of a prompt at a time": ("3.3.1", "in_context.structured"),
    "prompts of one model with another": ("3.3", "optimize.transfer"),
    "a trained simplifier of prompts": ("3.3.3", "compress.simplifier"),
    "quality against length": ("3.3.3", "compress.quality_by_rate"),
    "classification by a masked model": ("3.4", "tasks.masked_cloze"),
}


# What papers call them.
ALIASES = {
    "cot": "chain-of-thought",
    "zero-shot-chain-of-thought": "zero-shot-cot",
    "sc": "self-consistency",
    "cot-sc": "self-consistency",
    "l2m": "least-to-most",
    "ltm": "least-to-most",
    "tot": "tree-of-thoughts",
    "got": "graph-of-thoughts",
    "bon": "best-of-n",
    "mbr": "least-risk",
    "evoprompt": "evolution",
    "epr": "learned-retriever",
}


def method_named(name: str) -> Method:
    """The Method of a name or an alias, in any case. Raises ConfigError with the closest names."""
    known = name.lower()
    known = ALIASES.get(known, known)
    if known in METHODS:
        return METHODS[known]
    hint = f"there are {', '.join(METHODS)}"
    if near := difflib.get_close_matches(known, METHODS, n=3):
        hint = f"did you mean {' or '.join(near)}? `tinylm prompt --list` shows all"
    raise ConfigError(f"no prompting method {name!r}; {hint}")
