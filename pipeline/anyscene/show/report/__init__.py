"""The report: a page with figures and pictures of what came out."""
