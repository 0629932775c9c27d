"""The configuration: settings as values, and loading them from files with every mistake reported.

    configuration   daemon and buses            schema         how a settings class describes its keys
    bus_settings    keys of every bus           value_checks   checks of single values
    record_settings keys of recording           settings_json  settings on the way to a worker
    mistake         a mistake as a check raises it

    loading         files to a configuration    validation     a table to settings, or findings in words
    toml_files      files and drop-ins          conflicts      what two buses cannot share
    toml_positions  the line of a key           problem        a mistake as shown

Keys of one interface stand in `cancorderd.adapters`. Nothing is imported here, so that each part costs only
what it needs.
"""
