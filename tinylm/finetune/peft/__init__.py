"""Training few parameters: low-rank changes, adapters, prefixes, soft prompts, scaling vectors
(book section 3.3.2).

Read lora.py first.
"""
