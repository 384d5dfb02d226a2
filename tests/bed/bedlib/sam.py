"""AWS SAM's command line and cfn-lint, which read `template.yaml`. Neither needs an account or a network for that."""

from . import tools


def ensure(home):
    """The Python to run them with (`-m samcli`, `-m cfnlint`) and the folder of their packages."""
    # The list is complete, and pip cannot match hashes with the extras that one of the packages asks for.
    packages = tools.installed(home, "sam.txt", "sam-packages", ["--no-deps"])
    return {"python": str(tools.python(home)), "packages": str(packages)}
