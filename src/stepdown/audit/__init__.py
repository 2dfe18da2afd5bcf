"""What was spent, by local logs, and what routing would have made of it. Pure but for `sample`.

`history` puts the logs of all agents together, each answer once; `price` says what a request cost on its day; `projection`
follows the same work under routing; `windows` and `check` read plans' meters and the agents' own counts; `records` is the
result, the same for the screen, the page and JSON.
"""
