from providers import plugins

plugins.load()  # before anything here makes a table of kinds and dialects
