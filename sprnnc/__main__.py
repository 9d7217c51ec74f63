"""``python -m sprnnc`` is the command line."""

from sprnnc.cli.main import main

raise SystemExit(main())
