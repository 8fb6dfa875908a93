"""Recordings of schedules, and the page that shows them."""
