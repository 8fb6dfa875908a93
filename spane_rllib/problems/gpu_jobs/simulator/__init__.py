"""GPU jobs on a cluster of several GPU types: compiled, from event to event.

`jobs` and `cluster` say what is scheduled where, `state` holds the arrays of a simulation, `placing` and `queue`
are its building blocks, `events` plays the corrected rules, `published` those of the reference with its ticks,
`preemptive` what may interrupt jobs. `schedule` is what comes out.
"""
