"""What methods say to models, as data in one place: English and Chinese, chosen by the question's language."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA = re.compile("[\u3041-\u30ff]")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")


def is_chinese(text: str) -> bool:
    """Say whether a question is asked in Chinese: at least as many Han characters as Latin words, and no kana."""
    han = len(_HAN.findall(text))
    return han > 0 and han >= len(_WORD.findall(text)) and not _KANA.search(text)


class Phrase(NamedTuple):
    """One sentence in both languages; `{n}` stands for a number where the sentence takes one."""

    en: str
    zh: str

    def to(self, question: str, n: int | None = None) -> str:
        """Return the sentence in the language of `question`."""
        sentence = self.zh if is_chinese(question) else self.en
        return sentence if n is None else sentence.replace("{n}", str(n))


class Draft(NamedTuple):
    """A worked example: a question, its steps in a few words each, and the answer."""

    question: str
    steps: str
    answer: str


STEP_BY_STEP = Phrase("Think step by step before answering.", "请先一步一步思考，再作答。")

BE_CONCISE = Phrase("Be concise.", "请简明扼要。")
"""2401.05618."""

WORD_LIMIT = Phrase("Limit the length of the answer to {n} words.", "请把回答控制在{n}个字以内。")
"""2407.19825, as its released code words it."""

STEPS_AND_LIMIT = Phrase(
    "let's think step by step and limit the length of the answer to {n} words",
    "让我们一步一步思考，并把回答控制在{n}个字以内",
)
"""2407.19825, the paper's own wording: steps and limit in one sentence."""

LETS_THINK = Phrase("Let's think step by step", "让我们一步一步思考")
"""2407.19825, the line before `WORD_LIMIT` in its released code."""

ESTIMATE = Phrase(
    "Task: Analyze the given question and estimate the minimum number of tokens required to generate a complete and"
    " accurate response. Please Give the response by strictly following this format: [[budget]],for example: Budget:"
    ' [[12]].\n\nBelow is the question:\n\nQuestion: "{question}"',
    "任务：分析给出的问题，估计生成一个完整而准确的回答至少需要多少个词元。请严格按照以下格式作答：[[预算]]，"
    "例如：预算：[[12]]。\n\n问题如下：\n\n问题：“{question}”",
)
"""2412.18547: asks how many tokens a question needs, spelling and all."""

REASON = Phrase("Let's think step by step:\n", "让我们一步一步思考：\n")
"""2412.18547: its plain chain of thought."""

REASON_WITHIN = Phrase(
    "Let's think step by step and use less than {n} tokens:\n", "让我们一步一步思考，并使用少于{n}个词元：\n"
)
"""2412.18547: the same with a budget."""

THINK_FOR = Phrase("Think for {n} tokens.", "请思考{n}个词元。")
"""2503.04697, L1-Exact."""

THINK_AT_MOST = Phrase("Think for maximum {n} tokens.", "请最多思考{n}个词元。")
"""2503.04697, L1-Max."""

ANSWER_ONLY = Phrase("Only give the final answer. Do not give any explanation.", "只给出最终答案，不要给出任何解释。")
"""The prompt `NoCoT` of 2503.01141."""

FINAL_ANSWER = Phrase("Final Answer:", "最终答案：")
"""2504.09858 and 2501.19393: how a reply is begun that shall not reason first."""

IS_IT_RIGHT = Phrase(
    "Is your answer right? Reply with yes or no alone.",
    "你的答案正确吗？只回答“是”或“否”。",
)
"""Ours, in the words of 2408.15240: asks for a verdict whose first word can be weighed."""

IS_IT_RIGHT_SO_FAR = Phrase(
    "Is this reasoning right so far? Reply with yes or no alone.",
    "以上推理到目前为止正确吗？只回答“是”或“否”。",
)
"""Ours, after the self-evaluation of 2305.14992: asks about a half-written solution."""

THOUGHT_DONE = Phrase("Okay, I think I have finished thinking.", "好的，我想我已经思考完了。")
"""2504.09858."""

THOUGHT_CUT = Phrase(
    "Considering the limited time by the user, I have to give the solution based on the thinking directly now.",
    "考虑到用户给的时间有限，我必须现在就根据以上思考直接给出解答。",
)
"""2505.09388: what stands at the end of a thought that is cut; models of that family are trained on it."""

PROBE = Phrase(
    "... Oh, I suddenly got the answer to the whole problem, **Final Answer**\n\n\\[ \\boxed{",
    "……哦，我突然想到了整个问题的答案，**最终答案**\n\n\\[ \\boxed{",
)
"""2412.20993, as its released code words it: asks on the side for the answer that a thought has come to so far."""

PROBED = Phrase(
    "Oh, I have got the answer to the whole problem\n**Final Answer:**\n\\[\n \\boxed{{answer}}\n\\]",
    "哦，我已经得到整个问题的答案了\n**最终答案：**\n\\[\n \\boxed{{answer}}\n\\]",
)
"""2412.20993: the answer that stands in for a conclusion, with what was probed in place of `{answer}`."""

TRIAL = Phrase("\n**Final Answer**\n\\boxed", "\n**最终答案**\n\\boxed")
"""2504.15895."""

SUMMARISE = Phrase(
    "Let me sum up the key steps and the results so far:", "让我总结一下到目前为止的关键步骤和中间结果："
)
"""Ours: how a thought is brought to a summary by models that were not trained to write one (2503.06692)."""

SO_FAR = Phrase("What I have found so far:", "到目前为止已经得到的结果：")
"""Ours: how a thought goes on from its summary."""

MINIMUM_DRAFT = Phrase(
    "Think step by step, but only keep minimum draft for each thinking step, with {n} words at most.",
    "请一步一步思考，但每一步只保留最简短的草稿，最多{n}个词。",
)
"""2502.18600, first line."""

SEPARATOR = Phrase(
    "Return the answer at the end of the response after a separator ####.", "在回答末尾的分隔符 #### 之后给出答案。"
)
"""2502.18600, second line."""

STYLES = {
    "no_cot": ANSWER_ONLY,
    "default_cot": STEP_BY_STEP,
    "be_concise": Phrase(
        "Think step by step before answering, but be concise.", "请先一步一步思考，再作答，但要简明扼要。"
    ),
    "bullet_points": Phrase(
        "Only use bullet points. Do not use complete sentences.", "只用要点列表，不要写完整的句子。"
    ),
    "only_numbers": Phrase(
        "Only use numbers or equations in your steps. Use as few words as possible.",
        "步骤中只用数字或算式，尽可能少用文字。",
    ),
    "no_spaces": Phrase(
        "Do not use any spaces or line breaks. For example, instead of 'since 20 + 4 = 24' respond with"
        " 'since20+4=24'.",
        "不要使用任何空格或换行。例如，不写“因为 20 + 4 = 24”，而写“因为20+4=24”。",
    ),
    "no_proper_grammar": Phrase(
        "Do not use proper grammar. Avoid using connecting words like 'and', 'since', 'but', or 'then', etc.",
        "不必讲究语法。避免使用“和”“因为”“但是”“然后”之类的连接词。",
    ),
    "abbreviate_words": Phrase(
        "Abbreviate words as much as possible. Remove vowels. For example, you can replace 'concept' with 'cncpt'.",
        "尽可能使用缩写，能省的字都省去。例如，可以用“北大”代替“北京大学”。",
    ),
    "word_limit": Phrase("Only use {n} words for your answer.", "你的回答只能用{n}个词。"),
    "char_limit": Phrase("Only use {n} letters for your answer.", "你的回答只能用{n}个字符。"),
    "token_limit": Phrase("Only use {n} tokens for your answer.", "你的回答只能用{n}个词元。"),
    "step_limit": Phrase(
        "List your steps (e.g. 'Step 1', 'Step 2', ...). Use at most {n} steps.",
        "列出你的步骤（例如“第1步”“第2步”……）。最多用{n}步。",
    ),
    "chinese_cot": Phrase("Respond in Chinese.", "请用中文回答。"),
    "chinese_cot_limit": Phrase(
        "Respond in Chinese, but use at most {n} characters.", "请用中文回答，但最多用{n}个字。"
    ),
}
"""2503.01141: all of its templates by name."""

STYLE_LIMITS = {
    "word_limit": (1, 5, 10, 15, 25, 50, 100),
    "char_limit": (10, 50, 100, 500),
    "token_limit": (10, 50, 100, 500),
    "step_limit": (1, 2, 5),
    "chinese_cot_limit": (10, 50, 100, 500),
}
"""2503.01141: the numbers that it put into the templates that take one; with the others they make 31 prompts."""

FRAME = Phrase(
    "Answer the following question. {prompt}\n\nQuestion: {question}\n\nThe last line of your response should be of the"
    " following format: 'Answer: $ANSWER' (without quotes) where ANSWER is your final answer.",
    "回答下面的问题。{prompt}\n\n问题：{question}\n\n回答的最后一行应采用以下格式：“答案：$ANSWER”（不含引号），"
    "其中 ANSWER 是你的最终答案。",
)
"""2503.01141: what the study puts around each question."""

DRAFTS_EN = (
    Draft(
        "A baker has 24 rolls, sells 9 and bakes 6 more. How many rolls are there?", "24 - 9 = 15\n15 + 6 = 21", "21"
    ),
    Draft("Five pens cost 35 coins. How much do eight such pens cost?", "35 / 5 = 7 each\n7 * 8 = 56", "56"),
    Draft(
        "A tank of 80 litres is a quarter full. How many litres are missing?", "80 / 4 = 20 inside\n80 - 20 = 60", "60"
    ),
)
DRAFTS_ZH = (
    Draft("面包店有24个面包，卖掉9个，又烤了6个。现在有多少个？", "24 - 9 = 15\n15 + 6 = 21", "21"),
    Draft("5支笔一共35元。8支这样的笔多少钱？", "单价 35 / 5 = 7\n7 * 8 = 56", "56"),
    Draft("一个80升的水箱装了四分之一的水。还差多少升才满？", "已有 80 / 4 = 20\n80 - 20 = 60", "60"),
)


def drafts(question: str) -> tuple[Draft, ...]:
    """Return the worked drafts in the language of `question`."""
    return DRAFTS_ZH if is_chinese(question) else DRAFTS_EN


class Worked(NamedTuple):
    """A worked example told twice: in full sentences, and as briefly as may be."""

    question: str
    full: str
    brief: str
    answer: str


WORKED_EN = Worked(
    "A pencil costs 3 coins. Mia buys 4 pencils and pays with 20 coins. How many coins does she get back?",
    "Each pencil costs 3 coins, and Mia buys 4 of them, so she has to pay 3 * 4 = 12 coins. She hands over 20 coins."
    " What she gets back is the difference between the two, which is 20 - 12 = 8 coins. So she gets back 8 coins.",
    "3 * 4 = 12 to pay; 20 - 12 = 8 back.",
    "8",
)
WORKED_ZH = Worked(
    "一支铅笔3元。小美买了4支，付了20元。应该找回多少元？",
    "每支铅笔3元，小美买了4支，所以她应付 3 * 4 = 12 元。她付了20元。找回的钱是两者之差，即 20 - 12 = 8 元。"
    "所以应该找回8元。",
    "应付 3 * 4 = 12；找回 20 - 12 = 8。",
    "8",
)


def worked(question: str, kind: Literal["none", "brief", "full"]) -> list[tuple[str, str]]:
    """Return the worked example in the language of `question`, told in this way: its question and reply, or nothing."""
    one = WORKED_ZH if is_chinese(question) else WORKED_EN
    said = {"none": "", "brief": one.brief, "full": one.full}[kind]
    return [(one.question, f"{said}\n\\boxed{{{one.answer}}}")] if said else []
