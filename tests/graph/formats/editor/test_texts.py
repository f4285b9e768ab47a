"""Texts as the editor hands them over; what its own conversions show is in ``cases.json``."""

import pytest

from run_graph.graph.formats.editor.texts import with_widget_values, without_choices


@pytest.mark.parametrize(
    ("text", "expected", "chose"),
    [
        ("a fox", "a fox", False),
        ("a {red|blue} fox", "a red fox", True),
        ("{a|b}{c|d}", "ac", True),
        ("{{a|b}|c}", "a", True),
        ("{a|{b|c}} d", "a d", True),
        ("{a {x|y} b|c}", "a x b", True),
        ("{|b} c", " c", True),
        ("{a", "a", False),
        ("a} b", "a} b", False),
        ("a | b", "a | b", False),
        (r"\{a\|b\}", "{a|b}", False),
        (r"{a\|b|c}", "a|b", True),
        ("a /* never */ b // nor this\nc", "a  b \nc", False),
        ("a\\", "a\\", False),
        ("", "", False),
    ],
)
def test_comments_and_choices(text: str, expected: str, chose: bool) -> None:
    assert without_choices(text) == (expected, chose)


@pytest.mark.parametrize(
    ("value", "written"),
    [("a/b:c", "a_b_c"), (True, "true"), (1.0, "1"), (1.5, "1.5"), (7, "7"), ("é", "é"), (None, "%n.w%")],
)
def test_values_of_widgets_in_names_of_files(value: object, written: str) -> None:
    asked: list[tuple[str, str]] = []

    def value_of(node: str, widget: str) -> object:
        asked.append((node, widget))
        return value

    assert (
        with_widget_values("x%n.w%y%width%%date:yy.MM.dd%", value_of) == f"x{written}y%width%%date:yy.MM.dd%"
    )
    assert asked == [("n", "w")]
