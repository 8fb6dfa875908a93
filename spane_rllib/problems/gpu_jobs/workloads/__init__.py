"""Workloads: jobs out of files of several forms, and made up."""
