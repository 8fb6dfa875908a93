"""A deployed policy over HTTP: what is answered, without what carries it."""
