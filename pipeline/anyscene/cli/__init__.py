"""The command line: the tools, and the stages of the project in the current folder."""
