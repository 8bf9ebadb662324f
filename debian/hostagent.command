#!/usr/lib/hostagent/venv/bin/python3 -I
import sys

from hostagent.cli.main import main

sys.exit(main())
