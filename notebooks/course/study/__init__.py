"""Three policies under three loads, with several seeds: what `make study` runs and notebook 06 shows.

days      the loads: a ramp, a burst, a trace; each with its promise to users
trial     one run of one policy under one load on the cluster, always in the same way
record    what is kept of a run
journal   the finished runs, on disk, so that a killed study can be resumed
plan      which runs there are, and which are left
table     means with their intervals, and who wins where
error     how far off the what-if model is, over all runs
"""
