"""Assembles the PTX of all kernels for real cards with NVIDIA's assembler, and writes what each kernel takes: docs/cuda-kernels.md.

    python3 kernels/ptx/assemble.py            write the table
    python3 kernels/ptx/assemble.py --check    fail where the table is not that of the PTX

In both cases it fails where a kernel spills registers, leaves room for too few warps, or where an instruction of PTX did not become the
one of the hardware that it stands for: mma.sync HMMA, ldmatrix LDSM, cp.async LDGSTS.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import tools

PTX = tools.ROOT / "kernels" / "ptx"
TABLE = tools.ROOT / "docs" / "cuda-kernels.md"

# Of each architecture: warps, blocks and bytes of shared memory of a multiprocessor, and the bytes of each block that the system takes.
# CUDA C++ Programming Guide, table "Technical specifications per compute capability".
ARCHITECTURES = {
    "75": (32, 16, 64 << 10, 0),
    "80": (64, 32, 164 << 10, 1024),
    "86": (48, 16, 100 << 10, 1024),
    "89": (48, 24, 100 << 10, 1024),
    "90": (64, 32, 228 << 10, 1024),
    "120": (48, 24, 100 << 10, 1024),
}
REGISTERS = 65536  # of a multiprocessor, given to a warp in units of 256
LEAST_WARPS = 8  # of a multiprocessor: two for each of its four schedulers
PROBLEMS = []  # all that is wrong, one line each
INSTRUCTIONS = {"mma.sync": "HMMA", "ldmatrix": "LDSM", "cp.async.": "LDGSTS"}


class Kernel:
    """What the assembler says of a kernel on each architecture."""

    def __init__(self, name: str, ptx: str):
        self.name = name
        begin = ptx.index(f".entry {name}(")
        self.text = ptx[begin : ptx.index("\n}", begin)]
        threads = re.search(r"\.maxntid (\d+), (\d+), (\d+)", self.text)
        self.threads = eval("*".join(threads.groups())) if threads else None
        self.registers, self.shared = {}, 0

    def warps(self, architecture: str) -> int:
        """The warps of this kernel that a multiprocessor can hold; shared memory that the launch adds is not counted."""
        most, blocks, shared, reserved = ARCHITECTURES[architecture]
        warps = self.threads // 32
        per_warp = -(-self.registers[architecture] * 32 // 256) * 256
        by_registers = REGISTERS // per_warp // warps
        by_shared = shared // (self.shared + reserved) if self.shared + reserved else blocks
        return min(most // warps, blocks, by_registers, by_shared) * warps


def assemble(path: pathlib.Path, architecture: str, cubin: pathlib.Path) -> str:
    """What the assembler says; ends the program where it refuses."""
    ptxas = tools.only(tools.installed(tools.PTXAS), "bin/ptxas")
    ptxas.chmod(0o755)
    command = [ptxas, "-v", f"-arch=sm_{architecture}", "--warn-on-spills", path, "-o", cubin]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{path.name} for sm_{architecture}: {done.stderr}")
    return done.stderr


def read(path: pathlib.Path, folder: pathlib.Path) -> list[Kernel]:
    """The kernels of a file, assembled for every architecture that has what they need."""
    ptx = path.read_text()
    needs = int(re.search(r"\.target sm_(\d+)", ptx)[1])
    kernels = {name: Kernel(name, ptx) for name in re.findall(r"\.entry (\w+)\(", ptx)}
    for architecture in (a for a in ARCHITECTURES if int(a) >= needs):
        cubin = folder / f"{path.stem}.{architecture}.cubin"
        log = assemble(path, architecture, cubin)
        for part in re.split(r"Compiling entry function ", log)[1:]:
            kernel = kernels[re.match(r"'(\w+)'", part)[1]]
            kernel.registers[architecture] = int(re.search(r"Used (\d+) registers", part)[1])
            shared = re.search(r"(\d+) bytes smem", part)
            kernel.shared = int(shared[1]) if shared else 0
            spilled = [int(n) for n in re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part).groups()]
            if any(spilled):
                PROBLEMS.append(f"{kernel.name} for sm_{architecture} spills: {spilled[0]} bytes stored and {spilled[1]} loaded")
        if architecture == "80":
            check_instructions(cubin, list(kernels.values()))
    return list(kernels.values())


def check_instructions(cubin: pathlib.Path, kernels: list[Kernel]) -> None:
    """Ends the program where an instruction of PTX is not in the machine code."""
    wanted = [(k, word, code) for k in kernels for word, code in INSTRUCTIONS.items() if word in k.text]
    if not wanted:
        return
    nvdisasm = tools.only(tools.installed(tools.NVDISASM), "bin/nvdisasm")
    nvdisasm.chmod(0o755)
    code = subprocess.run([nvdisasm, "-c", cubin], capture_output=True, text=True, check=True).stdout
    for kernel, word, instruction in wanted:
        begin = code.index(f"\n.text.{kernel.name}:")
        if instruction not in code[begin : code.find(".section", begin) % (len(code) + 1)]:
            PROBLEMS.append(f"{kernel.name}: {word} did not become {instruction}")


def table(kernels: list[Kernel]) -> str:
    lines = [
        "# What the CUDA kernels take",
        "",
        "Made by `python3 kernels/ptx/assemble.py` with NVIDIA's assembler, for cards of compute capability 7.5 to 12.0. No kernel spills registers.",
        "*Warps* is how many warps of the kernel a multiprocessor can hold at a time, of 32 on 7.5, 64 on 8.0 and 9.0 and 48 on 12.0; shared memory whose",
        "size a launch decides is not counted. These numbers are properties of the code. Speed says nothing here.",
        "",
        "| kernel | threads | shared, bytes | registers 7.5 | 8.0 | 9.0 | 12.0 | warps 7.5 | 8.0 | 9.0 | 12.0 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    shown = ["75", "80", "90", "120"]
    for kernel in kernels:
        registers = [str(kernel.registers.get(a, "–")) for a in shown]
        warps = [str(kernel.warps(a)) if a in kernel.registers else "–" for a in shown]
        lines.append(f"| `{kernel.name}` | {kernel.threads} | {kernel.shared} | {' | '.join(registers)} | {' | '.join(warps)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    tools.installed(tools.PTXAS), tools.installed(tools.NVDISASM)  # once, before several threads need them
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        files = pool.map(lambda path: read(path, pathlib.Path(folder)), sorted(PTX.glob("*.ptx")))
        kernels = [kernel for file in files for kernel in file]
    for kernel in kernels:
        if kernel.threads is None or kernel.threads % 32:
            PROBLEMS.append(f"{kernel.name}: __launch_bounds__ has to name its threads, whole warps")
            continue
        for architecture in kernel.registers:
            if kernel.warps(architecture) < LEAST_WARPS:
                PROBLEMS.append(f"{kernel.name} for sm_{architecture}: a multiprocessor holds {kernel.warps(architecture)} of its warps")
    if PROBLEMS:
        sys.exit("\n".join(PROBLEMS))
    text = table(kernels)
    if "--check" not in sys.argv[1:]:
        TABLE.write_text(text)
    elif not TABLE.exists() or TABLE.read_text() != text:
        sys.exit(f"{TABLE.name} is not that of the PTX; run python3 kernels/ptx/assemble.py")
    print(f"{len(kernels)} kernels assembled for {len(ARCHITECTURES)} architectures")


if __name__ == "__main__":
    main()
