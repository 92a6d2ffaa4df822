"""Objectives that classify instead of generating   (book section 1.2.2.3; Table 1.1).

In order: pairs.py (next sentence, sentence order), replaced.py (ELECTRA), contrastive.py.
"""
