"""The tables of a report as plain data, and the CSV files."""
