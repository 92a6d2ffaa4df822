"""Half a block of a transformer in one operation: a branch, its norm and the residual sum.

around.py puts norm and sum around a branch; attention.py and feed_forward.py are the branches;
composed.py has their plain twins, cases.py the inputs on which they are checked. nn/block.py uses
them where a block consists of the usual parts.
"""
