"""What is put on top of a pretrained model, and the tasks that train it   (book section 1.4).

Read heads.py first.
"""
