"""JUnit XML: one test case per entry, with its figures as properties."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

# XML 1.0 has no place for these, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PROPERTIES = ("kind", "limit", "value", "baseline", "increase", "p", "runs", "baseline_runs", "more_runs", "severity")


def junit_xml(result: Mapping[str, Any]) -> str:
    """The check as JUnit XML; failures of severity ``warn`` and open entries are ``skipped``."""
    entries = result["entries"]
    failures = sum(e["verdict"] == "fail" and e["severity"] == "fail" for e in entries)
    skipped = sum(e["verdict"] != "pass" for e in entries) - failures
    counts = {"tests": str(len(entries)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
    root = ET.Element("testsuites", {"name": "greenbench check", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": _clean(str(result.get("budgets", ""))), **counts})
    for entry in entries:
        case = ET.SubElement(
            suite,
            "testcase",
            {"classname": _clean(entry["scope"]), "name": f"{entry['metric']} {entry['kind']}", "time": "0"},
        )
        properties = ET.SubElement(case, "properties")
        for name in _PROPERTIES:
            if entry.get(name) is not None:
                ET.SubElement(properties, "property", {"name": name, "value": _clean(str(entry[name]))})
        if entry["verdict"] == "fail" and entry["severity"] == "fail":
            failure = ET.SubElement(case, "failure", {"message": _clean(entry["reason"]), "type": entry["kind"]})
            failure.text = _clean(entry["reason"])
        elif entry["verdict"] != "pass":
            word = "warning" if entry["verdict"] == "fail" else "not decidable"
            ET.SubElement(case, "skipped", {"message": _clean(f"{word}: {entry['reason']}")})
        else:
            ET.SubElement(case, "system-out").text = _clean(entry["reason"])
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
