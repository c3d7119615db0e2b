"""ScanNet v2 as it is published."""
