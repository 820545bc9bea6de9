"""What methods say to models, as data in one place: English and Chinese, chosen by the question's language."""

from __future__ import annotations

import re
from typing import NamedTuple

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

ANSWER_ONLY = Phrase("Only give the final answer. Do not give any explanation.", "只给出最终答案，不要给出任何解释。")
"""The prompt `NoCoT` of 2503.01141."""

FINAL_ANSWER = Phrase("Final Answer:", "最终答案：")
"""2504.09858 and 2501.19393: how a reply is begun that shall not reason first."""

THOUGHT_DONE = Phrase("Okay, I think I have finished thinking.", "好的，我想我已经思考完了。")
"""2504.09858."""

MINIMUM_DRAFT = Phrase(
    "Think step by step, but only keep minimum draft for each thinking step, with {n} words at most.",
    "请一步一步思考，但每一步只保留最简短的草稿，最多{n}个词。",
)
"""2502.18600, first line."""

SEPARATOR = Phrase(
    "Return the answer at the end of the response after a separator ####.", "在回答末尾的分隔符 #### 之后给出答案。"
)
"""2502.18600, second line."""

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
