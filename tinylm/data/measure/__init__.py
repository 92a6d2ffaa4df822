"""What can be measured on texts alone: memorization.py, bias.py, collapse.py (models trained on models), answers.py
(exact match, token F1, ROUGE-L).
"""
