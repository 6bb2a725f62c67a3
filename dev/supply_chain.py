"""What production is made of: `python -m dev.supply_chain audit` looks for vulnerabilities, `sbom` lists the parts.

pip-audit skips what its index does not know and still succeeds, so behind a mirror without PyPI's API it finds nothing
in nothing. An audit counts here only if every locked package was looked up.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from smsapp import __version__

ROOT = Path(__file__).resolve().parent.parent
AUDITED = ROOT / "requirements-dev.txt"
SHIPPED = ROOT / "requirements.txt"
SBOM = ROOT / "build" / "sbom.cdx.json"
_PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")


def pins(lock_file: Path) -> dict[str, str]:
    """Return the version of each package that a lock file names, by normalised name."""
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version for name, version in _PIN.findall(lock_file.read_text())
    }


def audit_faults(report: Mapping[str, Any], locked: Iterable[str]) -> list[str]:
    """Return what is wrong: vulnerabilities, and packages that were not looked up.

    A package that is locked for other platforms only is not in the report; all others must be.
    """
    found = {re.sub(r"[-_.]+", "-", each["name"]).lower(): each for each in report.get("dependencies", [])}
    faults = [
        f"{name} {each['version']}: {vulnerability['id']}, fixed in {', '.join(vulnerability['fix_versions']) or '?'}"
        for name, each in found.items()
        for vulnerability in each.get("vulns", [])
    ]
    audited = {name for name, each in found.items() if "skip_reason" not in each}
    skipped = sorted(found.keys() - audited)
    missing = sorted(set(locked) - found.keys())
    if skipped:
        faults.append(f"{len(skipped)} of {len(found)} packages were not looked up, such as {skipped[0]}")
    if not audited:
        faults.append("nothing was audited: does the package index have PyPI's JSON API?")
    elif len(missing) > len(found) // 10:  # only few are for other platforms
        faults.append(f"{len(missing)} locked packages are missing from the audit, such as {missing[0]}")
    return faults


def audit() -> int:
    """Audit the locked packages; return the status with which to exit."""
    command = ["-m", "pip_audit", "--disable-pip", "--require-hashes", "--format", "json", "-r", str(AUDITED)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        print(done.stderr, "pip-audit made no report", file=sys.stderr)
        return 1
    faults = audit_faults(report, pins(AUDITED))
    print("\n".join(faults) or f"{len(report['dependencies'])} packages audited: no known vulnerability")
    return 1 if faults else 0


def sbom() -> str:
    """Return a CycloneDX document of what production runs."""
    bom = Bom()
    service = Component(name="smsapp", version=__version__, type=ComponentType.APPLICATION)
    parts = [
        Component(name=name, version=version, purl=PackageURL("pypi", name=name, version=version))
        for name, version in sorted(pins(SHIPPED).items())
    ]
    bom.metadata.component = service
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(service, parts)
    document: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return document


def main(arguments: list[str]) -> int:
    """Do what the only argument says."""
    if arguments == ["audit"]:
        return audit()
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(sbom() + "\n")
    print(SBOM.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
