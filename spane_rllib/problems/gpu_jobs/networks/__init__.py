"""Networks: the two of the reference, one that treats waiting jobs alike, and weights of the reference."""
