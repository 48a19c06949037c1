"""From the nodes of a file to a `Flow`: every mistake is found here, none at run time, and all are told at once."""
