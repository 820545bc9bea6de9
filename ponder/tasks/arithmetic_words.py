"""The stories of `arithmetic`: names, things and sentences in two languages; plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Story(NamedTuple):
    """A word problem: the operations on the number `a` with `b` and then `c`, and the sentences that tell them."""

    steps: tuple[str, ...]
    text: str


class Words(NamedTuple):
    """What one language needs."""

    names: tuple[str, ...]
    things: tuple[str, ...]
    asks: tuple[str, ...]
    stories: tuple[Story, ...]


_EN = Words(
    names=(
        *("Anna", "Ben", "Carla", "David", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Liam"),
        *("Maya", "Noah", "Olga", "Pedro", "Quinn", "Rosa", "Samir", "Tara", "Uma", "Victor", "Wei", "Yusuf"),
    ),
    things=(
        *("apples", "pencils", "stamps", "marbles", "cookies", "stickers", "shells", "coins", "books", "buttons"),
        *("balloons", "tickets", "postcards", "peaches", "candles", "bricks", "seeds", "toy cars", "eggs", "cups"),
    ),
    asks=("What is {e}?", "Calculate {e}.", "Work out the value of {e}.", "How much is {e}?"),
    stories=(
        Story(("add",), "{n} has {a} {t}. {m} gives {n} {b} more. How many {t} does {n} have now?"),
        Story(("add",), "There are {a} {t} in a box and {b} {t} on the table. How many {t} are there in all?"),
        Story(("add",), "{n} found {a} {t} on Monday and {b} {t} on Tuesday. How many {t} did {n} find in total?"),
        Story(("sub",), "{n} had {a} {t} and gave {b} of them to {m}. How many {t} does {n} have left?"),
        Story(("sub",), "A shop had {a} {t}. It sold {b} of them. How many {t} remain?"),
        Story(("sub",), "{n} has {a} {t} and {m} has {b}. How many more {t} does {n} have than {m}?"),
        Story(("mul",), "{n} has {a} boxes with {b} {t} in each. How many {t} does {n} have?"),
        Story(("mul",), "A bag holds {a} {t}. How many {t} do {b} such bags hold?"),
        Story(("div",), "{n} shares {a} {t} equally among {b} friends. How many {t} does each friend get?"),
        Story(("div",), "{a} {t} are packed into {b} equal parcels. How many {t} are in each parcel?"),
        Story(
            ("add", "sub"), "{n} had {a} {t}, bought {b} more and then lost {c}. How many {t} does {n} have in the end?"
        ),
        Story(("add", "add"), "{n} has {a} {t}, {m} has {b} and a friend has {c}. How many {t} do they have together?"),
        Story(
            ("mul", "add"),
            "{n} buys {a} packs of {b} {t} and finds {c} more at home. How many {t} does {n} have in all?",
        ),
        Story(
            ("mul", "sub"),
            "{n} had {a} bags of {b} {t} and gave {m} {c} {t}. How many {t} does {n} still have?",
        ),
        Story(
            ("sub", "mul"),
            "A crate holds {a} {t}, but {b} of them are broken in every crate. How many {t} in {c} crates are whole?",
        ),
        Story(
            ("add", "mul"),
            "Every day {n} collects {a} {t} and {m} collects {b}. How many {t} do both collect in {c} days?",
        ),
        Story(
            ("div", "add"),
            "{a} {t} are shared equally among {b} children, one of whom is {n}. {n} had {c} {t} before. "
            "How many {t} does {n} have now?",
        ),
        Story(
            ("div", "sub"),
            "{n} puts {a} {t} into {b} equal piles and takes {c} away from one pile. How many {t} are left in it?",
        ),
        Story(
            ("div", "mul"),
            "{a} {t} fill {b} boxes equally. How many {t} are there in {c} of these boxes?",
        ),
    ),
)

_ZH = Words(
    names=(
        *("小明", "小红", "小刚", "小丽", "小华", "小芳", "小军", "小雨", "小杰", "小燕", "王老师", "李叔叔"),
        *("张阿姨", "陈晨", "刘洋", "赵敏", "孙悦", "周舟", "吴桐", "郑爽", "冯源", "何静", "许诺", "林峰"),
    ),
    things=(
        *("个苹果", "支铅笔", "张邮票", "颗弹珠", "块饼干", "张贴纸", "个贝壳", "枚硬币", "本书", "颗纽扣"),
        *("个气球", "张门票", "张明信片", "个桃子", "根蜡烛", "块砖", "粒种子", "辆玩具车", "个鸡蛋", "个杯子"),
    ),
    asks=("{e} 等于多少？", "计算 {e}。", "求 {e} 的值。", "{e} 是多少？"),
    stories=(
        Story(("add",), "{n}有{a}{t}，{m}又给了{n}{b}{t}。{n}现在有多少{t}？"),
        Story(("add",), "盒子里有{a}{t}，桌上有{b}{t}。一共有多少{t}？"),
        Story(("add",), "{n}星期一找到{a}{t}，星期二找到{b}{t}。{n}两天共找到多少{t}？"),
        Story(("sub",), "{n}有{a}{t}，送给{m}{b}{t}。{n}还剩多少{t}？"),
        Story(("sub",), "商店里有{a}{t}，卖出了{b}{t}。还剩多少{t}？"),
        Story(("sub",), "{n}有{a}{t}，{m}有{b}{t}。{n}比{m}多多少{t}？"),
        Story(("mul",), "{n}有{a}个盒子，每个盒子里有{b}{t}。{n}一共有多少{t}？"),
        Story(("mul",), "一个袋子能装{a}{t}。{b}个这样的袋子能装多少{t}？"),
        Story(("div",), "{n}把{a}{t}平均分给{b}个朋友。每个朋友得到多少{t}？"),
        Story(("div",), "把{a}{t}平均装进{b}个包裹。每个包裹里有多少{t}？"),
        Story(("add", "sub"), "{n}原有{a}{t}，又买了{b}{t}，后来丢了{c}{t}。{n}最后有多少{t}？"),
        Story(("add", "add"), "{n}有{a}{t}，{m}有{b}{t}，另一个朋友有{c}{t}。三人一共有多少{t}？"),
        Story(("mul", "add"), "{n}买了{a}包，每包{b}{t}，家里还有{c}{t}。{n}一共有多少{t}？"),
        Story(("mul", "sub"), "{n}有{a}袋，每袋{b}{t}，给了{m}{c}{t}。{n}还有多少{t}？"),
        Story(("sub", "mul"), "每箱有{a}{t}，其中{b}{t}是坏的。{c}箱里一共有多少{t}是好的？"),
        Story(("add", "mul"), "{n}每天收集{a}{t}，{m}每天收集{b}{t}。{c}天里两人一共收集多少{t}？"),
        Story(("div", "add"), "{a}{t}平均分给{b}个孩子，{n}是其中之一。{n}原来有{c}{t}。{n}现在有多少{t}？"),
        Story(("div", "sub"), "{n}把{a}{t}平均分成{b}堆，再从其中一堆拿走{c}{t}。这一堆还剩多少{t}？"),
        Story(("div", "mul"), "{a}{t}正好平均装满{b}个盒子。{c}个这样的盒子里有多少{t}？"),
    ),
)

WORDS: Mapping[str, Words] = {"en": _EN, "zh": _ZH}
