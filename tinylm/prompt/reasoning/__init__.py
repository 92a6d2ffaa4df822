"""Reasoning in words before the answer   (book section 3.2.1).

In order: conclusion.py (where steps end and the answer begins), chain_of_thought.py (few-shot,
zero-shot and in two stages), calculator.py (arithmetic on exact fractions), annotations.py
(computed steps of a solution, checked), calculator_loop.py (results forced into the text while it
is generated).
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

__all__ = [
    "calculate",
    "chain_of_thought",
    "complete_with_calculator",
    "cot_prompt",
    "decimal_text",
    "split_conclusion",
    "two_stage_cot",
    "with_trigger",
    "zero_shot_cot",
]
