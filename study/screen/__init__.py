"""A study as lines of text: the same for `watch`, `status` and `launch`, whatever the terminal's size.

Lines are rich `Text`, never markup: what a user has named or an error has said is shown as it is.
"""
