"""Why any derivative should be believed: checks against differences, and wrong derivatives that
they must reject.

In order: differences.py, compare.py, gradcheck.py, user_code.py (functions of one's own),
known_errors.py and mutants.py (errors planted on purpose).
"""
