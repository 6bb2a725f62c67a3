"""Certificates for servers on this machine, from a private authority, made with the openssl command."""

import shutil
import ssl
import subprocess
from pathlib import Path

from tests.support.stack import HOST

OPENSSL = shutil.which("openssl")


class Authority:
    """A certificate authority with files in a folder; `file` is its certificate, and is missing without openssl."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "authority.pem"
        if OPENSSL:
            self._issue("authority", "-addext", "keyUsage=critical,keyCertSign")

    def server_context(self) -> ssl.SSLContext:
        """Return a TLS context for a server on this machine, with a certificate of this authority."""
        issuer = ("-CA", str(self.file), "-CAkey", str(self.file.with_suffix(".key")))
        self._issue(
            "server", *issuer, "-addext", "basicConstraints=CA:FALSE", "-addext", f"subjectAltName=IP:{HOST}"
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        return context

    def _issue(self, name: str, *options: str) -> None:
        new = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2")
        files = ("-out", str(self._folder / f"{name}.pem"), "-keyout", str(self._folder / f"{name}.key"))
        subject = ("-subj", f"/CN=smsapp tests {name}")
        subprocess.run(
            [OPENSSL or "openssl", "req", *new, *files, *subject, *options], check=True, capture_output=True
        )
