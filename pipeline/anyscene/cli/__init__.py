"""The command line: the tools, and the stages of the project that one stands in."""
