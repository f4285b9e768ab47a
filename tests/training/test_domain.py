"""The domain of the trained model, and what is kept from its training."""

import random
from collections import Counter

from training.captions import canonical, caption
from training.domain import BACKGROUNDS, NOUNS, STYLES, held_out, subjects, training_subjects
from training.layout.tokenizer_files import WORDS


def test_at_least_sixty_nouns_and_every_combination() -> None:
    assert len(NOUNS) >= 60
    assert len(subjects()) == len(set(subjects())) == len(NOUNS) * len(STYLES) * len(BACKGROUNDS)


def test_held_out_combinations_are_not_trained_on() -> None:
    assert len(held_out()) == round(len(subjects()) / 12)
    assert held_out().isdisjoint(training_subjects())
    assert len(training_subjects()) + len(held_out()) == len(subjects())


def test_every_noun_is_trained_on_in_every_style_and_on_every_background() -> None:
    trained = Counter((subject.noun, subject.style) for subject in training_subjects())
    assert set(trained) == {(noun, style) for noun in NOUNS for style in STYLES}
    assert min(trained.values()) == len(BACKGROUNDS) - 1
    grounds = {(subject.noun, subject.background) for subject in training_subjects()}
    assert len(grounds) == len(NOUNS) * len(BACKGROUNDS)


def test_every_word_that_matters_is_one_token() -> None:
    assert {*NOUNS, *STYLES, *BACKGROUNDS} <= set(WORDS)


def test_a_caption_names_only_what_it_is_given() -> None:
    draw = random.Random(0)
    values = {*NOUNS, *STYLES, *BACKGROUNDS}
    for subject in draw.sample(subjects(), 200):
        words = set(caption(draw, subject.noun, None, subject.background).lower().replace(",", " ").split())
        assert words & values == {subject.noun, subject.background}


def test_the_usual_wording() -> None:
    assert canonical("fox", "line", "blue") == "fox, line style, on a blue background"
    assert canonical("fox") == "fox"
    assert canonical(background="blue") == "on a blue background"
