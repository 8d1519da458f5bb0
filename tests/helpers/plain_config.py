"""Parts of a config as JSON and YAML hold them, to be compared."""


def plain(value):
    """Tuples as lists, and without ``_scope_``, which marks what a base in another package said."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != '_scope_'}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
