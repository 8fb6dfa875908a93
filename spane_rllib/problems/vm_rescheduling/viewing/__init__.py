"""Recordings of plans, and the page that shows them."""
