"""Names under which losses stand in the log."""

from __future__ import annotations


def check_loss_name(key: str, name: str) -> None:
    """Refuse a log key that MMEngine would not add to the total loss.

    Raises:
        ValueError: ``name`` does not start with 'loss'.
    """
    if not name.startswith('loss'):
        raise ValueError(
            f"{key}: expected a name that starts with 'loss' (MMEngine sums only such keys), "
            f'got {name!r}'
        )
