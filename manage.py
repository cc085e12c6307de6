#!/usr/bin/env python
"""Django's command line for the gateway."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    from django.core.management import execute_from_command_line

    from gateway_project.environment import Refused
    from providers.plugins import PluginError

    try:
        execute_from_command_line(sys.argv)
    except (Refused, PluginError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
