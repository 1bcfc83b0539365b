"""The proof: a load run with verdicts.

    inventory.proof --brief--> Locust users --rows--> Requests          what clients saw
    tokens on the servers ---> Nginx's access log --> ServerLog         what Nginx logged
    inventory + records -----> Expected, events ----> Mark, TLS probes --> TlsFinding
    Evidence(all of these) --judge--> Verdict (ten checks)              pure
    Verdict + Evidence --report--> report.html, run.json, junit.xml     pure

Locust is always a child process; nothing here imports it but `rondo.proof.load`.
"""
