"""Reasoning in words before the answer   (book section 3.2.1).

In order: conclusion.py (where steps end and the answer begins), chain_of_thought.py (few-shot,
zero-shot and in two stages), second_call.py (room for the second stage), calculator.py (arithmetic
on exact fractions), annotations.py (computed steps of a solution, checked), calculator_loop.py
(results forced into the text while it is generated), error_injection.py (how far an error goes),
tree_of_thoughts.py (search over steps), thoughts.py (a model proposes and evaluates them),
game_of_24.py (a search whose truth is known), graph_of_thoughts.py (thoughts that are merged and
refined), graph_answer.py (a question answered so), sorting.py (lists that are split, sorted and
merged).
"""

from tinylm.prompt.reasoning.calculator import calculate, decimal_text
from tinylm.prompt.reasoning.calculator_loop import complete_with_calculator
from tinylm.prompt.reasoning.chain_of_thought import (
    chain_of_thought,
    cot_prompt,
    two_stage_cot,
    with_trigger,
    zero_shot_cot,
)
from tinylm.prompt.reasoning.conclusion import split_conclusion
from tinylm.prompt.reasoning.error_injection import chain_accuracy, flip_rates
from tinylm.prompt.reasoning.graph_of_thoughts import ThoughtGraph
from tinylm.prompt.reasoning.thoughts import tree_of_thoughts
from tinylm.prompt.reasoning.tree_of_thoughts import breadth_first, depth_first

__all__ = [
    "ThoughtGraph",
    "breadth_first",
    "calculate",
    "chain_accuracy",
    "chain_of_thought",
    "complete_with_calculator",
    "cot_prompt",
    "decimal_text",
    "depth_first",
    "flip_rates",
    "split_conclusion",
    "tree_of_thoughts",
    "two_stage_cot",
    "with_trigger",
    "zero_shot_cot",
]
