"""Which frames to take of a clip that has more, or fewer, than are wanted."""

__all__ = ["spread"]


def spread(count: int, steps: int, spacing: float | None = None) -> list[int]:
    """Return which ``steps`` of ``count`` frames to take, in order.

    They are evenly apart, by ``spacing`` frames at most, and in the middle; Lynxi's reference
    takes 16 frames of a Jester clip so, by 1.5. Where there are fewer frames than steps, each is
    taken about equally often.

    Example:
        >>> spread(37, 16, 1.5)
        [7, 8, 10, 11, 13, 15, 16, 17, 19, 21, 22, 23, 25, 27, 28, 29]
        >>> spread(3, 6)
        [0, 0, 1, 1, 2, 2]
    """
    if count < steps:
        return [k * count // steps for k in range(steps)]
    apart = min(count / steps, spacing or count)
    # Halves go to the even neighbour, here as there.
    taken = [round(k * apart) for k in range(steps)]
    first = (count - 1 - taken[-1]) // 2
    return [first + k for k in taken]
