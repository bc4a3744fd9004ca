"""Build script of the embedded corpus ``librispeech-mini``; see ``data/README.md``."""
