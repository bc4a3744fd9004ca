"""The figures of a report, each with its words and its data."""
