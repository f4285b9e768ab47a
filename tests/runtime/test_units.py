"""Amounts of memory are parsed with their unit and shown in GB and MB."""

import pytest

from run_graph.runtime.units import bytes_text, parse_bytes


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("8GB", 8 * 10**9),
        ("1.5 gb", 1_500_000_000),
        ("8GiB", 8 * 2**30),
        (" 500MB ", 500_000_000),
        ("0.5KiB", 512),
        ("12B", 12),
        ("2TB", 2 * 10**12),
    ],
)
def test_amounts_are_parsed(text: str, nbytes: int) -> None:
    assert parse_bytes(text) == nbytes


@pytest.mark.parametrize("text", ["8", "", "GB", "-1GB", "8 gigabytes", "0GB", "1e9B", "nanGB", "0.1B"])
def test_what_is_not_an_amount_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="such as 8GB") as caught:
        parse_bytes(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("nbytes", "text"), [(23_800_000_000, "23.8 GB"), (100_000_000, "0.1 GB"), (4_100_000, "4.1 MB")]
)
def test_amounts_are_shown_in_powers_of_1000(nbytes: int, text: str) -> None:
    assert bytes_text(nbytes) == text
