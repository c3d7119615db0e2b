"""Replacing the noun of a caption: "a wooden bench near a wall" and "table" become "a wooden table".

SAS aligns mask models with text so. The noun becomes the name of the mask, of which the segmenter is surer
than the captioner, and only the adjectives before it are kept. (SAS's code keeps all adjectives of the
caption, joined by "and", after the article "a".) Adjectives are told from nouns by a list and by their
endings, and not by a tagger. Captions of things in rooms use few adjectives, and an unknown one that is
left out does less harm than a noun that is kept ("a kitchen bed").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from anyscene.text import TEMPLATE

# colours, and what qualifies them; materials; sizes and shapes; patterns and surfaces; age and state
ADJECTIVES = frozenset(
    """
    black white grey gray brown red orange yellow green blue purple pink beige tan cream maroon navy teal
    turquoise violet gold golden silver bronze ivory
    dark light bright pale deep colorful colourful multicolor
    wooden wood metal metallic plastic leather glass stone marble brick concrete ceramic porcelain granite
    stainless steel iron brass copper wicker rattan bamboo woolen woollen cotton velvet linen fabric oak pine
    big large huge small little tiny tall short long high low wide narrow thin thick slim shallow
    round circular square rectangular oval curved straight flat open closed double single
    striped checkered plaid floral plain patterned shiny glossy matte smooth rough soft hard fluffy furry
    fuzzy clear transparent translucent ornate simple fancy decorative
    old new modern antique vintage rustic contemporary traditional classic retro clean dirty messy neat
    empty full broken unmade bare electric electronic digital industrial
    """.split()
)
NOT_ADJECTIVES = frozenset(["shed", "seed", "weed", "reed", "sled", "need", "feed", "speed", "breed"])
ENDINGS = ("ed", "ish", "less")
# no noun phrase contains these: they begin another phrase, or a clause
BOUNDARIES = frozenset(
    """
    in on at with by near next beside behind under above over below against between inside outside from
    to into through across along around off for that which who while as is are was has have having
    sitting standing hanging laying lying showing made attached placed mounted filled covered surrounded
    . ; : !
    """.split()
)
FRAMES = frozenset(["there", "this", "that", "it", "these", "here"])  # "there is a small sink"
DETERMINERS = frozenset("a an the some two three four five six several many his her its their very".split())
JOINTS = frozenset(["and", "or", ","])
INDEFINITE = re.compile(r"(^|\s)an? \{\}")


def modifiers(caption: str) -> str:
    """The adjectives before the first noun of `caption`: "a black and white cat on a bed" -> "black and
    white". For "a picture of a red chair" that noun is the chair. "" where there are none."""
    words = re.findall(r"[a-z]+(?:-[a-z]+)*|[.,;:!]", caption.lower())
    if words and words[0] in FRAMES:
        words = words[2:]
    phrase = _phrase(words)
    while len(phrase) < len(words) and words[len(phrase)] == "of":
        words = words[len(phrase) + 1 :]
        phrase = _phrase(words)
    # the noun is the last word that is not an adjective: "a wall painted white"; in "an orange" it is the
    # orange
    nouns = [place for place, word in enumerate(phrase) if not _adjective(word) and word not in JOINTS]
    noun = next((place for place in reversed(nouns) if phrase[place] not in DETERMINERS), len(phrase) - 1)
    kept: list[str] = []
    joined = False
    for word in phrase[: max(noun, 0)]:
        if word in JOINTS:
            joined = bool(kept)
        elif _adjective(word) and word not in kept:
            kept += ["and", word] if joined else [word]
            joined = False
    return " ".join(kept)


def sentence(before: str, noun: str, template: str = TEMPLATE) -> str:
    """ "a {adjectives} {noun} in a scene" with the article for its first word, where `template` has one.
    Adjectives that the noun already has are left out: "glass" before "glass door"."""
    own = set(noun.lower().split())
    words = before.split()
    if own & set(words):
        words = [word for word in words if word not in own and word != "and"]
    phrase = " ".join([*words, noun])
    return INDEFINITE.sub(rf"\1{article(phrase)} {{}}", template).format(phrase)


def article(phrase: str) -> str:
    """ "an" before a vowel sound, as far as spelling shows it: "an orange chair" but "a unit", "an hour"."""
    word = phrase.lower()
    if word.startswith(("hour", "honest", "heir")):
        return "an"
    if word.startswith(("uni", "use", "usu", "eu", "one", "ute")) and not word.startswith(("unin", "unim")):
        return "a"
    return "an" if word[:1] in set("aeiou") else "a"


def _phrase(words: Sequence[str]) -> list[str]:
    """The words before the first boundary. "and" and commas belong to them only between adjectives."""
    phrase: list[str] = []
    for place, word in enumerate(words):
        if word in BOUNDARIES or word == "of":
            break
        after = words[place + 1] if place + 1 < len(words) else ""
        if word in JOINTS and not (
            phrase and _adjective(phrase[-1]) and (_adjective(after) or after in JOINTS)
        ):
            break
        phrase.append(word)
    return phrase


def _adjective(word: str) -> bool:
    last = word.rpartition("-")[2]
    if word in NOT_ADJECTIVES:
        return False
    return word in ADJECTIVES or last in ADJECTIVES or (len(last) > 3 and last.endswith(ENDINGS))
