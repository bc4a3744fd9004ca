"""Power and energy: sources, sampler process, journal, trace, meter. Knows nothing of training.

sources/         what can be read here: nvml, rapl, amd, apple, cpu and ram models, replay
sampler          the process that reads them and writes the journal and the live cell
sampler_process  starts and stops that process from a parent
journal, live    the two things it writes: power.csv.gz and a 128-byte memory map
trace            a journal read back; windows of it in joules, with their uncertainty
meter, measure   for users: a context manager and a command
doctor           what is there, what is missing and why
"""
