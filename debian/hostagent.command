#!/usr/lib/hostagent/venv/bin/python3 -IB
# -B: nothing but the package writes below /usr.
import sys

from hostagent.cli.main import main

sys.exit(main())
