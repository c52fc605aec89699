"""The verdict as JUnit XML for CI servers: one test case per suite."""

import xml.etree.ElementTree as xml
from collections.abc import Mapping
from typing import Any

from rlp_bench.api import escape


def junit_xml(result: Mapping[str, Any]) -> bytes:
    """The JUnit document, UTF-8.

    Failure: regression, and with --strict inconclusive; error: error and incomparable; skipped: suites that do not
    gate, and without --strict inconclusive ones.
    """
    cases = [_case(suite, result["strict"]) for suite in result["suites"]]
    if result["verdict"] in ("error", "incomparable") and not any(
        case.find("error") is not None for case in cases
    ):
        alone = _element("testcase", classname="rlp-bench.regress", name="comparison", time="0")
        alone.append(_verdict_element("error", result["verdict"], "; ".join(result["reasons"])))
        cases.insert(0, alone)
    counts = {
        tag + "s" if tag != "skipped" else tag: str(sum(case.find(tag) is not None for case in cases))
        for tag in ("failure", "error", "skipped")
    }
    suites = _element("testsuites", name="rlp-bench regress", tests=str(len(cases)), time="0", **counts)
    suite = _element("testsuite", name="rlp-bench regress", tests=str(len(cases)), time="0", **counts)
    suites.append(suite)
    facts = {
        "verdict": result["verdict"],
        "baseline": result["baseline"]["path"],
        "baseline_sha256": result["baseline"]["sha256"],
        "candidate": result["candidate"].get("run") or result["candidate"].get("report") or "",
        "attempts": result["attempts"],
    }
    properties = _element("properties")
    properties.extend(_element("property", name=name, value=str(value)) for name, value in facts.items())
    suite.append(properties)
    suite.extend(cases)
    xml.indent(suites)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(suites, encoding="utf-8") + b"\n"


def _case(suite: Mapping[str, Any], strict: bool) -> xml.Element:
    case = _element("testcase", classname="rlp-bench.regress", name=suite["alias"], time="0")
    verdict = suite["verdict"]
    tag = {"regression": "failure", "error": "error", "incomparable": "error", "reported": "skipped"}.get(
        verdict
    )
    if verdict == "inconclusive":
        tag = "failure" if strict else "skipped"
    if tag is not None:
        case.append(_verdict_element(tag, verdict, suite["reason"]))
    numbers = {
        key: suite[key] for key in ("n", "difference", "ci95", "p", "p_holm") if suite.get(key) is not None
    }
    if numbers:
        out = xml.SubElement(case, "system-out")
        out.text = escape.xml("\n".join(f"{key}: {value}" for key, value in numbers.items()))
    return case


def _verdict_element(tag: str, verdict: str, reason: str) -> xml.Element:
    if tag == "skipped":
        return _element(tag, message=f"{verdict}: {reason}")
    element = _element(tag, type=verdict, message=reason)
    element.text = escape.xml(reason)
    return element


def _element(tag: str, **attributes: str) -> xml.Element:
    return xml.Element(tag, {name: escape.xml(value) for name, value in attributes.items()})
