"""The book's own samples of instructions: three phrasings of one task, and four more kinds of tasks
(book section 2.1.3); four samples of fine-tuning and a dialogue (sections 4.2 and 4.2.1).

Read next: mix/instruction_mixture.py.
"""

from tinylm.data.read.instructions import Conversation, Instruction

_SENTENCE = "LLMs are powerful models but are expensive to build."
BOOK_EXAMPLES = (
    Instruction(
        "Read the following sentence, and answer whether it is grammatically correct.",
        "Yes",
        _SENTENCE,
        task="grammar",
    ),
    Instruction(
        f"{_SENTENCE}\nDoes this sentence make sense grammatically?\nAnswer Choices\n- Yes\n- No",
        "Yes",
        task="grammar",
    ),
    Instruction(
        "Yes or No? Yes = the following sentence is grammatically correct. "
        "No = it contains grammatical errors.",
        "Yes",
        _SENTENCE,
        task="grammar",
    ),
    Instruction(
        "Write a short story about three characters.",
        "At twilight Andy, his loyal dog Rocket and his friend Jane came upon a hidden garden of "
        "ancient trees, where the wind whispered. There they shared their dreams and secrets, and "
        "under the stars they made a pact to look for magic in the ordinary: the real adventure "
        "was the time they spent together, each day a treasure to be discovered.",
        "Character 1: A boy named Andy.\nCharacter 2: Andy's dog.\n"
        "Character 3: Andy's friend, Jane.",
        task="story",
    ),
    Instruction(
        "Show me a recipe for making ice cream.",
        "Ingredients: 2 cups heavy cream, 1 cup milk, 3/4 cup sugar, 2 teaspoons vanilla extract, "
        "a pinch of salt.\n1. Whisk everything until the sugar dissolves.\n2. Chill in the fridge "
        "for 2 hours.\n3. Freeze in a shallow dish, stirring every 30 minutes, 3 or 4 times.\n"
        "4. Freeze until solid, 2 hours.\n5. Serve.",
        task="recipe",
    ),
    Instruction(
        "If you buy 5 apples and each apple costs $1.20, how much do you spend in total?",
        "$6.00",
        task="arithmetic",
    ),
    Instruction(
        "Write a Python program to calculate the sum of squares of the following numbers.",
        "numbers = [1,2,10,-9,78]\n"
        "sum_of_squares = sum(x**2 for x in numbers)\n"
        "print(sum_of_squares)",
        "1 2 10 -9 78",
        task="code",
    ),
)

# The table of samples (x, y) for fine-tuning; texts that the book breaks off end in "..." here too.
# It shows no summary, so the first sample has none of the book's.
BOOK_SAMPLES = (
    Instruction(
        "Summarize the following article.",
        "{summary}",
        "Article: In recent years, solar energy has seen unprecedented growth, becoming the "
        "fastest-growing ...",
        task="summary",
    ),
    Instruction(
        "Extract the key financial figures from the following earnings report.",
        "Revenue: $10 million, Profit Margin: 15%",
        "Report: The company reported revenue of $10 million in the first quarter with a profit "
        "margin of 15% ...",
        task="extraction",
    ),
    Instruction(
        "Classify the following email as spam or not spam.",
        "Spam",
        "Text: Congratulations! You've won a $500 gift card. Click here to claim now.",
        task="spam",
    ),
    Instruction(
        "Provide a solution to the following technical issue.",
        "First, check ...",
        "Issue: my computer is running slowly and often freezes.",
        task="support",
    ),
)

_DIALOGUE = (
    "I've been feeling very tired lately.",
    "I'm sorry to hear that. Besides feeling tired, are you experiencing any other symptoms?",
    "Yes, I also get headaches often.",
    "How long have these symptoms been going on?",
    "About a week now.",
    "It might be good to consult a health professional. Would you like help making an appointment?",
    "Yes, please. Can it be after working hours?",
    "Sure, I can arrange that. There are slots available next Wednesday and Thursday after 5 p.m. "
    "Which day suits you better?",
)
# User and chatbot take turns, K = 4 of each.
BOOK_DIALOGUE = Conversation(tuple(zip(("user", "assistant") * 4, _DIALOGUE)), task="health")
