"""Recordings of episodes, and the page that shows them."""
