"""Damaged files against what reads them: none may give a traceback, hang, take much memory, or pass for
another answer."""
