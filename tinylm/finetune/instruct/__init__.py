"""Following instructions: templates, conversations, and the loss on the answers   (book section
2.1.3).

Read conversations.py first.
"""
