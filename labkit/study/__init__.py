"""Three policies under three loads, with several seeds: what `make study` runs and notebook 06 shows.

days      what is asked of the servers: a ramp, a burst, a trace; with the promise that each is held to
trial     one run of one policy under one load on the cluster, always in the same way
record    what is kept of a run
journal   the runs that are done, on disk: a study that was killed goes on
plan      which runs there are, and which are left
table     means with their intervals, and who wins where
error     how far the what-if model is off, over all runs
"""
