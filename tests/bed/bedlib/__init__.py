"""The parts of the test bed; `../bed` is its command."""
