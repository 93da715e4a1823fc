"""The versions that are installed against the known vulnerabilities: ``make audit``.

Usage: python -m benchmarks.audit [--must]

pip-audit asks the data base of OSV, which holds those of PyPI and GitHub, about each line of
constraints.txt. Where it cannot be reached, that is said, and is no failure unless it must be done:
a check on a machine without the Internet depends on nothing outside.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["audit", "main"]

_PINS = Path(__file__).parents[1] / "constraints.txt"
_LIMIT_S = 300


def audit() -> list[str] | None:
    """Return what is known of the versions that are pinned; None where nobody could be asked."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--no-deps"]
    command += ["--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        asked = subprocess.run(
            [*command, "--requirement", str(_PINS)],
            capture_output=True,
            timeout=_LIMIT_S,
            check=False,
        )
        told: dict[str, Any] = json.loads(asked.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return [
        f"{package['name']} {package['version']}: {known['id']}, mended in"
        f" {', '.join(known['fix_versions']) or 'no version yet'}"
        for package in told["dependencies"]
        for known in package.get("vulns", [])
    ]


def main() -> int:
    """Print what was found; return the exit code."""
    parser = argparse.ArgumentParser(description="look for known vulnerabilities")
    parser.add_argument("--must", action="store_true", help="fail where nobody can be asked")
    must: bool = parser.parse_args().must
    found = audit()
    if found is None:
        print(
            "dependency audit: NOT DONE: no data base of vulnerabilities can be reached from here"
        )
        return int(must)
    for line in found:
        print(f"dependency audit: {line}")
    print(f"dependency audit: {len(found)} known vulnerabilities")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
