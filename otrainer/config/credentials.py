"""Recognise environment variables that hold credentials by their names."""

from __future__ import annotations

import re


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WORDS = words("""
    TOKEN SECRET SECRETS PASSWORD PASSWORDS PASSWD PASSPHRASE PASSCODE CREDENTIAL CREDENTIALS CREDS AUTH AUTHORIZATION
    BEARER JWT APIKEY ACCESSKEY SECRETKEY PRIVATEKEY AUTHTOKEN ACCESSTOKEN
""")
# However the word begins, as in `PGPASSWORD`.
ENDINGS = ("PASSWORD", "PASSWD")
# Words that only as the last of several mean one: `PWD` alone is the shell's folder.
LAST_WORDS = words("PASS PWD")
BEFORE_KEY = words("API ACCESS PRIVATE SECRET ACCOUNT SIGNING ENCRYPTION SSH MASTER SERVICE DEPLOY STORAGE")
BEFORE_STRING = words("CONNECTION CONN")
# What a tokenizer puts into its texts.
SPECIAL_TOKENS = words("PAD BOS EOS UNK CLS SEP MASK SPECIAL STOP START END IMAGE")
# A name that ends in one of these tells about a credential; one that begins so asks for a choice or a number.
ABOUT = words("""
    PATH FILE DIR FOLDER NAME URL URI HOST PORT TYPE MODE METHOD PROVIDER LENGTH LEN SIZE LIMIT COUNT TTL TIMEOUT
    RETRIES ENABLED REQUIRED PREFIX SUFFIX
""")
CHOICES = words("USE ENABLE DISABLE NO SKIP HAS NUM MAX MIN")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def credential_in(name: str) -> str | None:
    """Return the words in the name of a variable for which it is taken for a credential; None where it is not.

    Whole words count, as `_` or a change of case parts them: `HF_TOKEN` has one, `TOKENIZER_PATH` has not.
    """
    parts = [part.group().upper() for part in PART.finditer(name)]
    if not parts or parts[-1] in ABOUT or parts[0] in CHOICES:
        return None
    for before, part in zip(["", *parts], parts, strict=False):
        if (before in BEFORE_KEY and part in ("KEY", "KEYS")) or (before in BEFORE_STRING and part == "STRING"):
            return f"{before}_{part}"
        if part.endswith(ENDINGS) or (part in WORDS and not (part == "TOKEN" and before in SPECIAL_TOKENS)):
            return part
    return parts[-1] if len(parts) > 1 and parts[-1] in LAST_WORDS else None
