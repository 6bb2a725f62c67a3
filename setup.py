"""The packages of an installation; all else about it is in pyproject.toml, which cannot say this.

Beside the code an installation needs the migrations and gunicorn's settings. In the project they stand on the top
level; there they belong inside the package, where no other distribution has anything of the same name.
"""

from setuptools import find_packages, setup

MOVED = {
    "smsapp.deploy": "deploy",
    "smsapp.migrations": "migrations",
    "smsapp.migrations.versions": "migrations/versions",
}

setup(
    packages=[*find_packages(include=["smsapp*", "simulator*", "worker*"]), *MOVED],
    package_dir=MOVED,
)
