"""Clients that generators make of the API document: each is generated, compiled, and sends a text that is delivered.

The programs that use them, and the versions of the generators, are in `tests/generators/`; docs/api.md has the same
commands for people. What a generator needs and this machine lacks (Node, a JVM, Go, a package registry) skips its
tests, with one line that says so. For other versions of what npm brings, change `package.json` and run there
`npm install --package-lock-only --omit-lockfile-registry-resolved`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import urllib3

from dev.bootstrap import clean_environment, find_uv
from tests.support.stack import Stack, Stacks

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "generators"
DOCUMENT = ROOT / "openapi.json"
RECIPIENT = "+15005550123"

pytestmark = [pytest.mark.slow, pytest.mark.deep, pytest.mark.timeout(600)]

# Annotations, and a class that is imported and not used, which a build with Maven would fetch.
STUBS = {
    "javax/annotation/Generated.java": "package javax.annotation; public @interface Generated "
    '{ String[] value(); String date() default ""; String comments() default ""; }',
    "javax/annotation/Nonnull.java": "package javax.annotation; public @interface Nonnull {}",
    "javax/annotation/Nullable.java": "package javax.annotation; public @interface Nullable {}",
    "org/apache/http/entity/mime/MultipartEntityBuilder.java": "package org.apache.http.entity.mime; "
    "public class MultipartEntityBuilder {}",
}


@pytest.fixture(params=["sqlite"])
def stack(request: pytest.FixtureRequest, stacks: Stacks) -> Stack:
    """The running service, on one database: what a client sends is no matter of the database."""
    return stacks(request.param)


def tool(name: str) -> str:
    """Return the path of a program; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no `{name}` on this machine, so clients that need it are not tried")
    return found


def run(*command: str | Path, cwd: Path, changes: Mapping[str, str] | None = None) -> str:
    """Run a command that succeeds, and return what it prints."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment() | (changes or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


def fetch(*command: str | Path, cwd: Path) -> None:
    """Run a command that needs a package registry; skips the test where none answers, but not where CI is set."""
    try:
        run(*command, cwd=cwd)
    except AssertionError:
        if os.environ.get("CI"):
            raise
        pytest.skip("no package registry answers here, so generators cannot be fetched")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generators for TypeScript, the compiler, the programs and the document."""
    folder = tmp_path_factory.mktemp("node")
    npm = tool("npm")
    for file in PROGRAMS.iterdir():
        if file.suffix in {".json", ".ts", ".yaml"}:
            shutil.copy(file, folder)
    shutil.copy(DOCUMENT, folder)
    fetch(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the generators for Python and Java."""
    folder = tmp_path_factory.mktemp("python")
    interpreter = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    uv = find_uv()
    pip = [uv, "pip", "install", "--python", interpreter] if uv else [interpreter, "-m", "pip", "install"]
    fetch(*pip, "--quiet", "--require-hashes", "-r", PROGRAMS / "requirements.txt", cwd=folder)
    return interpreter


@pytest.fixture(scope="module")
def generator(python: Path) -> Path:
    """openapi-generator's jar."""
    tool("java")
    [jar] = python.parent.parent.glob("lib/*/site-packages/openapi_generator_cli/openapi-generator.jar")
    return jar


def generate(jar: Path, language: str, folder: Path, *options: str) -> Path:
    """Make a client with openapi-generator and return its folder."""
    client = folder / language
    run("java", "-jar", jar, "generate", "-i", DOCUMENT, "-g", language, "-o", client, *options, cwd=folder)
    return client


def arguments(stack: Stack) -> tuple[str, str, str]:
    """Return what each program takes: the service's address, a key, a recipient."""
    return stack.url(), stack.api_key, RECIPIENT


def assert_delivered(stack: Stack, said: str) -> None:
    """Check that what a program printed is the id of a text that arrives."""
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    url = f"{stack.url()}/sms/messages/{said.rsplit(maxsplit=1)[-1]}?wait=20"

    message = urllib3.request("GET", url, headers=headers).json()

    assert (message["status"], message["to"]) == ("delivered", RECIPIENT), message
    assert message["body"].startswith("Hello from")


def test_spectral_finds_nothing(node: Path) -> None:
    said = run(
        node / "node_modules/.bin/spectral",
        "lint",
        "openapi.json",
        "--ruleset",
        "spectral.yaml",
        "--fail-severity",
        "hint",
        cwd=node,
    )

    assert "No results" in said


def test_clients_in_typescript_compile_strictly_and_send(node: Path, stack: Stack) -> None:
    tools = node / "node_modules" / ".bin"

    run(tools / "openapi-typescript", "openapi.json", "-o", "schema.d.ts", cwd=node)
    run(tools / "openapi-ts", "-i", "openapi.json", "-o", "hey", cwd=node)
    run(tools / "tsc", "-p", ".", cwd=node)

    for program in ("send_openapi_fetch", "send_hey_api"):
        assert_delivered(stack, run(tool("node"), f"out/{program}.js", *arguments(stack), cwd=node))


def test_the_client_of_openapi_python_client_sends(python: Path, stack: Stack, tmp_path: Path) -> None:
    options = ["--path", DOCUMENT, "--meta", "none", "--output-path", tmp_path / "generated"]
    path = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}

    run(python.parent / "openapi-python-client", "generate", *options, cwd=tmp_path, changes=path)
    run(python, "-m", "compileall", "-q", tmp_path / "generated", cwd=tmp_path)

    program = shutil.copy(PROGRAMS / "send_openapi_python_client.py", tmp_path)
    assert_delivered(stack, run(python, program, *arguments(stack), cwd=tmp_path))


def test_the_python_client_of_openapi_generator_sends(
    generator: Path, python: Path, stack: Stack, tmp_path: Path
) -> None:
    client = generate(generator, "python", tmp_path)
    run(python, "-m", "compileall", "-q", client / "openapi_client", cwd=tmp_path)

    program = shutil.copy(PROGRAMS / "send_openapi_generator.py", client)
    assert_delivered(stack, run(python, program, *arguments(stack), cwd=client))


def test_the_java_client_of_openapi_generator_compiles_and_sends(
    generator: Path, stack: Stack, tmp_path: Path
) -> None:
    """Compiled against the Jackson inside the generator's own jar: Maven's registry is not asked."""
    javac = tool("javac")
    client = generate(
        generator,
        "java",
        tmp_path,
        "--library=native",
        "--additional-properties=openApiNullable=false,disallowAdditionalPropertiesIfNotPresent=false",
        "--global-property=skipFormModel=false",
    )
    for name, source in STUBS.items():
        file = client / "stubs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    sources = [*(client / "src" / "main").rglob("*.java"), *(client / "stubs").rglob("*.java")]

    options = ["-nowarn", "-proc:none", "-cp", generator, "-d", client / "classes"]
    run(javac, *options, *sources, PROGRAMS / "Send.java", cwd=client)

    classes = f"{client / 'classes'}{os.pathsep}{generator}"
    assert_delivered(stack, run("java", "-cp", classes, "Send", *arguments(stack), cwd=client))


def test_the_go_client_of_openapi_generator_compiles_and_sends(
    generator: Path, stack: Stack, tmp_path: Path
) -> None:
    go = tool("go")
    client = generate(
        generator,
        "go",
        tmp_path,
        "--additional-properties=withGoMod=false,disallowAdditionalPropertiesIfNotPresent=false",
    )
    module = tmp_path / "module"
    (module / "client").mkdir(parents=True)
    for file in client.glob("*.go"):
        shutil.copy(file, module / "client")
    shutil.copy(PROGRAMS / "send.go", module / "main.go")
    (module / "go.mod").write_text("module example.com/smsapp\n\ngo 1.19\n")
    offline = {
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOCACHE": str(tmp_path / "cache"),
        "CGO_ENABLED": "0",
    }

    run(go, "vet", "./...", cwd=module, changes=offline)
    run(go, "build", "-o", "send", ".", cwd=module, changes=offline)

    assert_delivered(stack, run(module / "send", *arguments(stack), cwd=module))
