"""Splitting a whole amount so that its parts add up to it exactly; not for deciding how much the whole is."""

from collections.abc import Sequence


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to the weights (≥ 0), by largest remainder; the parts sum to `total`.

    All weights zero: everything goes to the first part. Ties go to the earlier part, so the split is reproducible.
    """
    if not weights:
        return []
    whole = sum(weights)
    if whole == 0:
        return [total, *([0] * (len(weights) - 1))]
    sign = -1 if total < 0 else 1
    shares = [abs(total) * weight // whole for weight in weights]
    remainders = [abs(total) * weight % whole for weight in weights]
    left = abs(total) - sum(shares)
    for index in sorted(range(len(weights)), key=lambda i: -remainders[i])[:left]:
        shares[index] += 1
    return [sign * share for share in shares]
