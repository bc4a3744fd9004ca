"""What can be read on a machine: one module a kind of sensor, models where there is none, and how they are found."""
