"""`tinylm prompt`: questions of the command line and of files, answers, figures and comparisons."""

import json

import pytest

from tinylm.cli import main
from tinylm.cli.use.method_options import listed
from tinylm.cli.use.prompt import kept_answers
from tinylm.errors import ConfigError
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.needs import NEEDS
from tinylm.reading import strict_json


def test_one_question_is_answered(prompted, capsys):
    assert main(["prompt", prompted, "Is it?", "--max-tokens", "4", "--trace"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == ["call 1, complete", "Q: Is it?", "A:"] and lines[4].startswith("=> [")


def test_a_file_gives_answers_and_figures(prompted, items_file, capsys):
    assert main(["prompt", prompted, "--data", items_file]) == 0
    *answers, title, right, cost = capsys.readouterr().out.splitlines()
    assert len(answers) == 3 and answers[2].split()[0] == "3"
    marks = sum(line.endswith("right") for line in answers)
    assert title == "zero-shot: 3 questions, 0 without an answer that could be read"
    assert right.startswith(f"  right      {marks} of 3: ") and "95 % interval" in right
    assert "1.0 calls" in cost


def test_figures_as_json(prompted, items_file, capsys):
    assert main(["prompt", prompted, "--data", items_file, "--json", "--limit", "2"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["count"] == 2 and len(result["answers"]) == 2 and result["calls"] == 1
    assert result["method"] == "zero-shot" and result["answers"][0]["value"] in ("cat", "dog")
    assert main(["prompt", prompted, "--data", items_file, "--json", "--report"]) == 0
    assert "answers" not in json.loads(capsys.readouterr().out)


def test_demonstrations_are_not_asked(prompted, items_file, capsys):
    few = [
        "prompt",
        prompted,
        "--data",
        items_file,
        "--shots",
        "2",
        "--method",
        "few-shot",
        "--trace",
    ]
    assert main(few) == 0
    out = capsys.readouterr().out
    assert out.count("call 1, score") == 1 and "few-shot: " not in out
    assert "Q: the one?\nA: cat\n\nQ: the two?\nA: cat\n\nQ: the six?\nA:" in out
    assert main([*few, "--demos", items_file, "--report"]) == 0
    assert "few-shot: 3 questions" in capsys.readouterr().out


def test_a_run_is_resumed_from_its_file(prompted, items_file, tmp_path, capsys):
    out = str(tmp_path / "answers.jsonl")
    assert main(["prompt", prompted, "--data", items_file, "--limit", "3", "--out", out]) == 0
    first = capsys.readouterr().out
    assert main(["prompt", prompted, "--data", items_file, "--limit", "3", "--out", out]) == 0
    assert capsys.readouterr().out == first
    assert main(["prompt", prompted, "--data", items_file, "--out", out, "--seed", "1"]) == 1
    assert "seed was 1337 and is 1" in capsys.readouterr().err


def test_methods_are_compared(prompted, items_file, capsys):
    arguments = [
        "prompt",
        prompted,
        "--data",
        items_file,
        "--shots",
        "1",
        "--compare",
        "zero-shot,few-shot",
    ]
    assert main(arguments) == 0
    header, plain, few = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["method", "right"]
    assert plain.split()[0] == "zero-shot" and few.split()[0] == "few-shot" and "(scored)" in few
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["zero-shot", "few-shot"] and rows[0]["plain"] is None


def test_a_prior_over_all_questions(prompted, items_file, tmp_path, capsys):
    call = ["prompt", prompted, "--data", items_file, "--method", "batch-calibrated"]
    out = str(tmp_path / "answers.jsonl")
    assert main([*call, "--report", "--out", out]) == 0
    assert capsys.readouterr().out.startswith("batch-calibrated: 3 questions, 0 without")
    assert main([*call, "--limit", "2", "--out", out]) == 1
    assert "the questions differ, and each answer of this method" in capsys.readouterr().err
    assert main([*call, "--limit", "1"]) == 1
    assert "needs several questions with the same options" in capsys.readouterr().err
    assert main([*call[:4], "--compare", "batch-calibrated,zero-shot", "--instruction", "Do."]) == 0
    assert "(scored)" in capsys.readouterr().out.splitlines()[1]


def test_all_methods_are_listed_with_their_options(capsys):
    assert main(["prompt", "--list"]) == 0
    out = capsys.readouterr().out
    assert out.strip() == listed()
    for method in METHODS.values():
        assert f"{method.name} " in out and method.summary in out
    assert '--option normalization="sum"' in out and "max_tokens=256" not in out
    assert "by --max-tokens N, and for\none by --option METHOD.max_tokens=N" in out
    assert all(method.accepts("max_tokens") for method in METHODS.values())
    assert "--option max_calls=8 SAMPLING\n" in out and "any of temperature= top_k=" in out
    assert "needs languages, demonstrations\n" in out and "reduce_template=..\n" in out
    *_, last = out.split("In the library only, in modules of tinylm.prompt:\n")
    assert last.splitlines()[-1].split()[-2:] == ["3.4", "tasks.masked_cloze"]
    assert "by learned rules            3.2.3      refine.brill\n" in last
    for need in NEEDS.values():
        assert need.what in out and need.given in out


def test_options_of_the_method(prompted, items_file, capsys):
    arguments = ["prompt", prompted, "--data", items_file, "--option"]
    assert main([*arguments, "normalization=byte"]) == 0
    capsys.readouterr()
    for wrong, message in [
        ("normalisation=byte", "the method zero-shot has normalization, max_tokens"),
        ("normalization", "the method zero-shot has"),
        ("prompt=x", "prompt cannot be set from the command line; the method zero-shot has norm"),
        ("few-shot.normalization=byte", "the method zero-shot has normalization, max_tokens"),
        ("temperature=0.5", "the method zero-shot has normalization, max_tokens"),
    ]:
        assert main([*arguments, wrong]) == 1
        assert message in capsys.readouterr().err


def test_a_question_with_options_or_a_passage(prompted, tmp_path, capsys):
    asked = ["prompt", prompted, "Which?", "--choice", "a cat, or two", "--choice", "a dog"]
    assert main(asked) == 0
    assert capsys.readouterr().out.strip() in ("a cat, or two", "a dog")
    passage = tmp_path / "passage.txt"
    passage.write_text("It sat.\n")
    asked = ["prompt", prompted, "Who?", "--context", str(passage), "--trace", "--max-tokens", "2"]
    assert main(asked) == 0
    assert "It sat." in capsys.readouterr().out


def test_an_option_of_several_texts_is_given_several_times(prompted, capsys):
    asked = [
        "prompt",
        prompted,
        "eau",
        "--method",
        "refine-aspects",
        "--max-tokens",
        "2",
        "--trace",
    ]
    for option in (
        "source=French",
        "target=English",
        "draft=watr",
        "instructions=Go, go.",
        "instructions=short",
    ):
        asked += ["--option", option]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "English: watr\nRefinement:" in out and "translation. Go, go.\n" in out


def test_an_instruction_goes_before_everything(prompted, capsys):
    assert main(["prompt", prompted, "Why?", "--instruction", "Be brief.", "--trace"]) == 0
    assert "Be brief.\n\nQ: Why?\nA:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "name a model"),
        (["RUN"], "give one question on the command line, or a file"),
        (["RUN", "hi", "there"], 'quote the question: tinylm prompt RUN "hi there"'),
        (["RUN", "why?", "--raw", "--system", "Be kind."], "--system is a message of a chat"),
        (["RUN", "why?", "--system", "Be kind."], "has no chat template, so it continues texts"),
        (["RUN", "why?", "--method", "tools", "--instruction", "x"], "no --instruction"),
        (["RUN", "why?", "--method", "rag", "--instruction", "x"], "no --instruction"),
        (["RUN", "why?", "--data", "f"], "give one question on the command line, or a file"),
        (["RUN", "why?", "--shots", "2"], "--shots takes demonstrations from a file"),
        (["RUN", "--data", "FILE", "--shots", "3"], "no question is left"),
        (["RUN", "--data", "FILE", "--shots", "4"], "--shots 4, but there are 3"),
        (["RUN", "why?", "--method", "few-shots"], "did you mean few-shot"),
        (["RUN", "--data", "FILE", "--compare", "few-shot", "--trace"], "leave out --trace"),
        (["RUN", "A question", "--compare", "few-shot"], "give questions with answers by --data"),
        (["RUN", "why?", "--method", "few-shot"], "few-shot needs demonstrations: --demos FILE"),
        (["RUN", "why?", "--method", "rag"], "rag needs a passage to answer from"),
        (["RUN", "why?", "--method", "deliberate"], "--option source=LANGUAGE"),
        (["RUN", "why?", "--choice", "yes"], "--choice 'yes' is the only option to choose from"),
        (["RUN", "why?", "--choice", "yes", "--choice", " "], "an option of --choice is empty"),
        (["RUN", "--data", "FILE", "--shots", "1", "--method", "grips"], '--instruction "..."'),
        (["RUN", "why?", "--method", "ape"], "ape needs demonstrations: --demos FILE"),
        (["RUN", "why?", "--method", "llmlingua"], "needs demonstrations or a passage to shorten"),
        (["nomodel", "why?"], "or the name of published ones: smollm2 ("),
        (["RUN", "why?", "--method", "sc", "--option", "samples=0"], "samples=0 must be 1 or more"),
        (["RUN", "--data", "FILE", "--choice", "yes"], "--choice and --context go with a question"),
        (["RUN", "--data", "FILE", "--context", "x"], "--choice and --context go with a question"),
        (["RUN", "--data", "FILE", "--compare", "zero-shot,rag"], "(3 of 3 questions lack it"),
        (["RUN", "why?", "--limit", "2"], "--limit would change nothing: it is of the questions"),
        (
            ["RUN", "--data", "FILE", "--compare", "few-shot", "--method", "tools"],
            "--method would change nothing: --compare names the methods",
        ),
        # A method that has no use for what is given to it
        (["RUN", "why?", "--demos", "FILE"], "zero-shot: demonstrations would change nothing"),
        (
            ["RUN", "--data", "FILE", "--shots", "1", "--compare", "stepwise,zero-shot-cot"],
            "stepwise and zero-shot-cot: demonstrations would change nothing: leave out --demos",
        ),
        (
            ["RUN", "A", "--method", "story", "--choice", "yes", "--choice", "no"],
            "story: options to choose from would change nothing: leave out --choice",
        ),
        (
            ["RUN", "A", "--method", "names", "--context", "FILE"],
            "names: a passage would change nothing: leave out --context",
        ),
        (
            ["RUN", "A", "--option", "normalization=byte"],
            "zero-shot: normalization is of scores of options, and no question has any",
        ),
        (
            ["RUN", "A", "--method", "sc", "--option", "temperature=0", "--max-tokens", "2"],
            "10 replies of the likeliest tokens would all be the same",
        ),
        (
            ["RUN", "A", "--method", "tools", "--option", "temperature=0", "--option", "top_p=.9"],
            "tools: the most probable token is taken, so top_p would change nothing",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(words, message, prompted, items_file, capsys):
    words = [{"RUN": prompted, "FILE": items_file}.get(word, word) for word in words]
    assert main(["prompt", *words]) == 1
    assert message.replace("RUN", prompted) in capsys.readouterr().err


def test_options_of_a_comparison(prompted, items_file, capsys):
    compared = ["prompt", prompted, "--data", items_file, "--compare", "zero-shot,few-shot"]
    compared += ["--shots", "1"]
    assert main([*compared, "--option", "few-shot.normalization=byte"]) == 0
    capsys.readouterr()
    assert main([*compared, "--option", "few-shot.samples=2"]) == 1
    assert "the method few-shot has turns, normalization" in capsys.readouterr().err


def test_a_comparison_by_one_question(prompted, items_file, capsys):
    compared = ["prompt", prompted, "--data", items_file, "--compare", "few-shot", "--limit", "1"]
    compared += ["--shots", "1"]
    assert main(compared) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert "(scored)" in row and row.endswith("]") and "samples" not in row


def test_json_has_null_for_what_is_no_number(prompted, capsys):
    assert main(["prompt", prompted, "why?", "--json", "--max-tokens", "2"]) == 0
    result = strict_json(capsys.readouterr().out)
    assert result["accuracy"] is None and result["low"] is None and result["count"] == 0


def test_settings_of_the_model_are_part_of_a_run(prompted, items_file, tmp_path, capsys):
    out = str(tmp_path / "answers.jsonl")
    going = ["prompt", prompted, "--data", items_file, "--out", out, "--limit", "1"]
    assert main(going) == 0
    for change, message in [
        (["--raw"], "raw was False and is True"),
        (["--method", "stepwise"], "method was 'zero-shot' and is 'stepwise'"),
        (["--option", "normalization=byte"], "normalization was None and is 'byte'"),
    ]:
        assert main([*going, *change]) == 1
        assert message in capsys.readouterr().err
    with open(out) as lines:
        about = json.loads(next(lines))["about"]
    assert len(about.pop("weights")) == 16
    assert about == {
        "model": prompted,
        "method": "zero-shot",
        "shots": 0,
        "raw": False,
        "system": "",
        "device": "cpu",
        "bits": "32",
        "checkpoint": "step-000003",
    }
    # More questions extend it.
    assert main([*going[:-1], "3", "--report"]) == 0
    assert "zero-shot: 3 questions" in capsys.readouterr().out


def test_an_interrupted_run_names_its_file(capsys):
    records = [1, 2]
    with pytest.raises(KeyboardInterrupt), kept_answers("r.jsonl", records, 4):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.strip() == (
        "2 of 4 answers are in r.jsonl; the same command continues"
    )
    for file, kept in [("", records), ("r.jsonl", [])]:
        with pytest.raises(ConfigError), kept_answers(file, kept, 4):
            raise ConfigError("x")
    with kept_answers("r.jsonl", records, 4):
        pass
    assert capsys.readouterr().err == ""


def test_a_question_that_is_too_long_does_not_end_the_run(prompted, tmp_path, capsys):
    asked = tmp_path / "long.jsonl"
    items = [{"question": q, "answer": "x"} for q in ("a?", "why " * 40, "b?")]
    asked.write_text("".join(json.dumps(item) + "\n" for item in items))
    out = str(tmp_path / "answers.jsonl")
    going = ["prompt", prompted, "--data", str(asked), "--max-tokens", "4", "--out", out]
    assert main(going) == 0
    first = capsys.readouterr().out
    assert "   2  (not answered: instruction and question alone have 1" in first
    assert "not answered, and counted as wrong: 1 of 3\n       2  why why" in first
    assert main(going) == 0
    assert capsys.readouterr().out == first
    assert main([*going[:4], "--max-tokens", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["failed"][0][0] == 1 and result["count"] == 3
    assert result["answers"][1]["error"] == result["failed"][0][1]
    # Where no question can be answered, the command has failed.
    assert main(["prompt", prompted, "why " * 40]) == 1
    captured = capsys.readouterr()
    assert "question alone have" in captured.err and captured.out == ""


def test_answers_of_a_run_that_was_trained_further_are_not_continued(
    text, tmp_path, items_file, capsys
):
    run = str(tmp_path / "run")
    small = "--tokenizer=bytes --n-layer=1 --n-head=1 --d-model=8 --batch-size=2 --workers=1"
    train = ["train", "--data", str(text), "--out", run, *small.split(), "--context=120"]
    assert main([*train, "--steps=3", "--warmup=0"]) == 0
    out = str(tmp_path / "answers.jsonl")
    going = ["prompt", run, "--data", items_file, "--out", out]
    assert main(going) == 0
    assert main(["train", "--resume", run, "--steps=4"]) == 0
    capsys.readouterr()
    assert main(going) == 1
    err = capsys.readouterr().err
    assert "checkpoint was 'step-000003' and is 'step-000004'" in err
    assert "the weights of the model have changed" in err


def test_a_comparison_is_resumed_from_its_folder(prompted, items_file, tmp_path, capsys):
    folder = tmp_path / "compared"
    going = ["prompt", prompted, "--data", items_file, "--compare", "zero-shot,few-shot"]
    going += ["--shots", "1", "--out", str(folder)]
    assert main([*going, "--limit", "1"]) == 0
    capsys.readouterr()
    assert main(going) == 0
    first = capsys.readouterr().out
    assert main(going) == 0
    assert capsys.readouterr().out == first  # seconds too: nothing is answered again
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "few-shot.jsonl" and names[-1] == "zero-shot.jsonl" and len(names) == 2
    with open(folder / "few-shot.jsonl") as lines:
        head = json.loads(next(lines))
    assert head["about"]["run"] == "few-shot" and head["about"]["checkpoint"] == "step-000003"
    assert main([*going, "--seed", "1"]) == 1
    assert "seed was 1337 and is 1" in capsys.readouterr().err


def test_tasks_run_by_name(prompted, items_file, capsys):
    for words in (
        ["choose-letter"],
        ["classify", "--option", "attribute=animal"],
        ["verbalizer", "--option", "words=cat=a,b", "--option", "words=dog=c"],
        ["grid", "--option", "samples=1"],
    ):
        given = ["--data", items_file, "--limit", "1", "--max-tokens", "2", "--json"]
        if words[0] == "verbalizer":
            given += ["--option", "template={*text*}"]
        assert main(["prompt", prompted, *given, "--method", *words]) == 0, words
        result = json.loads(capsys.readouterr().out)
        assert result["method"] == words[0] and result["count"] == 1
    assert main(["prompt", prompted, "add", "--method", "write-function"]) == 1
    assert "write-function needs the name of the function" in capsys.readouterr().err


def test_demonstrations_without_answers_are_refused_before_a_model_is_opened(
    items_file, tmp_path, capsys
):
    demos = tmp_path / "demos.jsonl"
    demos.write_text('{"question": "a?", "answer": "b"}\n{"question": "open?"}\n')
    given = ["--data", items_file, "--demos", str(demos), "--method", "few-shot"]
    assert main(["prompt", "nomodel", *given]) == 1
    assert "1 of 2 demonstrations have no answer, first 'open?'" in capsys.readouterr().err


def test_what_a_method_does_not_read_of_a_file_is_reported(prompted, items_file, capsys):
    asked = ["prompt", prompted, "--data", items_file, "--max-tokens", "2"]
    assert main([*asked, "--method", "names"]) == 0
    assert "names does not read the options of 3 questions" in capsys.readouterr().err
    assert main([*asked, "--compare", "zero-shot,few-shot", "--shots", "1"]) == 0
    error = capsys.readouterr().err
    assert "zero-shot does not read any of the 1 demonstrations" in error
    assert "few-shot does not read" not in error


def test_demonstrations_that_are_not_read_need_no_answers(prompted, items_file, tmp_path, capsys):
    demos = tmp_path / "demos.jsonl"
    demos.write_text('{"question": "a?"}\n{"question": "open?"}\n')
    given = ["--data", items_file, "--demos", str(demos), "--max-tokens", "2", "--report"]
    assert main(["prompt", prompted, *given, "--method", "auto-cot", "--option", "k=2"]) == 0
    assert "  clusters        2\n  demonstrations  " in capsys.readouterr().out
    compared = ["--compare", "auto-cot,few-shot"]
    assert main(["prompt", prompted, *given, *compared]) == 1
    assert "2 of 2 demonstrations have no answer" in capsys.readouterr().err


def test_a_prompt_is_searched_on_the_demonstrations(prompted, items_file, tmp_path, capsys):
    given = ["--data", items_file, "--shots", "2", "--instruction", "Choose it.", "--max-tokens=2"]
    asked = ["prompt", prompted, *given, "--method", "paraphrases"]
    out = str(tmp_path / "answers.jsonl")
    assert main([*asked, "--report", "--out", out]) == 0
    first = capsys.readouterr().out
    title, right, _, *report = first.splitlines()
    assert title.startswith("paraphrases: 1 questions") and " of 1: " in right
    assert report[0].split()[0] == "prompt" and report[0].endswith(' it."')
    assert report[1].startswith("  accuracy on the 2 demonstrations that chose it  ")
    # What was found is kept with the answers.
    assert main([*asked, "--report", "--out", out]) == 0
    assert capsys.readouterr().out == first
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["report"]["prompt"] == found["answers"][0]["report"]["prompt"]
    # Of one question the answer, and what was found.
    assert main(asked) == 0
    answer, *lines = capsys.readouterr().out.splitlines()
    assert "cat" in answer and lines == report
    assert main(["prompt", prompted, *given, "--compare", "zero-shot,paraphrases"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "paraphrases:" and lines[4:] == report
    overlapping = [*asked, "--demos", items_file]
    assert main(overlapping) == 1
    assert "2 of 3 questions are demonstrations, on which prompts are" in capsys.readouterr().err


def test_a_prompt_is_shortened(prompted, items_file, capsys):
    given = ["--data", items_file, "--instruction", "Please choose.", "--report"]
    assert main(["prompt", prompted, *given, "--method", "simplified"]) == 0
    out = capsys.readouterr().out
    assert '"Choose."' in out and "  tokens of the instruction   14\n" in out
    assert out.endswith("  tokens that are left of it  7\n")
