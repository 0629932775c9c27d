"""The configuration: what a file may say (`model`), and reading it with every mistake told (`load`).

`section` and `checks` hold the kinds of values and what each must satisfy, `interfaces` the names of
adapters' kinds, `clashes` what two buses cannot share; `problem` is a mistake as shown, `sentences` the
words for what pydantic finds, `lines` where a key stands in a text, `files` the reading itself.
Imports nothing here, so that each part costs only what it needs.
"""
