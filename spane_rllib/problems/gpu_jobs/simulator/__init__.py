"""GPU jobs on a cluster of several GPU types: compiled, from event to event.

`jobs` and `cluster` say what is scheduled where, `state` holds the arrays of a simulation, `placing` and
`queue` are its building blocks. `events` plays the corrected rules in an order that is fixed in advance,
`scores`, `backfilling` and `preemptive` what needs more, `published` the ticks of the reference.
`observation` is what trained policies see, `schedule` what comes out, `bounds` what nothing can beat.
"""
