"""Medians, percentiles and ratios with a bootstrap interval. Pure functions."""

import random
import statistics


def median(values):
    """The median, or None of nothing."""
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def percentile(values, share):
    """The value below which `share` (0 to 1) of the values lie, interpolated."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def bootstrap_interval(values, draws=4000, level=0.95, seed=20201111):
    """The interval of the median when the values are drawn again with replacement. Same input, same answer."""
    if len(values) < 2:
        return None
    rng = random.Random(seed)
    count = len(values)
    medians = [statistics.median(rng.choices(values, k=count)) for _ in range(draws)]
    tail = (1 - level) / 2
    return percentile(medians, tail), percentile(medians, 1 - tail)


def paired_ratio(over, under):
    """Ratio of two lists measured in the same rounds: one ratio a round, their median and its 95 % interval.

    A round where either is missing is left out. Returns None when no round has both.
    """
    ratios = [a / b for a, b in zip(over, under) if a is not None and b]
    if not ratios:
        return None
    low, high = bootstrap_interval(ratios) or (None, None)
    return {"median": statistics.median(ratios), "low": low, "high": high, "pairs": len(ratios)}


def abba(names, round_number):
    """The order of one round. A pair of rounds goes through one shuffled order and back, so that a steady drift cancels;
    another shuffle for each pair, for whoever ends one round begins the next and finds its caches warm."""
    shuffled = sorted(names)
    random.Random(round_number // 2).shuffle(shuffled)
    return shuffled if round_number % 2 == 0 else shuffled[::-1]