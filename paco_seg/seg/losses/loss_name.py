"""Names under which losses stand in the log."""

from __future__ import annotations


def check_loss_name(key: str, name: object) -> None:
    """Refuse a log key that MMEngine would not add to the total loss.

    Raises:
        ValueError: ``name`` is no text that starts with 'loss'.
    """
    if not isinstance(name, str) or not name.startswith('loss'):
        raise ValueError(
            f"{key}: expected a name that starts with 'loss' (MMEngine sums only such keys), "
            f'got {name!r}'
        )
