"""Says in a few words what went wrong between us and Consul."""

LENGTH_MAX = 160


def trouble(error: BaseException, *, waited_s: float) -> str:
    """Name the cause of a call's failure, not the layers that it came through.

    Args:
        error: what a call raised.
        waited_s: how long it was given.
    """
    root = error
    while isinstance(error, OSError) and (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    if isinstance(root, TimeoutError):
        return f"no answer within {waited_s:.1f} s"
    said = " ".join(str(getattr(root, "strerror", None) or root).split()) or type(root).__name__
    return said if len(said) <= LENGTH_MAX else f"{said[: LENGTH_MAX - 3]}..."
