"""Checks of derivatives against differences, and wrong derivatives that the checks must reject.

In order: differences.py, compare.py, gradcheck.py, user_code.py (functions of your own),
known_rule_errors.py, known_errors.py and mutants.py (errors planted on purpose).
"""
