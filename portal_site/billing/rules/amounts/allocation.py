"""Splitting an amount into integer parts that add up to it exactly."""

from collections.abc import Sequence


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to the weights (≥ 0) by the largest remainder method; the parts sum to `total`.

    If all weights are zero, the first part gets everything. Ties go to the earlier part, so the split is reproducible.
    """
    if len(weights) <= 1:
        return [total] * len(weights)
    weight_sum = sum(weights)
    if weight_sum == 0:
        return [total, *([0] * (len(weights) - 1))]
    sign = -1 if total < 0 else 1
    shares = [abs(total) * weight // weight_sum for weight in weights]
    remainders = [abs(total) * weight % weight_sum for weight in weights]
    unallocated = abs(total) - sum(shares)
    for index in sorted(range(len(weights)), key=lambda i: -remainders[i])[:unallocated]:
        shares[index] += 1
    return [sign * share for share in shares]
