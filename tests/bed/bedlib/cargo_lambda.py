"""cargo-lambda, which builds the functions, and zig, which links them for an older glibc than this machine's."""

from . import tools


def ensure(home):
    """The folder of `cargo-lambda`, and the program zig."""
    packages = tools.installed(home, "cargo-lambda.txt", "cargo-lambda", ["--no-deps"])
    return {"bin": str(packages / "bin"), "zig": str(packages / "ziglang/zig")}
