"""AWS SAM's command line and cfn-lint, which read `template.yaml`. Neither needs an account or a network for that."""

from . import tools


def packages(home):
    """The folder of their packages."""
    # The list is complete, and pip cannot match hashes with the extras that one of the packages asks for.
    return tools.installed(home, "sam.txt", "sam-packages", ["--no-deps"])
