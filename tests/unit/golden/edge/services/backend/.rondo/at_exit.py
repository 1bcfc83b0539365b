"""Let a process of uWSGI end without searching all of its memory for garbage.

Python does that several times when it ends. With Django it takes a processor 0.1 s for each
process, while the server already starts the next container. What `atexit` is given first is done
last, so the application's own functions are called before. Objects in cycles end with the process
then, which Python does not promise to do otherwise either:
https://docs.python.org/3/reference/datamodel.html#object.__del__
"""

import atexit
import gc

atexit.register(gc.freeze)
