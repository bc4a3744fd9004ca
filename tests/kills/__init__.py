"""Runs that are killed at exact moments: at a write, a rename or a phase that a seed has chosen."""
