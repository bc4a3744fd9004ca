"""Readers: one small module a format, each turning files on disk into a ``Listing`` of entries."""
