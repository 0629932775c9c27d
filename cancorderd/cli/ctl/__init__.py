"""The commands of cancorderctl, one file each, and the tables, pages and formats that they share.

A command's file has `add_parser`, which adds its options and examples to the program's parser, and `run`, which
returns the exit status. Imports that take time stand in `run`: every start of the program loads every command.
"""
