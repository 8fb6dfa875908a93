"""Planning ahead: alternatives played on futures that may come, after the decision at hand."""
