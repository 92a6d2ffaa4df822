"""What prompting cost, counted."""

from tinylm.prompt import Account


def test_counts_add_up():
    account = Account()
    account.add(calls=2, prompt_tokens=10)
    account.add(calls=1, generated_tokens=4, scored_tokens=3, seconds=0.5)
    assert account == Account(3, 10, 0, 4, 3, 0.5)


def test_tokens_are_those_sent_written_and_scored_not_those_read():
    assert Account(1, 10, 7, 4, 3, 0.5).tokens == 10 + 4 + 3


def test_a_copy_stays_as_it_was_and_gives_the_difference():
    account = Account(1, 10, 7, 4, 3, 0.5)
    before = account.copy()
    account.add(calls=1, prompt_tokens=5, read_tokens=2, seconds=0.25)
    assert before == Account(1, 10, 7, 4, 3, 0.5)
    assert account.since(before) == Account(1, 5, 2, 0, 0, 0.25)


def test_a_line_says_what_was_sent_read_and_written():
    line = Account(1200, 98765, 4321, 1000, 7, 0.5).line()
    assert line == "1,200 prompts of 98,765 tokens, of which 4,321 were read; 1,000 were written"
