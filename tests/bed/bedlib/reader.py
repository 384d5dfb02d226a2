"""What tests/reader/read_vault.py needs: the Python packages cryptography, xxhash and zstandard."""

from . import tools


def ensure(home):
    """The Python to run it with and the folder of its packages."""
    packages = tools.installed(home, "reader.txt", "reader-packages")
    return {"python": str(tools.python(home)), "packages": str(packages)}
