"""Replay recorded outcomes of coding agents under routing policies: what each would have cost, and what it would have solved.

    python -m bench.routing --data DIR --light M --standard M --heavy M [--verifier-recall R --false-alarms F] [--json]
    python -m bench.routing.suite --data DIR      many model triples, three verifiers, averages, plots: make bench-routing
    python -m bench.routing.watching --data DIR   how early a failing attempt can be stopped

The rooms, each importing only those before it: `data` (files → tasks and recorded runs), `verifier` (who notices a
failure), `stops` (when a running attempt is given up), `episode` (one order, one set of draws), `simple` (policies that need
no router), `memory` (a quick ledger), `world` (the shipped router, learning as it goes), `bootstrap`, `replay` (all policies
over all seeds), `table`, `plots`, `triples`, and the three programs.

What the replay takes for granted is printed with its tables and discussed in docs/benchmarks.md: one recorded run stands for an
attempt, an attempt's cost is spread evenly over its requests, stepping up starts from scratch, verification itself is free.
"""
