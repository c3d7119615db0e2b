import pytest

from anyscene.segmenters.captions import noun_phrase

# caption -> what stands before its noun
CAPTIONS = {
    "a wooden bench": "wooden",
    "an orange chair": "orange",
    "a brown wooden table in a room": "brown wooden",
    "a black and white cat laying on a bed": "black and white",
    "a red, white and blue flag": "red and white and blue",
    "two small white sinks next to a large mirror": "small white",
    "a picture of a red chair": "red",
    "a close up view of a striped blue couch": "striped blue",
    "there is a small, round table with a lamp": "small and round",
    "this is an old fashioned radio": "old fashioned",
    "a kitchen table": "",
    "a wooden kitchen table": "wooden",
    "a shed door": "",
    "a bed frame": "",
    "an orange": "",
    "a bowl with an orange": "",
    "a wall painted white": "",
    "a bed with white sheets": "",
    "a table and a red chair": "",
    "a white bed and a red chair": "white",
    "a living room with a black leather couch": "",
    "a black leather couch": "black leather",
    "a dark brown dresser": "dark brown",
    "a light-blue door": "light-blue",
    "a flat-screened tv": "flat-screened",
    "a bed": "",
    "a greenish wall": "greenish",
    "a white white white sink": "white",
    "A Stainless Steel refrigerator.": "stainless steel",
    "a very large bookshelf": "large",
    "white": "",
    "and": "",
    "of": "",
    "of of a red door": "red",
    "a picture of": "",
    "there is": "",
    "there": "",
    "": "",
    "123 !?": "",
    "##ing [sep]": "",
}


@pytest.mark.parametrize(("caption", "wanted"), CAPTIONS.items())
def test_adjectives_before_the_noun(caption, wanted):
    assert noun_phrase.modifiers(caption) == wanted


@pytest.mark.parametrize(
    ("before", "noun", "wanted"),
    [
        ("wooden", "table", "a wooden table in a scene"),
        ("brown", "bench", "a brown bench in a scene"),
        ("orange", "chair", "an orange chair in a scene"),
        ("orange and white", "chair", "an orange and white chair in a scene"),
        ("", "oven", "an oven in a scene"),
        ("", "unit", "a unit in a scene"),
        ("", "umbrella stand", "an umbrella stand in a scene"),
        ("", "hourglass", "an hourglass in a scene"),
        ("", "one-armed bandit", "a one-armed bandit in a scene"),
        ("old", "unit", "an old unit in a scene"),
        ("used", "armchair", "a used armchair in a scene"),
        ("unmade", "bed", "an unmade bed in a scene"),
        ("upholstered", "chair", "an upholstered chair in a scene"),
        ("ivory", "wall", "an ivory wall in a scene"),
        ("small", "shower curtain", "a small shower curtain in a scene"),
        ("glass", "glass door", "a glass door in a scene"),
        ("white and glass", "glass door", "a white glass door in a scene"),
        ("orange", "Orange tree", "an Orange tree in a scene"),
    ],
)
def test_the_noun_is_replaced(before, noun, wanted):
    assert noun_phrase.sentence(before, noun) == wanted


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("a {} in a scene", "an orange chair in a scene"),
        ("{}", "orange chair"),
        ("A {}.", "A orange chair."),  # only what is an article for sure
        ("a photo of a {}", "a photo of an orange chair"),
        ("an {} in a room", "an orange chair in a room"),
        ("there is the {} here", "there is the orange chair here"),
    ],
)
def test_sentences_have_the_form_that_is_asked_for(template, wanted):
    assert noun_phrase.sentence("orange", "chair", template) == wanted


@pytest.mark.parametrize("caption", CAPTIONS)
def test_what_is_kept_can_be_read_again(caption):
    """A sentence's own adjectives are those that it was made with."""
    before = noun_phrase.modifiers(caption)
    assert noun_phrase.modifiers(noun_phrase.sentence(before, "table")) == before
