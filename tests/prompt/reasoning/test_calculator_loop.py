"""Where the model writes "=" in an annotation, the calculator writes the rest of it."""

import collections

import numpy as np

from tests.prompt.small import text_model
from tinylm.errors import DataError
from tinylm.generate.protocol.enumerable import TokenCache
from tinylm.prompt import ScriptedLM, TextModel
from tinylm.prompt.reasoning.calculator_loop import complete_with_calculator
from tinylm.tokenizers import ByteTokenizer


def test_a_wrong_result_is_never_written():
    # The model would have written 8*2=17; generation goes on after the calculator's 16.
    lm = ScriptedLM(
        [
            ("Q\nA:", " He plays 8*2=<<8*2=17>>17 hours."),
            ("Q\nA: He plays 8*2=<<", "8*2=17>>17 hours."),
            ("Q\nA: He plays 8*2=<<8*2=16>>", "16 hours.\n#### 16"),
        ]
    )
    with lm.tracing() as trace:
        found = complete_with_calculator(lm, "Q\nA:")
    assert found.text == " He plays 8*2=<<8*2=16>>16 hours.\n#### 16"
    assert found.computed == [("8*2", "16")] and found.finish == "end" and found.pieces == 3
    assert lm.finished
    assert [call.parsed for call in trace.calls] == [[], [("annotation", ("8*2", "16"))], []]


def test_every_annotation_of_a_solution_is_computed_in_turn():
    lm = ScriptedLM(
        [
            ("P", "<<100-10=0>>"),
            ("P<<", "100-10=0>>"),
            ("P<<100-10=90>>", "90 and <<"),
            ("P<<100-10=90>>90 and <<", "1/3="),
            ("P<<100-10=90>>90 and <<1/3=0.333333>>", "."),
        ]
    )
    found = complete_with_calculator(lm, "P")
    assert found.computed == [("100-10", "90"), ("1/3", "0.333333")] and found.pieces == 5


def test_an_expression_that_cannot_be_computed_is_left_to_the_model():
    lm = ScriptedLM(
        [
            ("P", "<<"),
            ("P<<", "two+2="),
            ("P<<two+2=", "4=4>>4 <<"),  # no second try in the same annotation
            ("P<<two+2=4=4>>", "4 <<"),
            ("P<<two+2=4=4>>4 <<", "1+1="),
            ("P<<two+2=4=4>>4 <<1+1=2>>", "2"),
        ]
    )
    found = complete_with_calculator(lm, "P")
    assert found.text == "<<two+2=4=4>>4 <<1+1=2>>2"
    assert found.computed == [("two+2", None), ("1+1", "2")]


def test_an_annotation_without_a_result_ends_with_its_mark_or_line():
    # The "=" after it is none of an annotation: nothing is computed.
    lm = ScriptedLM([("P", "<<"), ("P<<", "8>>"), ("P<<8>>", "8 = 8")])
    found = complete_with_calculator(lm, "P")
    assert (found.text, found.computed) == ("<<8>>8 = 8", [])
    lm = ScriptedLM(
        [("P", "<<"), ("P<<", "8\n8 = "), ("P<<8\n8 =", " 8 = <<"), (None, "1="), (None, "")]
    )
    found = complete_with_calculator(lm, "P")
    assert (found.text, found.computed) == ("<<8\n8 = 8 = <<1=1>>", [("1", "1")])
    # Nor is one in the line after an expression that was given up, where another may begin.
    lm = ScriptedLM([("P", "<<"), ("P<<", "a="), ("P<<a=", "\nb=c <<"), (None, "1="), (None, "")])
    found = complete_with_calculator(lm, "P")
    assert found.text == "<<a=\nb=c <<1=1>>" and found.pieces == 5


def test_stop_strings_end_the_reply_at_once_even_if_they_are_marks():
    lm = ScriptedLM([("P", " 1+1=2\nQ: next <<2+2=4>>")])
    found = complete_with_calculator(lm, "P", stop="\nQ:")
    assert (found.text, found.finish, found.pieces) == (" 1+1=2", "stop", 1)
    lm = ScriptedLM([("P", "<<"), ("P<<", "1\n")])
    found = complete_with_calculator(lm, "P", stop=("\n",))
    assert (found.text, found.finish) == ("<<1", "stop")
    lm = ScriptedLM([("P", "a <<1=")])
    assert complete_with_calculator(lm, "P", stop=["<<"]).text == "a "


def test_what_the_calculator_writes_counts_as_tokens_of_the_reply():
    # Words are tokens: "a b <<" has 3, of 5 two are left.
    lm = ScriptedLM([("P", "a b <<"), ("P" + "a b <<", "1 + 1="), (None, "c d e")])
    found = complete_with_calculator(lm, "P", max_tokens=5)
    assert found.text == "a b <<1 +" and found.finish == "length"
    lm = ScriptedLM([("P", "a b <<")])
    found = complete_with_calculator(lm, "P", max_tokens=3)
    assert (found.text, found.finish, found.pieces) == ("a b <<", "length", 1)


def test_a_reply_has_256_tokens():
    lm = ScriptedLM([("P", "w " * 255 + "<<"), ("P" + "w " * 255 + "<<", "1+1=")])
    found = complete_with_calculator(lm, "P")
    assert (found.text, found.finish, found.pieces) == ("w " * 255 + "<<", "length", 1)


def test_a_stop_string_may_begin_in_one_piece_and_end_in_another():
    lm = ScriptedLM([("P", "a <<"), ("Pa <<", "stop>> b")])
    found = complete_with_calculator(lm, "P", stop="<<stop>>")
    assert (found.text, found.finish, found.pieces) == ("a ", "stop", 2)
    lm = ScriptedLM([("P", "<<"), ("P<<", "b\n\nc=")])
    found = complete_with_calculator(lm, "P", stop="\n\n")
    assert (found.text, found.finish) == ("<<b", "stop")
    # It may begin in what the model writes and end in a result, or the other way round.
    script = [("P", "<<"), ("P<<", "1+1="), ("P<<1+1=2>>", "2 x")]
    found = complete_with_calculator(ScriptedLM(script), "P", stop="=2>")
    assert (found.text, found.finish, found.pieces) == ("<<1+1", "stop", 2)
    found = complete_with_calculator(ScriptedLM(script), "P", stop=(">2 ", "x"))
    assert (found.text, found.finish) == ("<<1+1=2>", "stop")
    lm = ScriptedLM([("P", "<<"), ("P<<", ">> a")])
    assert complete_with_calculator(lm, "P", stop="<>").text == "<"


def test_a_reply_ends_before_a_result_for_which_there_is_no_room():
    # "<<6*7=" has 6 bytes, and 10 with its result.
    for most, text in (10, "<<6*7=42>>"), (9, "<<6*7="), (7, "<<6*7="):
        lm = TextModel.of(BadAtSums(), ByteTokenizer(["<|end|>"]), ends=(256,))
        found = complete_with_calculator(lm, "A:", max_tokens=most)
        assert (found.text, found.finish) == (text, "length")


def test_the_context_ends_a_reply_as_in_plain_completion():
    for context in range(3, 14):
        lm = TextModel.of(BadAtSums(), ByteTokenizer(["<|end|>"]), ends=(256,))
        lm.context = context
        found = complete_with_calculator(lm, "A:")
        whole = "<<6*7=42>>42."
        if context > 2 + len(whole):
            assert (found.text, found.finish) == (whole, "end")
        else:
            assert found.finish == "length" and whole.startswith(found.text)
            assert 2 + len(found.text) <= context


def test_a_text_to_begin_with_stays_in_front():
    lm = ScriptedLM([("P So", " <<"), ("P So <<", "2*3="), ("P So <<2*3=6>>", "6")])
    assert complete_with_calculator(lm, "P", begin=" So").text == " <<2*3=6>>6"


def test_another_calculator_may_compute():
    def only_seven(expression):
        if expression != "lucky":
            raise DataError("no")
        return 7

    lm = ScriptedLM([("P", "<<"), ("P<<", "lucky="), ("P<<lucky=7>>", "7")])
    assert complete_with_calculator(lm, "P", calculator=only_seven).text == "<<lucky=7>>7"


def test_without_annotations_it_is_plain_completion():
    lm = text_model()
    for sampling in ({}, {"temperature": 1.0}):
        plain = lm.complete("A prompt.", max_tokens=12, seed=3, **sampling)
        found = complete_with_calculator(lm, "A prompt.", max_tokens=12, seed=3, **sampling)
        assert (found.text, found.finish) == (plain.text, plain.finish) and found.pieces == 1
    plain = lm.complete("A prompt.", max_tokens=12, temperature=1.0)
    assert complete_with_calculator(lm, "A prompt.", max_tokens=12, temperature=1.0).text == (
        plain.text
    )


class BadAtSums:
    """A language model over bytes: writes <<6*7=, then 41>>, then what stands before the >>."""

    vocab_size, context = 257, None

    def new_cache(self, batch, padding=None):
        return TokenCache(batch)

    def next_logits(self, tokens, cache):
        cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
        return 1e3 * np.eye(257)[[self.next(bytes(row.tolist()).decode()) for row in cache.tokens]]

    def next(self, text):
        before, mark, after = text.partition(">>")
        if mark:
            after = after + "|"
            left = f"{before.rpartition('=')[2]}."
            return [*left.encode(), 256][len(after) - 1]
        return "<<6*7=41>>"[len(text.partition(":")[2])].encode()[0]


def test_a_model_that_cannot_multiply_copies_what_was_computed():
    lm = TextModel.of(BadAtSums(), ByteTokenizer(["<|end|>"]), ends=(256,))
    assert lm.complete("A:").text == "<<6*7=41>>41."
    found = complete_with_calculator(lm, "A:")
    assert found.text == "<<6*7=42>>42." and found.finish == "end"


class Drawing:
    """A text model that records the seeds it is given."""

    def __init__(self):
        self.lm, self.seeds = ScriptedLM([(None, "<<"), (None, "1="), (None, ".")]), []

    def complete(self, prompt, seed, **options):
        self.seeds.append(seed)
        return self.lm.complete(prompt, seed=seed, **options)

    def __getattr__(self, name):
        return getattr(self.lm, name)


def test_pieces_draw_with_seeds_of_their_own_and_the_same_ones_again():
    seeds = []
    for _ in range(2):
        lm = Drawing()
        complete_with_calculator(lm, "P", seed=5, temperature=1.0)
        seeds.append(lm.seeds)
    assert seeds[0] == seeds[1] and seeds[0][0] == 5
    assert len(set(seeds[0])) == 3


class Chain:
    """A language model over bytes: the next one depends on the last, by a table of probabilities.

    table  {byte or None for any other: {next byte, "" for the end: probability}}
    """

    vocab_size, context = 257, None

    def __init__(self, table):
        self.table = table

    def new_cache(self, batch, padding=None):
        return TokenCache(batch)

    def next_logits(self, tokens, cache):
        cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
        logits = np.full((len(cache.tokens), 257), -np.inf)
        for row, last in zip(logits, cache.tokens[:, -1]):
            for after, probability in self.table.get(chr(last), self.table[None]).items():
                row[ord(after) if after else 256] = np.log(probability)
        return logits

    def texts(self, last, length):
        """{text: probability} of all texts that end, or are cut at a length."""
        found = {}
        for after, probability in self.table.get(last, self.table[None]).items():
            if not after or length == 1:
                found[after] = found.get(after, 0) + probability
                continue
            for rest, chance in self.texts(after, length - 1).items():
                found[after + rest] = found.get(after + rest, 0) + probability * chance
        return found


def distance(complete, model, length, seeds=1500):
    """The total variation between the texts that were drawn and those of plain completion."""
    lm = TextModel.of(model, ByteTokenizer(["<|end|>"]), ends=(256,))
    drawn = collections.Counter(
        complete(lm, "P", max_tokens=length, seed=seed, temperature=1.0).text
        for seed in range(seeds)
    )
    exact = model.texts("P", length)
    assert set(drawn) <= set(exact)
    return sum(abs(drawn[text] / seeds - exact[text]) for text in exact) / 2


def test_where_nothing_is_computed_texts_have_the_probabilities_of_plain_completion():
    # Annotations, lines that end them, and white space at both sides of every mark.
    model = Chain(
        {
            "P": {"<": 1.0},
            "<": {"<": 0.5, "x": 0.5},
            "x": {"\n": 0.6, "=": 0.4},
            "\n": {"=": 0.7, "": 0.3},
            None: {"\n": 0.5, "": 0.5},
        }
    )
    # About 20 texts: with 1500 draws the distance is 0.02 to 0.05.
    assert len(model.texts("P", 6)) < 40
    assert distance(complete_with_calculator, model, 6) < 0.08
