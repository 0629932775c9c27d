"""Repair of DBC files that cantools refuses as a whole, so that their good part can be used. Pure."""

from __future__ import annotations

import re

from cancorderd.protocol.frame import MAX_EXTENDED_ID, MAX_STANDARD_ID

_EXTENDED = 0x8000_0000
"""Bit of an id in a DBC that marks 29-bit ids."""
_ID = re.compile(
    r'^([ \t]*(?:BO_|BO_TX_BU_|VAL_|SIG_VALTYPE_|SIG_GROUP_|SG_MUL_VAL_|CM_ +(?:BO_|SG_)|BA_ +"[^"]*" +(?:BO_|SG_))\s+)'
    r"(\d+)\b",
    re.MULTILINE,
)
_STATEMENT = re.compile(
    r"(?:(?:BA_(?:DEF_(?:DEF_)?)?(?:REL_)?|BO_(?:TX_BU_)?|CM_|(?:ENVVAR_DATA|EV|SG|SG_MUL_VAL|SIG_GROUP|SIG_VALTYPE)_"
    r"|VAL_(?:TABLE_)?|VERSION)\s|NS_|BS_|BU_)"
)
"""Beginnings of the statements that cantools knows; others cannot be read where they begin."""
_SIGNAL = re.compile(r"\s*SG_\s")
_SYNTAX = re.compile(r"Invalid syntax at line (\d+), column (\d+)")
_MESSAGE = re.compile(r"in message ([A-Za-z0-9_]+)\.")
_UNUSED = re.compile(r"^\s*(VAL_|SIG_VALTYPE_) +(\d+) +([A-Za-z0-9_]+)", re.MULTILINE)
_MOST_READINGS = 50
_MOST_CHARACTERS = 5_000_000
"""The file is read again after each repair, this often and this much at most: some 15 s."""
_LISTED_LINES = 10


class DbcRepair:
    """A DBC, and the changes that made it readable."""

    def __init__(self, text: str) -> None:
        marked = _ID.sub(_with_mark, text)
        self.marked = marked != text
        """Whether ids above 0x7FF were given the mark of 29-bit ids."""
        self._lines = marked.split("\n")
        self._readings_left = min(_MOST_READINGS, _MOST_CHARACTERS // (len(text) + 1))
        self.left_out: list[int] = []
        """Numbers of the lines that were left out."""

    @property
    def text(self) -> str:
        return "\n".join(self._lines)

    def facts(self) -> list[str]:
        """Return what was repaired, in words."""
        facts = ["ids above 0x7FF are read as 29-bit ids"] if self.marked else []
        if self.left_out:
            listed = ", ".join(map(str, sorted(self.left_out)[:_LISTED_LINES]))
            more = len(self.left_out) - _LISTED_LINES
            facts.append(
                f"lines that cannot be read are left out: {listed}{f' and {more} more' if more > 0 else ''}"
            )
        return facts

    def leave_out(self, error: str) -> bool:
        """Leave out the lines to which an error of cantools refers; return False if there are none."""
        self._readings_left -= 1
        if self._readings_left <= 0:
            return False
        before = len(self.left_out)
        if syntax := _SYNTAX.search(error):
            self._blank(self._culprit(int(syntax[1]) - 1, int(syntax[2]) - 1))
        for name in _MESSAGE.findall(error):
            self._blank_all(rf"\s*BO_\s+\d+\s+{name}\s*:")
        for kind, number, name in _UNUSED.findall(error):
            self._blank_all(rf"\s*{kind}\s+{number}\s+{name}\b")
        return len(self.left_out) > before

    def _culprit(self, index: int, column: int) -> int:
        """Return the line with a mistake; a statement that fails at its beginning follows one without an end."""
        if index < len(self._lines) and not _STATEMENT.match(self._lines[index], column):
            return index
        return max((at for at in range(min(index, len(self._lines))) if self._lines[at].strip()), default=0)

    def _blank_all(self, form: str) -> None:
        pattern = re.compile(form)
        for index, line in enumerate(self._lines):
            if pattern.match(line):
                self._blank(index)

    def _blank(self, index: int) -> None:
        """Empty a line, and with a message its signals. The numbers of the other lines stay."""
        if not self._lines[index].strip():
            return
        message = self._lines[index].lstrip().startswith("BO_ ")
        self._lines[index] = ""
        self.left_out.append(index + 1)
        if message:
            for at in range(index + 1, len(self._lines)):
                if not _SIGNAL.match(self._lines[at]):
                    break
                self._lines[at] = ""
                self.left_out.append(at + 1)


def _with_mark(match: re.Match[str]) -> str:
    """Return the id with the mark of 29-bit ids if it is too large without."""
    number = int(match[2])
    needed = MAX_STANDARD_ID < number <= MAX_EXTENDED_ID
    return f"{match[1]}{number | _EXTENDED if needed else number}"
