"""Effects of training text on a model, and scores of answers: memorization.py, bias.py, collapse.py
(models trained on models), answers.py (exact match, token F1, ROUGE-L), numbers.py (numbers in
answers, compared by value), proportions.py (accuracy with its interval, pass@k), calibration.py.
"""
