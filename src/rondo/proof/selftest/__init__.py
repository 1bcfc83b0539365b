"""The self-test of the proof: every fault made for real on a lab, each called by its name.

    rows --matrix--> jobs --lanes--> fault, proof, heal --ledger--> tallies --table--> docs/proof.md

Rows, matrix and table are pure. A lane has one server of the lab to itself; what a fault changes
there is put back by one script, which also says whether the site is whole again.
"""
