"""Learning a task without losing the one before   (book section 1.4).

Read forgetting.py first.
"""
