"""Every call of a method is recorded: the exact prompt, the reply, what was read from it."""

import json

from tests.prompt.small import text_model
from tinylm.prompt import ScriptedLM
from tinylm.prompt.protocol.trace import Call


def method(lm):
    reply = lm.complete("What is 1 + 1?\nA:", begin=" It is", stop="\n")
    answer = lm.parsed("answer", reply.text.strip(". "))
    lm.score([{"role": "user", "content": "Right?"}], ["yes", "no"])
    lm.parsed("verdict", "yes")
    return answer


SCRIPT = [
    ("What is 1 + 1?\nA: It is", " 2.\n"),
    ([{"role": "user", "content": "Right?"}], {"yes": -0.5, "no": -1.5}),
]


def test_a_trace_holds_prompts_replies_and_what_was_read():
    lm = ScriptedLM(SCRIPT)
    with lm.tracing() as trace:
        assert method(lm) == "2"
    first, second = trace.calls
    assert (first.kind, first.prompt, first.begin) == ("complete", "What is 1 + 1?\nA:", " It is")
    assert (first.reply, first.finish, first.parsed) == (" 2.", "stop", [("answer", "2")])
    assert second.kind == "score" and second.reply == {"yes": -0.5, "no": -1.5}
    assert second.parsed == [("verdict", "yes")]


def test_a_trace_can_be_read():
    lm = ScriptedLM(SCRIPT)
    with lm.tracing() as trace:
        method(lm)
    lines = trace.text().splitlines()
    assert lines[1:6] == [
        "call 1, complete",
        "What is 1 + 1?",
        "A:",
        "=>  It is[ 2.] (stop)",
        "   answer: '2'",
    ]
    assert lines[7:] == [
        "call 2, score",
        "user: Right?",
        "=> 'yes'   -0.5000",
        "=> 'no'    -1.5000",
        "   verdict: 'yes'",
    ]


def test_a_trace_is_json_whatever_was_read():
    lm = ScriptedLM({"p": "r"})
    with lm.tracing() as trace:
        lm.complete("p")
        lm.parsed("set", {1})
        lm.parsed("ä", 2)
    (call,) = json.loads(trace.json())
    assert call["parsed"] == [["set", "{1}"], ["ä", 2]] and call["reply"] == "r"
    assert "ä" in trace.json()


def test_nothing_is_recorded_outside_and_traces_nest():
    lm = ScriptedLM({"p": "r"})
    assert lm.parsed("before any call", 3) == 3
    with lm.tracing() as outer:
        lm.complete("p")
        with lm.tracing() as inner:
            lm.complete("p")
            lm.complete("p")
        lm.complete("p")
    lm.complete("p")
    assert len(inner.calls) == 2 and len(outer.calls) == 2


def test_a_call_from_outside_is_recorded_where_a_trace_is_kept():
    lm, call = ScriptedLM([]), Call("complete", "x", "", "y")
    lm.record(call)  # nobody keeps one
    with lm.tracing() as trace:
        lm.record(call)
        lm.parsed("answer", "y")
    assert trace.calls == [call] and call.parsed == [("answer", "y")]


def test_what_raw_and_without_store_make_of_a_model_is_traced_with_it():
    lm = text_model()
    raw, whole = lm.raw(), lm.without_store()  # made before the trace is begun
    with lm.tracing() as trace:
        raw.complete("A prompt.", max_tokens=1)
        whole.score("Another.", ["a"])
        assert raw.parsed("value", 1) == 1
    with whole.tracing() as other:
        lm.complete("A prompt.", max_tokens=1)
    raw.complete("A prompt.", max_tokens=1)
    assert [(call.kind, call.prompt) for call in trace.calls] == [
        ("complete", "A prompt."),
        ("score", "Another."),
    ]
    assert trace.calls[1].parsed == [("value", 1)] and len(other.calls) == 1


def test_every_call_that_is_counted_is_traced():
    lm = text_model()
    with lm.tracing() as trace:
        scores = lm.score_batch(["p.", "q."], ["a", "bc"], begin="A:", unconditional="x.")
        lm.parsed("choice", 0)
    assert len(trace.calls) == lm.account.calls == 3
    prior, *calls = trace.calls
    assert (prior.kind, prior.prompt, prior.begin) == ("score", "x.", "A:")
    assert list(prior.reply) == ["a", "bc"]
    assert list(prior.reply.values()) == scores[0].prior.tolist()
    assert [call.prompt for call in calls] == ["p.", "q."]
    assert calls[1].reply == dict(zip(["a", "bc"], scores[1].sums.tolist()))
    assert calls[1].parsed == [("choice", 0)]
