"""Alignment: a pre-trained model learns to do what is wanted   (book chapter 4, and section 2.1.4).

Every loss is a pure function of log-probabilities, and every estimator is compared with the exact
answer of a policy whose responses can be listed. logprobs.py gives the log-probabilities of the
tokens of responses, aggregate.py turns a number for each token into one loss, constant.py is what a
loss takes as given. The rooms:

exact           policies so small that everything about them is a finite sum, gradients included
supervised      fine-tuning on answers: the loss, several turns in one pass, and against forgetting
feedback        preferences: their formats, and where they come from
rewards         reward models and their losses: a number for a prompt and a response
preference      DPO and its relatives: preferences without a reward model
"""

from tinylm.align.aggregate import aggregate
from tinylm.align.logprobs import averaged, frozen_logprobs, response_logprobs, summed, unpacked
