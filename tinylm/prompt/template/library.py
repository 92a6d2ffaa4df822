"""The prompts of the chapter as templates, by name   (book sections 3, 3.1.1, 3.1.3 and 3.1.4).

    prompt = LIBRARY["question"].format(question="Which river flows through Vienna?")

Where the book prints a sentence to be worked on, there is a slot. Several prompts of one task stand
together, from the plainest to the most detailed. Read next: ../../finetune/instruct/templates.py
for the prompts of section 2.1.3; task_spec.py.
"""

from tinylm.finetune.instruct.prompt_template import PromptTemplate

_POLARITY = (
    "Analyze the polarity of the following text and classify it as positive, negative, or neutral."
)
_MATH = "You will be provided with a math problem. Please solve the problem.\n{*problem*}"
_EXPERT = (
    "You are an expert who can generate answers to input queries. You have now been provided with "
    "a query and the corresponding context information"
)
_OWN_WORDS = (
    "Note that you need to provide the answer in your own words, not just copy from the context "
    "provided."
)
_PROVIDED = "You will be provided with a text."

_TEXTS = {
    # Section 3: the first prompt of the chapter. Section 3.1.1: none, one and two variables.
    "translate": "Translate the text from {*source*} to {*target*}.\nText: {*text*}\n"
    "Translation: _____",
    "weekend": "Please give me some suggestions for a fun weekend.",
    "weekend.if": "If {*premise*}, what are your suggestions for a fun weekend?",
    "similarity": "Here is a sentence\n{*sentence1*}\nHere is another sentence\n{*sentence2*}\n"
    "Compute the semantic similarity between the two sentences",
    "question": "Q: {*question*}\nA: _____",
    "translate.styled": "Translate the following sentence: {*sentence*}",
    "explain.child": "Please explain the following {*field*} concept to a child around 10 years "
    "old, using simple examples whenever possible.\n{*concept*}",
    # Strategy 1 of section 3.1.3: the same task, vague, specific, and for an audience.
    "topic": "Tell me about {*topic*}.",
    "topic.specific": "Provide a detailed explanation of the causes and effects of {*topic*}, "
    "including the impact on {*aspects*}. Also, discuss possible solutions and actions to mitigate "
    "these effects.",
    "topic.audience": "Explain the causes and effects of {*topic*} to {*audience*}. Talk about how "
    "it affects {*aspects*}. Also, mention some things people are doing to help. Try to explain in "
    "simple terms and do not exceed {*limit*} words.",
    # Strategy 2: reasoning. stepwise.py reads the replies, rounds.py chains the prompts.
    "math": _MATH,
    "math.role": f"You are a mathematician. {_MATH}",
    "math.steps": "You are a mathematician. You will follow these detailed reasoning steps when "
    "solving math problems.\n"
    "Step 1: Problem Interpretation.\nThe mathematician listens carefully to the problem and "
    "understands its details.\n"
    "Step 2: Strategy Formulation.\nThe mathematician chooses the most effective strategy, such as "
    "algebra, calculus, or geometry.\n"
    "Step 3: Detailed Calculation.\nThe mathematician calculates step by step and adheres to all "
    "mathematical principles.\n"
    "Step 4: Solution Review.\nThe mathematician checks the calculations and offers a concise "
    f"rationale for the solution.\n{_MATH}",
    "math.judge": "You will be provided with a math problem, along with a solution. Evaluate the "
    "correctness of this solution, and identify any errors if present. Then, work out your own "
    "solution.\nProblem: {*problem*}\nSolution: {*solution*}",
    # Strategy 3: reference information (tables.py).
    "context": f"{_EXPERT}. Please generate an answer based on this context information. "
    f"{_OWN_WORDS}\nContext information: {{*IR-result*}}\nQuery: {{*query*}}",
    "context.table": f"{_EXPERT}, organized in a table where each row represents a useful record. "
    f"Please generate an answer using only this context information. {_OWN_WORDS}\n"
    "Context information:\n{*table*}\nQuery: {*query*}",
    # Section 3.1.4.1: classification. ../tasks/classification.py writes these for any labels.
    "polarity": f"{_POLARITY}\nText:\n{{*text*}}",
    "polarity.cloze": f"{_POLARITY}\nText:\n{{*text*}}\nThe polarity of the text is _____",
    "polarity.just": f"{_POLARITY}\nText:\n{{*text*}}\nWhat is the polarity of the text?\n"
    "Just answer: positive, negative, or neutral.",
    "polarity.defined": f"{_POLARITY} The classes are defined as follows.\n"
    "Positive: the text conveys a positive emotion or attitude, such as happiness, satisfaction, "
    "excitement, or admiration.\n"
    "Negative: the text expresses a negative emotion or attitude, such as sadness, anger, "
    "frustration, or criticism.\n"
    "Neutral: the text does not express clear positive or negative emotion but rather conveys an "
    "informational, factual, or indifferent tone.\n"
    "Text:\n{*text*}\nWhat is the polarity of the text?",
    # Section 1.1.2.2: a sentence to be completed, and an instruction.
    "polarity.feeling": "{*text*} I'm _____",
    "polarity.instruction": "Assume that the polarity of a text is a label chosen from {positive, "
    "negative, neutral}. Identify the polarity of the input.\nInput: {*text*}\nPolarity: _____",
    # Section 3.1.4.2: information extraction (../tasks/extraction.py).
    "names": "Identify all person names in the provided text.\nText:\n{*text*}",
    "entities": "Identify and classify all named entities in the provided text. Write each of them "
    "with its type on a numbered line: 1. Entity - Type\nText:\n{*text*}",
    "relations": "Identify the relationships between the following entities in the provided text. "
    "Write each of them on a line: Entity - Entity: relationship\nEntities: {*entities*}\n"
    "Text:\n{*text*}",
    "extract": f"{_PROVIDED} Your task is to {{*task-description*}}\nText: {{*text*}}",
    # Section 3.1.4.3: text generation.
    "story": "You will be provided with the beginning of a story. Continue it.\n{*story*} _____",
    "dialogue": "You will be provided with the beginning of a dialogue. Continue it.\n{*dialogue*}",
    "poem": "You are a poet. Please write a {*kind*} poem. Here are the requirements.\n"
    "Theme: {*theme*}\nStructure: {*structure*}\nEmotion: {*emotion*}",
    "code": "Please write a Python function to {*purpose*}.",
    "code.fix": "Fix the bugs in this {*language*} program.\n{*program*}",
    # Section 3.1.4.4: text transformation (../tasks/transformation.py).
    "translate.following": "Translate the following text from {*source*} to {*target*}.\n{*text*}",
    "summarize": "Summarize the following article in no more than {*limit*} words:\n{*text*}",
    "rewrite": "Rewrite this text in a {*style*} tone.\n{*text*}",
    # Section 3.1.4.5: question answering.
    "question.plain": "{*question*}",
    "question.named": "Question: {*question*}\nAnswer: _____",
}

LIBRARY = {name: PromptTemplate(text) for name, text in _TEXTS.items()}

# What the generic template "extract" is used for in section 3.1.4.2.
EXTRACTIONS = {
    "keywords": "extract keywords from the text.",
    "events": "extract key events from the text.",
    "coreference": "detect coreference and anaphoric relations between entities in the text.",
}
# System information of sections 3.1.1 and 2.1.5: a role, in the second person.
ROLES = {
    "computer scientist": "You are a computer scientist with extensive knowledge in the field of "
    "deep learning.",
    "grammar": "You are a helpful assistant, and are great at grammar correction.",
    "psychologist": "You are a researcher with a deep background in psychology. Your own research "
    "field is developmental psychology in children.",
}
