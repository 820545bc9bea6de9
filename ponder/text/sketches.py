"""What sketch-of-thought says to models: a rule and worked sketches for each paradigm, in English and Chinese, our own.

After 2503.05179, which describes the three paradigms; its prompts and examples are others.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from ponder.text.prompts import Draft, Phrase, is_chinese

Paradigm = Literal["chunked_symbolism", "conceptual_chaining", "expert_lexicons"]
PARADIGMS: tuple[Paradigm, ...] = get_args(Paradigm)


class Sketch(NamedTuple):
    """A paradigm: the rule, and three worked sketches in each language."""

    rule: Phrase
    en: tuple[Draft, Draft, Draft]
    zh: tuple[Draft, Draft, Draft]

    def shots(self, question: str) -> tuple[Draft, ...]:
        """Return the worked sketches in the language of `question`."""
        return self.zh if is_chinese(question) else self.en


_END = Phrase(
    "No sentences; do not restate the question. End with \\boxed{} around the answer; of several choices, its letter.",
    "不写完整句子，不复述题目。最后把答案写在 \\boxed{} 中；选择题只写选项字母。",
)


def _rule(en: str, zh: str) -> Phrase:
    return Phrase(f"{en} {_END.en}", zh + _END.zh)


SKETCHES: dict[Paradigm, Sketch] = {
    "chunked_symbolism": Sketch(
        _rule(
            "Reason in symbols: first the quantities with their units, one a line; then one short equation a line.",
            "用符号推理：先逐行写出各个量及其单位，再逐行写简短的算式，每行一步。",
        ),
        (
            Draft(
                "A cyclist rides 18 km in 45 minutes. What is her mean speed in km/h?",
                "d = 18 km\nt = 45 / 60 = 0.75 h\nv = 18 / 0.75 = 24 km/h",
                "24",
            ),
            Draft(
                "A price of 80 coins is lowered by 15 %, and 6 coins are added for delivery. What is paid?",
                "p = 80\ncut = 0.15 * 80 = 12\np1 = 80 - 12 = 68\ntotal = 68 + 6 = 74",
                "74",
            ),
            Draft(
                "Twice a number plus 7 is 31. What is the number?\nA. 10\nB. 12\nC. 14",
                "2x + 7 = 31\n2x = 24\nx = 12 → B",
                "B",
            ),
        ),
        (
            Draft(
                "小李骑车45分钟走了18千米，平均速度是每小时多少千米？",
                "d = 18 km\nt = 45 / 60 = 0.75 h\nv = 18 / 0.75 = 24 km/h",
                "24",
            ),
            Draft(
                "原价80元的商品降价15%，另加运费6元，一共付多少元？",
                "p = 80\n降 = 0.15 * 80 = 12\np1 = 80 - 12 = 68\n总 = 68 + 6 = 74",
                "74",
            ),
            Draft(
                "某数的两倍加7等于31，这个数是多少？\nA. 10\nB. 12\nC. 14",
                "2x + 7 = 31\n2x = 24\nx = 12 → B",
                "B",
            ),
        ),
    ),
    "conceptual_chaining": Sketch(
        _rule(
            "Reason in a chain of concepts: link the key terms with arrows (→), each from the one before.",
            "用概念链推理：取出关键词，用箭头（→）连接，每一步由上一步得出。",
        ),
        (
            Draft(
                "Could a candle burn in the open on the Moon?",
                "candle → flame needs oxygen\nMoon → no air → no oxygen\n→ no flame",
                "no",
            ),
            Draft(
                "What is the capital of the country in which the engineer Gustave Eiffel was born?",
                "Eiffel → born in Dijon → France → capital Paris",
                "Paris",
            ),
            Draft(
                "Where is milk put so that it stays fresh?\nA. oven\nB. refrigerator\nC. bookshelf",
                "fresh → bacteria slowed → cold → refrigerator → B",
                "B",
            ),
        ),
        (
            Draft(
                "蜡烛能在月球表面露天燃烧吗？",
                "蜡烛 → 燃烧需要氧气\n月球 → 没有空气 → 没有氧气\n→ 不能燃烧",
                "否",
            ),
            Draft(
                "工程师古斯塔夫·埃菲尔出生的国家，首都是哪里？",
                "埃菲尔 → 生于第戎 → 法国 → 首都巴黎",
                "巴黎",
            ),
            Draft(
                "牛奶放在哪里能保鲜？\nA. 烤箱\nB. 冰箱\nC. 书架",
                "保鲜 → 抑制细菌 → 低温 → 冰箱 → B",
                "B",
            ),
        ),
    ),
    "expert_lexicons": Sketch(
        _rule(
            "Reason as an expert takes notes: symbols (∴ ∝ Δ ≈ →), units, the field's abbreviations, nothing else.",
            "像专家记笔记那样推理：只用标准符号（∴ ∝ Δ ≈ →）、单位和专业缩写。",
        ),
        (
            Draft(
                "What is the concentration in mol/L of 0.5 mol of NaCl in 2 L of solution?",
                "n = 0.5 mol, V = 2 L\nc = n/V = 0.25 M",
                "0.25",
            ),
            Draft(
                "A patient with heart failure gains weight and has swollen legs. What is given first?\n"
                "A. a loop diuretic\nB. an antihistamine\nC. an antacid",
                "CHF → fluid overload → ↑wt, edema\nTx: loop diuretic ∴ A",
                "A",
            ),
            Draft(
                "How does the running time of binary search grow with n sorted items?",
                "n → n/2 → … → 1\nsteps ≈ log₂n ∴ O(log n)",
                "O(\\log n)",
            ),
        ),
        (
            Draft(
                "2升溶液中含0.5摩尔氯化钠，浓度是多少mol/L？",
                "n = 0.5 mol, V = 2 L\nc = n/V = 0.25 M",
                "0.25",
            ),
            Draft(
                "心力衰竭患者体重增加、双腿水肿，首先给予什么药？\nA. 袢利尿剂\nB. 抗组胺药\nC. 抗酸药",
                "CHF → 液体潴留 → 体重↑, 水肿\nTx: 袢利尿剂 ∴ A",
                "A",
            ),
            Draft(
                "在n个有序元素中做二分查找，时间复杂度是多少？",
                "n → n/2 → … → 1\n步数 ≈ log₂n ∴ O(log n)",
                "O(\\log n)",
            ),
        ),
    ),
}
"""Paradigm to its rule and its sketches."""
