"""What a check says to people and to CI systems."""

from greenbench.check.printers.badge import badge
from greenbench.check.printers.github import github_annotations, step_summary
from greenbench.check.printers.junit import junit_xml
from greenbench.check.printers.table import table
from greenbench.check.printers.trackers import bencher, github_action_benchmark
from greenbench.check.printers.write import write_github, write_outputs

__all__ = [
    "badge",
    "bencher",
    "github_action_benchmark",
    "github_annotations",
    "junit_xml",
    "step_summary",
    "table",
    "write_github",
    "write_outputs",
]
