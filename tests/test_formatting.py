"""Numbers in words, and sparklines."""

import math

import pytest

from neuroevo.terminal.formatting import (
    format_count,
    format_duration,
    format_value,
    sparkline,
)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (1234, "1.2k"),
        (123_456, "123k"),
        (999_950, "1M"),
        (16.3e6, "16.3M"),
        (2e9, "2G"),
        (3e13, "30T"),
        (5e16, "50000T"),
    ],
)
def test_counts(number, expected):
    assert format_count(number) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (488.12, "488.1"),
        (-1585.4, "-1585"),
        (0, "0"),
        (-3.14159, "-3.14"),
        (0.123, "0.123"),
        (1.5e7, "1.50e+07"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_values(number, expected):
    assert format_value(number) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.15, "150 ms"),
        (0.9999, "1 s"),
        (1.52, "1.5 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (72, "1 min 12 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds, expected):
    assert format_duration(seconds) == expected


@pytest.mark.parametrize("length", [1, 2, 8, 40, 41, 1000])
def test_sparkline_of_a_monotone_curve_never_falls(length):
    line = sparkline(range(length), 40)
    assert len(line) == min(length, 40)
    assert list(line) == sorted(line)
    if length >= 8:
        assert (line[0], line[-1]) == ("▁", "█")


def test_sparkline_of_a_constant_is_flat():
    assert len(set(sparkline([-3.0] * 100, 20))) == 1


def test_sparkline_carries_values_over_gaps_and_survives_no_values():
    nan, inf = math.nan, math.inf
    assert sparkline([nan, 0, nan, 1, inf], 10) == " ▁▁██"
    assert sparkline([nan] * 30, 10) == " " * 10
    assert sparkline([], 10) == ""


def test_sparkline_clips_to_the_given_scale():
    assert sparkline([-1e9, 0, 7, 1e9], 10, low=0, high=8) == "▁▁██"
