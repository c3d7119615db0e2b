"""Captures of phones, of structure from motion, of recorders and data sets -> the plain files that the reader
`rgbd` takes."""

from anyscene.datasets.imports.export_options import ExportOptions, direction, refuse
from anyscene.datasets.imports.formats import READERS, is_export, read, scan_in_archive
from anyscene.datasets.imports.orientation import Capture
from anyscene.datasets.imports.rgbd_writer import Summary, check, write
from anyscene.datasets.imports.source_frame import SourceFrame
from anyscene.datasets.imports.temporary_scan import as_scan

__all__ = [
    "READERS",
    "Capture",
    "ExportOptions",
    "SourceFrame",
    "Summary",
    "as_scan",
    "check",
    "direction",
    "is_export",
    "read",
    "refuse",
    "scan_in_archive",
    "write",
]  # fmt: skip
