"""Looks for races in the PTX of the kernels with SentryWard, a static checker by others: it follows every order of the threads, for one size.

    GRADUS_EMULATOR_LAUNCHES=target/launches.jsonl cargo test -p gradus-kernels --features cuda --test cuda
    python3 kernels/ptx/races.py target/launches.jsonl            check, and write kernels/ptx/races.tsv
    python3 kernels/ptx/races.py target/launches.jsonl --check    fail where a kernel that was proven free of races is not any more

What was proven stays in target/races, under a name that changes with the PTX, the launch and the checker, and is not proven again.

The first command writes down with which sizes the tests launch each kernel; of these the smallest that has two blocks and two warps is taken.
A race is an error in both cases. The checker does not decide everything: where it cannot tell whether two addresses are the same, or takes
longer than 20 seconds when it is written, the table says `undecided`. What it never sees are races between the lanes of a warp that run in step.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

import tools

PTX = tools.ROOT / "kernels" / "ptx"
TABLE = PTX / "races.tsv"
PROVEN = tools.ROOT / "target" / "races"
SECONDS = 20
PATIENCE = 10  # how many times as long a check may take, on a machine that does other things besides


def smallest_launches(path: pathlib.Path) -> dict:
    """Of each kernel the launch to check: the same one, in whatever order the tests ran."""
    best = {}
    for line in path.read_text().splitlines():
        launch = json.loads(line)
        size = launch["size"]
        blocks, threads = size[0] * size[1] * size[2], size[3] * size[4] * size[5]
        numbers = [int(a, 16) for a in launch["arguments"] if a != "memory" and len(a) <= 8]
        structs = [a for a in launch["arguments"] if a != "memory" and len(a) > 8]
        words = [int(a[max(end - 8, 0) : end], 16) for a in structs for end in range(len(a), 0, -8)]
        small = sum(n for n in numbers if n < 1 << 24) + sum(n for n in words if n < 1 << 16)
        cost = (blocks < 2, threads < 64, blocks * threads, small, launch["arguments"], launch["shared"])
        name = launch["kernel"]
        if name not in best or cost < best[name][0]:
            best[name] = (cost, launch)
    return {name: launch for name, (_, launch) in best.items()}


def parameter_types(ptx: str, kernel: str) -> list:
    begin = ptx.index(f".entry {kernel}(")
    lines = ptx[begin : ptx.index("\n)", begin)].splitlines()
    return [re.search(r"\.param (?:\.align \d+ )?\.(\w+) (\w+)(?:\[(\d+)\])?", line).groups() for line in lines if ".param" in line]


def fields(ptx: str, kernel: str, name: str) -> dict:
    """Of a struct that is passed by value the type at each place that the kernel reads."""
    begin = ptx.index(f".entry {kernel}(")
    found = {}
    for load in re.finditer(rf"ld\.param\.(?:v(\d)\.)?(\w+)[^\n]*\[{name}(?:\+(\d+))?\]", ptx[begin : ptx.index("\n}", begin)]):
        for i in range(int(load[1] or 1)):
            found[int(load[3] or 0) + i * WIDTHS[load[2]]] = load[2]
    return found


WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "s32": 4, "f32": 4, "b32": 4, "u64": 8, "s64": 8, "f64": 8, "b64": 8}


def number(kind: str, digits: str):
    """The number that the digits of its bytes stand for."""
    value = int(digits, 16)
    return {"f32": lambda: struct.unpack("f", struct.pack("I", value))[0], "f64": lambda: struct.unpack("d", struct.pack("Q", value))[0]}.get(
        kind, lambda: value
    )()


def question(ptx: str, launch: dict) -> dict:
    """What SentryWard is asked: the sizes, the numbers, and that different arguments are different memory."""
    arguments, declarations = [], []
    for (kind, name, array), value in zip(parameter_types(ptx, launch["kernel"]), launch["arguments"]):
        if value == "memory":
            declarations.append({"parameter": name, "type": "pointer", "space": "global", "object": name})
        elif array:
            for offset, of in fields(ptx, launch["kernel"], name).items():
                end = len(value) - 2 * offset
                digits = value[end - 2 * WIDTHS[of] : end]
                arguments.append({"parameter": name, "offset": offset, "type": of, "value": number(of, digits)})
        else:
            arguments.append({"parameter": name, "type": kind, "value": number(kind, value)})
    size = launch["size"]
    sizes = {"grid_dim": size[:3], "block_dim": size[3:], "cluster_dim": [1, 1, 1], "dynamic_shared_bytes": launch["shared"]}
    return {
        "schema": "spverify.kernel-input/v1",
        "entry": launch["kernel"],
        "launch": sizes,
        "arguments": arguments,
        "declarations": declarations,
    }


def check(path: pathlib.Path, launch: dict, package: pathlib.Path, seconds: int) -> tuple:
    """(verdict, reason) of one kernel."""
    ptx = path.read_text()
    asked = question(ptx, launch)
    key = hashlib.sha256("\0".join([tools.RACES, ptx, json.dumps(asked, sort_keys=True)]).encode()).hexdigest()
    if (PROVEN / key).exists():
        return "free", ""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(asked, file)
        file.flush()
        command = [sys.executable, "-m", "sentryward", path, "--input", file.name, "--timeout", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(package)})
    answer = json.loads(done.stdout)
    result = answer["result"]
    if result == "race_free":
        PROVEN.mkdir(parents=True, exist_ok=True)
        (PROVEN / key).touch()
        return "free", ""
    found = answer.get("diagnostics") or [{}]
    reason = found[0].get("code", result)
    definite = result in ("potential_race", "race") or answer["checks"].get("synchronization") == "failed"
    return ("race" if definite else "undecided"), reason


def main() -> None:
    launches = smallest_launches(pathlib.Path(sys.argv[1]))
    package = tools.installed(tools.RACES)
    files = {name: path for path in sorted(PTX.glob("*.ptx")) for name in re.findall(r"\.entry (\w+)\(", path.read_text())}
    never = sorted(set(files) - set(launches))
    if never:
        sys.exit(f"no test launches {', '.join(never)}")
    seconds = SECONDS
    if "--check" in sys.argv[2:]:
        seconds *= PATIENCE
        listed = dict(line.split("\t")[:2] for line in TABLE.read_text().splitlines())
        if set(listed) != set(files):
            sys.exit(f"{TABLE.name} is of other kernels; write it anew: {', '.join(sorted(set(listed) ^ set(files)))}")
        files = {name: path for name, path in files.items() if listed[name] == "free"}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = dict(zip(files, pool.map(lambda name: check(files[name], launches[name], package, seconds), files)))
    races = [name for name, (verdict, _) in verdicts.items() if verdict == "race"]
    if races:
        sys.exit(f"races in {', '.join(f'{name} ({verdicts[name][1]})' for name in races)}")
    if "--check" not in sys.argv[2:]:
        TABLE.write_text("".join(f"{name}\t{verdict}\t{reason}\n" for name, (verdict, reason) in verdicts.items()))
    elif lost := sorted(name for name, (verdict, _) in verdicts.items() if verdict != "free"):
        sys.exit(f"no longer proven free of races: {', '.join(lost)}; if that is meant, write {TABLE.name} anew")
    free = sum(verdict == "free" for verdict, _ in verdicts.values())
    print(f"{free} of {len(verdicts)} kernels are proven free of races, {len(verdicts) - free} undecided")


if __name__ == "__main__":
    main()
