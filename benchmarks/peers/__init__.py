"""Other systems that compute the same recurrences, each timed as its own users would call it."""
