"""Ends the processes of a local launch if the launcher dies without doing so.

Run as a script in a process group of its own, which the launched processes
join. It waits for the end of its standard input, whose other end the launcher
holds: however the launcher dies, the kernel closes it.
"""

import os
import signal
import sys
import time


def main():
  """Waits for the launcher's death, then ends the group within a grace."""
  for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
  sys.stdin.buffer.read()
  os.killpg(0, signal.SIGTERM)
  time.sleep(float(sys.argv[1]))
  os.killpg(0, signal.SIGKILL)  # And with the group this process.


if __name__ == '__main__':
  main()
