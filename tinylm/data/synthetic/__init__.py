"""Synthetic corpora with known correct answers, for tests and experiments.

markov.py (known entropy), junk.py (known junk), reviews.py, topics.py (many classes),
told_facts.py, long_tasks.py and long_kinds.py (questions about something far back in the text),
hmm_mixture.py (learning in context as Bayesian inference), list_tasks.py (instructions with a
hidden gold reward). prompted/ has questions with exact
answers, made with draws.py and templates.py.
"""
