"""Names of people: what they may hold, and when two of them are one (pure).

Anna, anna and ANNA are one person. A name that only looks like another's (Cyrillic letters among or instead of Latin
ones) is nobody's: it is refused with a sentence, since votes under it would be taken for the other person's.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from confusable_homoglyphs import confusables

from dataset_tools.errors import VfiError

MAX_NAME = 64
_NAME = re.compile(r"\w(?:[\w .@+-]|(?<=\w)'(?=\w))*")  # an apostrophe only inside of a word
_MARK = "\u200e"  # the table wraps right-to-left letters in it


class AccountError(VfiError):
    """An account does not exist, its name is taken, or its password too short."""

    code = "account"


class AccountNameError(AccountError):
    """A name is not allowed."""

    code = "name"


class AccountAlikeError(AccountError):
    """A name looks like that of another person."""

    code = "name_alike"


def check_name(name: str) -> str:
    """Return ``name`` in its one Unicode form (NFKC).

    Raises:
        AccountNameError: It is empty, too long, or holds anything but letters, digits, spaces and ``_ . @ + - '``.
    """
    name = unicodedata.normalize("NFKC", name).replace("\u2019", "'").strip()
    # Vowel signs and accents without a letter of their own (Hindi, Thai) are no word characters to re.
    letters = "".join(character for character in name if not unicodedata.category(character).startswith("M"))
    if not _NAME.fullmatch(letters) or letters[0] != name[0] or len(name) > MAX_NAME:
        raise AccountNameError(
            f"name {name[:MAX_NAME]!r} must be 1 to 64 letters, digits, spaces or any of _ . @ + - '"
        )
    return name


def folded(name: str) -> str:
    """Return what is the same for all spellings of one name: NFKC, without case, single spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def skeleton(name: str) -> str:
    """Return what is the same for names that look alike: every letter as the one it is most like.

    After Unicode's UTS 39, section 4: confusable letters are replaced by their prototype. Case goes first, so that
    capital I and small l, which only look alike in some fonts, stay apart.
    """
    return "".join(_prototype(letter) for letter in unicodedata.normalize("NFD", folded(name)))


def alike(name: str, names: Iterable[str]) -> str | None:
    """Return the first of ``names`` that looks like ``name`` without being a spelling of it, or ``None``."""
    own, shape = folded(name), skeleton(name)
    return next((other for other in names if folded(other) != own and skeleton(other) == shape), None)


@cache
def _prototype(letter: str) -> str:
    if letter.isascii():
        return letter
    found = (entry["c"].strip(_MARK) for entry in confusables.confusables_data.get(letter, []))
    latin = sorted(other for other in found if len(other) == 1 and other.isascii() and other.isalnum())
    return latin[0].casefold() if latin else letter
