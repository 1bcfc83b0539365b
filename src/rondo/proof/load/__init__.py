"""The load generators: Locust's users, their pace, their connections and what they record.

    lifecycle  what Locust's events lead to: a run folder, witnesses, the clock, the verdict
      share    the brief to every worker, their rows back to the master
        crew   the users of one worker and its report
          users    one user: when it is due, what it asks for
            pace, scenario    pure: the schedule; paths, bodies, what to make of an answer
            line     one kept connection, which never sends anything twice
          recorder, live      a row for each request; shares of the backends as it goes

The only modules that import Locust and gevent; they run in processes that Locust started.
"""
