"""Corpora: what was recorded by whom, with which labels, and which split each utterance belongs to."""
