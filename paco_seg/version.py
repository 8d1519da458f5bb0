"""Version of paco_seg; the first entry of CHANGELOG.md carries the same number."""

__version__ = '0.1.0'
