"""Pretraining before self-supervision, and few labels with much text   (book section 1.1.1).

In order: layerwise.py (layer by layer), naive_bayes.py, self_training.py, co_training.py,
decision_list.py (Yarowsky). cases.py holds the gradient checks of layerwise.py.
"""
