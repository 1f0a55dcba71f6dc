"""python -m backend, or from any folder python /where/it/is/backend: see ``cli/main.py``."""

import os
import sys

if not __package__:  # called by its path: that of this folder is the first that modules are looked for in
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Read when torch is loaded. Threads that wait for one another in a picture would hold their processors, and with any
# other program at work, Blender itself for one, a picture would take many times as long. A moment of it pays still.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # of GNU's OpenMP, which torch brings on Linux
# numpy's products round their last bit by how many threads share them: the face, and with it every pass, would depend
# on the number of processors. OPENBLAS on Linux and Windows, VECLIB on macOS.
os.environ.update(OPENBLAS_NUM_THREADS="1", VECLIB_MAXIMUM_THREADS="1")

from backend.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
