"""One job a stage: read tables, call a function of `ncs`, write a table."""
