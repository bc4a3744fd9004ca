"""The meter for users: a context manager, a command, a doctor, and the idle power that figures are held against."""
