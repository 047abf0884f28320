"""Makes the PTX of all kernels from their source, with NVIDIA's compiler library; needs neither a card nor a toolkit.

    python3 kernels/ptx/generate.py            write kernels/ptx/*.ptx
    python3 kernels/ptx/generate.py --check    fail where they are not those of the sources, and compile for other cards too

A file `kernels/src/OP/cuda/NAME.cu` becomes `OP_NAME.ptx`, for compute capability 7.5; `NAME.sm_80.cu` becomes `OP_NAME.sm_80.ptx`.
Kernels for tests alone, `kernels/tests/cuda/NAME.cu`, become `tests_NAME.ptx`.
"""

import concurrent.futures
import ctypes
import functools
import os
import pathlib
import re
import sys

import tools

SOURCES = tools.ROOT / "kernels" / "src"
OUTPUT = tools.ROOT / "kernels" / "ptx"
TESTS = tools.ROOT / "kernels" / "tests" / "cuda"
HEADERS = SOURCES / "cuda"
# What every file has to compile for as well, from its own capability on.
ALSO = ["75", "80", "90"]


class Nvrtc:
    """NVIDIA's compiler library."""

    def __init__(self):
        folder = tools.installed(tools.NVRTC)
        ctypes.CDLL(str(tools.only(folder, "libnvrtc-builtins.so*")), mode=ctypes.RTLD_GLOBAL)
        self.library = ctypes.CDLL(str(tools.only(folder, "libnvrtc.so*")))

    def compile(self, path: pathlib.Path, capability: str) -> str:
        """The PTX of a file; ends the program with the compiler's messages where there is an error or a warning."""
        program = ctypes.c_void_p()
        name = str(path.relative_to(SOURCES.parent)).removeprefix("src/").encode()
        self.library.nvrtcCreateProgram(ctypes.byref(program), path.read_bytes(), name, 0, None, None)
        options = [f"--gpu-architecture=compute_{capability}", "--std=c++17", "--fmad=true",
                   f"--include-path={HEADERS}",
                   f"--include-path={path.parent}"]
        array = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        status = self.library.nvrtcCompileProgram(program, len(options), array)
        log = self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")
        if status != 0 or log.strip():
            sys.exit(f"compute_{capability}: {log}")
        ptx = self.text(program, "nvrtcGetPTXSize", "nvrtcGetPTX")
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return ptx

    def text(self, program, size_name: str, name: str) -> str:
        size = ctypes.c_size_t()
        getattr(self.library, size_name)(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value + 1)
        getattr(self.library, name)(program, buffer)
        return buffer.value.decode()


def kernels():
    """Of each file of kernels its path, the name of its PTX and the capability that it needs."""
    for path in sorted(SOURCES.glob("*/cuda/*.cu")) + sorted(TESTS.glob("*.cu")):
        stem = path.name.removesuffix(".cu")
        needs = re.search(r"\.sm_(\w+)$", stem)
        yield path, f"{path.parts[-3]}_{stem}.ptx", needs.group(1) if needs else "75"


@functools.cache
def nvrtc() -> Nvrtc:
    """The compiler of this process."""
    return Nvrtc()


def compile_file(path: pathlib.Path, needs: str, check: bool) -> str:
    """The PTX of a file, which compiles for other cards too where it is to be checked."""
    if check:
        for other in (a for a in ALSO if int(re.match(r"\d+", a)[0]) > int(re.match(r"\d+", needs)[0])):
            nvrtc().compile(path, other)
    return nvrtc().compile(path, needs)


def main() -> None:
    check = "--check" in sys.argv[1:]
    stale, names = [], set()
    tools.installed(tools.NVRTC)  # once, before several processes need it
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        compiled = [(name, pool.submit(compile_file, path, needs, check)) for path, name, needs in kernels()]
    for name, result in compiled:
        names.add(name)
        ptx = result.result()
        output = OUTPUT / name
        if not output.exists() or output.read_text() != ptx:
            stale.append(name)
            if not check:
                output.write_text(ptx)
    for old in sorted(set(p.name for p in OUTPUT.glob("*.ptx")) - names):
        stale.append(old)
        if not check:
            (OUTPUT / old).unlink()
    if check and stale:
        sys.exit(f"not made from the sources as they are: {', '.join(stale)}; run python3 kernels/ptx/generate.py")
    print(f"{len(names)} files of PTX" + ("" if check else f", {len(stale)} of them changed"))


if __name__ == "__main__":
    main()
