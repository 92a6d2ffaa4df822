"""What texts do to a model, and how near an answer is: memorization.py, bias.py, collapse.py
(models trained on models), answers.py (exact match, token F1, ROUGE-L).
"""
