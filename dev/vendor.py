"""Fetch what `/docs` is made of into smsapp/web/static/vendor/: `python -m dev.vendor`, needs npm and the network.

The files are committed, so that the page works offline; only a change of VERSION needs this command. npm checks the
package against INTEGRITY, which is the registry's own; `npm view swagger-ui-dist dist.integrity` shows it.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "swagger-ui-dist"
VERSION = "5.35.0"
INTEGRITY = "sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ=="
LICENCE = "Apache-2.0"
FILES = (
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",  # of the libraries inside the bundle
    "LICENSE",
    "NOTICE",
)
FOLDER = Path(__file__).parent.parent / "smsapp" / "web" / "static" / "vendor"


class VendorError(Exception):
    """The package could not be fetched, or it is not the pinned one."""


def fetch(folder: Path) -> Path:
    """Download the pinned package with npm and return its tarball.

    Raises:
        VendorError: there is no npm, it failed, or the package is another one.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError("npm is not installed")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", str(folder), "--silent"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise VendorError(f"npm pack failed:\n{done.stdout}{done.stderr}")
    tarball = folder / done.stdout.split()[-1]
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise VendorError(f"{tarball.name} is not the package that was pinned: sha512-{digest}")
    return tarball


def unpack(tarball: Path, folder: Path) -> None:
    """Write the files we need, and VENDOR.json, which says where they are from and what they hash to."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    with tarfile.open(tarball) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/{name}")
            if member is None:
                raise VendorError(f"{name} is not in the package")
            content = member.read()
            (folder / name).write_bytes(content)
            digests[name] = hashlib.sha256(content).hexdigest()
    about = {"name": PACKAGE, "version": VERSION, "licence": LICENCE, "sha256": digests}
    (folder / "VENDOR.json").write_text(json.dumps(about, indent=2) + "\n")


def main() -> None:
    """Replace the vendored files."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            unpack(fetch(Path(folder)), FOLDER)
    except VendorError as error:
        sys.exit(str(error))
    print(f"{PACKAGE} {VERSION} is in {FOLDER}")


if __name__ == "__main__":
    main()
