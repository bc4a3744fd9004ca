"""Builds the embedded corpus ``mini`` with espeak-ng; see ``data/README.md``."""
