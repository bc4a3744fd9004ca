"""One trial in its own process: the worker that trains, the parent that meters, and the result they make."""
