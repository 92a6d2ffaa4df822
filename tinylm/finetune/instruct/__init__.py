"""Following instructions: templates, conversations, and the loss on what the model is to say (book
section 2.1.3).

Read conversations.py first.
"""
