"""What another process does not know."""

from waste_service.store import present


def forget() -> None:
    """Everything is read again."""
    present.NETWORKS.clear()
    present.STOCKS.clear()
