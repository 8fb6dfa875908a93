"""Recorded schedules: what was placed where and when, as data and as files."""
