"""The same decisions over recorded outcomes: what another policy, other models or other prices would have made of the past.

`past` puts the ledger's runs in order with what was known before each; `course` follows one of them under a router, `world`
says how work goes on models that were not tried, `purse` fills the budgets; `compare` adds up, `suggest` tries alternatives.
"""
