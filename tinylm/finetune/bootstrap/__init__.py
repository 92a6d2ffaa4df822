"""Learning from few labels and much text, as before pretraining   (book section 1.1).

Read self_training.py first.
"""
