"""The sentences of a report, computed from run folders."""
