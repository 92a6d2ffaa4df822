"""Verbs that show something: models.py, tokenize.py, corrupt.py, data.py, book.py, plan.py,
plot.py (charplot.py draws in the terminal).
"""
