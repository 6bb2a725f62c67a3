"""Show the rooms of smsapp: modules and lines of each, and the arrows between them.

`python -m dev.rooms` counts imports between rooms, deferred ones included, and fails when one points upward, when rooms
form an import cycle, or when a room or a module has grown too large. The order of the rooms is that of the layers in
pyproject.toml.
"""

import ast
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "smsapp"
MAX_MODULES = 15
MAX_LINES = 400
DATA = {f"{PACKAGE}.twilio.error_codes"}
"""Modules without a size limit: a table is as long as its data."""

Arrows = Counter[tuple[str, str]]


def modules() -> dict[str, Path]:
    """Return every module of the package by name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """Return the room of a module: the folder, or the module itself at the top."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known or node.module in known:
                    yield full if full in known else node.module


def count_arrows(known: Mapping[str, Path]) -> Arrows:
    """Return how often each room imports from each other one."""
    arrows: Arrows = Counter()
    for module, path in known.items():
        for target in imports(path, known):
            if room_of(target) and room_of(module) != room_of(target):
                arrows[room_of(module), room_of(target)] += 1
    return arrows


def floors() -> dict[str, int]:
    """Return the floor of each room, the highest first, as pyproject.toml has it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    return {
        name.strip().removeprefix(f"{PACKAGE}."): number
        for number, layer in enumerate(layers)
        for name in layer.split("|")
    }


def upward(arrows: Arrows, floor: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return arrows to a room of the same floor or a higher one."""
    return [
        (here, there)
        for here, there in arrows
        if here in floor and there in floor and floor[there] <= floor[here]
    ]


def circles(arrows: Arrows) -> list[str]:
    """Return pairs of rooms that can reach each other."""
    reach: dict[str, set[str]] = defaultdict(set)
    for here, there in arrows:
        reach[here].add(there)
    for _ in reach:
        for targets in reach.values():
            targets |= {far for near in list(targets) for far in reach.get(near, ())}
    return [f"{a} ⇄ {b}" for a in reach for b in reach[a] if a < b and a in reach.get(b, ())]


def foreign(room: str, known: Mapping[str, Path]) -> set[str]:
    """Return the modules of other rooms that a room imports."""
    own = [module for module in known if room_of(module) == room]
    targets = {target for module in own for target in imports(known[module], known)}
    return {target for target in targets if room_of(target) not in {"", room}}


def main() -> None:
    """Print the rooms and the arrows; exit 1 on a fault."""
    known = modules()
    lines = {module: len(path.read_text("utf-8").splitlines()) for module, path in known.items()}
    size: dict[str, list[str]] = defaultdict(list)
    for module, path in known.items():
        if path.name != "__init__.py" and module.count(".") > 1:
            size[room_of(module)].append(module)
    top = [
        module
        for module, path in known.items()
        if module.count(".") == 1 and path.name not in {"__init__.py", "__main__.py"}
    ]
    arrows, floor = count_arrows(known), floors()
    print(f"{'room':16} modules  lines  imports from")
    for room in sorted(size, key=lambda name: floor.get(name, -1)):
        targets = sorted(
            {there for here, there in arrows if here == room}, key=lambda name: floor.get(name, -1)
        )
        total = sum(lines[module] for module in size[room])
        print(f"{room:16} {len(size[room]):7}  {total:5}  {', '.join(targets)}")
    print(f"{'(top)':16} {len(top):7}  {sum(lines[module] for module in top):5}")
    size["(top)"] = top
    faults = [f"{room} has {len(found)} modules" for room, found in size.items() if len(found) > MAX_MODULES]
    faults += [
        f"{module} has {n} lines" for module, n in lines.items() if n > MAX_LINES and module not in DATA
    ]
    faults += [f"upward: {here} → {there}" for here, there in upward(arrows, floor)]
    faults += [f"circle: {each}" for each in circles(arrows)]
    print(
        f"{len(arrows)} arrows between rooms ({sum(arrows.values())} imports), {len(upward(arrows, floor))} upward"
    )
    reading = {room: len(own) + len(foreign(room, known)) for room, own in size.items() if room != "(top)"}
    worst = max(reading, key=lambda room: reading[room])
    mean = sum(reading.values()) / len(reading)
    print(
        f"to read a room with what it imports: {mean:.1f} modules on average, at most {reading[worst]} ({worst})"
    )
    print(*faults, sep="\n") if faults else print("no fault")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
