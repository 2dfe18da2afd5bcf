"""The live page: what runs and why, what it cost, what is left of a budget, and a word on any of it.

A process that has something to show is its `Host`: the gateway, or one ``stepdown run``. `app.Dashboard` is the routes.
"""
