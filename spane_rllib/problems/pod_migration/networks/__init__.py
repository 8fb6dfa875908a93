"""Networks for any number of nodes and pods."""
