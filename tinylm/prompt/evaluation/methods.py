"""All prompting methods by name, each with its section of the book.

A method is a function method(lm, item, demonstrations=(), ..) -> Answer. It is imported when it is
used, so that a list of all is quick. Read next: runner.py.
"""

import difflib
import importlib
import inspect
from dataclasses import dataclass

from tinylm.errors import ConfigError

# Arguments that every method takes from its caller; the others are its own options.
COMMON = "lm", "item", "demonstrations", "seed"


@dataclass(frozen=True)
class Method:
    """A prompting method.

    name      as on the command line
    section   of the book
    function  "module:name"
    summary   a line
    """

    name: str
    section: str
    function: str
    summary: str

    def load(self):
        """The function."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(f"tinylm.prompt.{module}"), name)

    def options(self):
        """The method's own options with their defaults: {name: value}."""
        parameters = inspect.signature(self.load()).parameters
        return {
            name: parameter.default
            for name, parameter in parameters.items()
            if name not in COMMON and parameter.kind is not parameter.VAR_KEYWORD
        }

    def accepts(self, name):
        """True if the function takes a keyword of that name."""
        parameters = inspect.signature(self.load()).parameters.values()
        return name in self.options() or any(p.kind is p.VAR_KEYWORD for p in parameters)


# fmt: off
METHODS = {
    method.name: method
    for method in (
        Method("zero-shot", "3.1.2", "in_context.few_shot:zero_shot", "the question alone"),
        Method("few-shot", "3.1.2", "in_context.few_shot:few_shot", "after demonstrations"),
        Method("calibrated", "3.1.4.1", "in_context.calibration:contextual_calibration",
               "options, less what the prompt alone prefers"),
        Method("context-only", "3.1.3", "template.tables:answer_from_context",
               "from the item's passage and nothing else"),
        Method("stepwise", "3.1.3", "template.stepwise:solve_stepwise",
               "four named steps of a mathematician"),
        Method("solve-then-judge", "3.1.3", "template.rounds:solve_then_judge",
               "a second round judges and solves again"),
        Method("chain-of-thought", "3.2.1", "reasoning.chain_of_thought:chain_of_thought",
               "demonstrations with their reasoning"),
        Method("zero-shot-cot", "3.2.1", "reasoning.chain_of_thought:zero_shot_cot",
               "Let's think step by step."),
        Method("two-stage-cot", "3.2.1", "reasoning.chain_of_thought:two_stage_cot",
               "reason, then extract the answer"),
        Method("tree-of-thoughts", "3.2.1", "reasoning.thoughts:tree_of_thoughts",
               "search over partial reasoning"),
        Method("least-to-most", "3.2.2", "decompose.least_to_most:least_to_most",
               "sub-problems are listed, then solved in order"),
        Method("successive", "3.2.2", "decompose.successive:successive_prompting",
               "the next sub-problem once the last is solved"),
        Method("recursive", "3.2.2", "decompose.recursive:recursive_prompting",
               "sub-problems are decomposed in turn"),
        Method("outline", "3.2.2", "decompose.outline:outline_then_write",
               "an outline, then its sections"),
        Method("map-reduce", "3.2.2", "decompose.map_reduce:map_reduce",
               "a long passage segment by segment"),
        Method("multi-hop", "3.2.2", "decompose.multi_hop:multi_hop",
               "a search in the passage for each hop"),
        Method("scan", "3.2.2", "decompose.scan:scan_least_to_most",
               "SCAN commands by the commands inside them"),
        Method("self-refine", "3.2.3", "refine.self_refine:self_refine",
               "draft, feedback, refinement"),
        Method("refine-aspects", "3.2.3", "refine.aspects:refine_aspects",
               "refine a translation by instruction"),
        Method("deliberate", "3.2.3", "refine.deliberate:deliberate",
               "name the error of a draft, then refine it"),
        Method("deliberate-negative", "3.2.3", "refine.deliberate:deliberate_negative",
               "write after a random wrong draft"),
        Method("prompt-ensemble", "3.2.4", "ensemble.prompts:prompt_ensemble",
               "several prompts vote"),
        Method("token-ensemble", "3.2.4", "ensemble.tokens:token_ensemble",
               "several prompts choose each token"),
        Method("marginal", "3.2.4", "ensemble.marginal:marginal_answer",
               "options summed over several prompts"),
        Method("best-of-n", "3.2.4", "ensemble.outputs:best_of_n",
               "the best scored of n chains of thought"),
        Method("self-consistency", "3.2.4", "ensemble.self_consistency:self_consistency",
               "sampled chains of thought vote"),
        Method("least-risk", "3.2.4", "ensemble.bayes_risk:least_risk",
               "the sample most like the others"),
        Method("rag", "3.2.5", "rag.answer:retrieval_answer",
               "from retrieved texts, or \"No answer!\""),
        Method("tools", "3.2.5", "tools.answer:tool_answer",
               "calls of tools are run while it writes"),
    )
}
# fmt: on


def method_named(name):
    """The Method of a name. Raises ConfigError with the closest names."""
    if name in METHODS:
        return METHODS[name]
    hint = f"there are {', '.join(METHODS)}"
    if near := difflib.get_close_matches(name, METHODS, n=3):
        hint = f"did you mean {' or '.join(near)}? `tinylm prompt --list` shows all"
    raise ConfigError(f"no prompting method {name!r}; {hint}")
