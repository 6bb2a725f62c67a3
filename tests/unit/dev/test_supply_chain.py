"""An audit that looked nothing up has found nothing out, and the list of parts is the lock file's."""

import json

from dev.supply_chain import SHIPPED, audit_faults, pins, sbom

GOOD = {"name": "Flask_SQLAlchemy", "version": "3.1", "vulns": []}
BAD = {"name": "jinja2", "version": "3.0", "vulns": [{"id": "GHSA-1", "fix_versions": ["3.1"]}]}
SKIPPED = {"name": "redis", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def test_an_audit_of_everything_without_a_finding_is_well() -> None:
    assert audit_faults({"dependencies": [GOOD]}, ["flask-sqlalchemy"]) == []


def test_a_vulnerability_is_named_with_its_remedy() -> None:
    assert audit_faults({"dependencies": [GOOD, BAD]}, []) == ["jinja2 3.0: GHSA-1, fixed in 3.1"]


def test_a_package_that_was_skipped_fails_the_audit() -> None:
    assert audit_faults({"dependencies": [GOOD, SKIPPED]}, []) == [
        "1 of 2 packages were not looked up, such as redis"
    ]


def test_an_audit_of_nothing_fails() -> None:
    for report in ({}, {"dependencies": []}, {"dependencies": [SKIPPED]}):
        assert any(fault.startswith("nothing was audited") for fault in audit_faults(report, ["redis"]))


def test_locked_packages_that_the_audit_does_not_know_fail_it() -> None:
    (fault,) = audit_faults({"dependencies": [GOOD]}, ["flask-sqlalchemy", "redis"])

    assert "redis" in fault


def test_the_bill_of_materials_has_every_locked_package_of_production() -> None:
    document = json.loads(sbom())

    assert document["bomFormat"] == "CycloneDX"
    assert {part["name"]: part["version"] for part in document["components"]} == pins(SHIPPED)
    assert {part["purl"].partition("@")[0] for part in document["components"]} == {
        f"pkg:pypi/{name}" for name in pins(SHIPPED)
    }
    assert len(pins(SHIPPED)) > 50
