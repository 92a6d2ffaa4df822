"""Contexts made short: distilled into weights, into gist tokens, into vectors   (book sections
3.3.2.1-3.3.2.3).

Read contexts.py first.
"""
