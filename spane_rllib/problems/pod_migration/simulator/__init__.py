"""The compiled rules of a window, and episodes of windows."""
