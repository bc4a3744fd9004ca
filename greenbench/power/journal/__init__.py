"""Recorded readings and what follows from them: a file, devices on a time axis, windows of it in joules."""
