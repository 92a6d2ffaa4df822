"""Synthetic corpora with known correct answers, for tests and experiments.

markov.py (known entropy), junk.py (known junk), reviews.py, told_facts.py, long_tasks.py and
long_kinds.py (questions about something far back in the text). prompted/ has questions with exact
answers, made with draws.py and templates.py.
"""
