"""Reasoning in words before the answer   (book section 3.2.1).

In order: calculator.py (arithmetic on exact fractions), annotations.py (computed steps of a
solution, checked), calculator_loop.py (results forced into the text while it is generated).
"""

from tinylm.prompt.reasoning.calculator import calculate, decimal_text
from tinylm.prompt.reasoning.calculator_loop import complete_with_calculator

__all__ = ["calculate", "complete_with_calculator", "decimal_text"]
