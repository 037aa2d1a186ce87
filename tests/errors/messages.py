"""Lists every error message that the sources can give: (file, line, status, format), by reading the calls that report one.

A call whose message is no literal passes another one's on, or gets it as a parameter; it is listed with the format None,
and its expression as text, so that a new wrapper cannot hide messages: each one has to be named in exceptions.txt.
"""

import os
import re
from collections import namedtuple

# function -> (argument that holds the message, what is printed around it)
REPORTERS = {
    "fuse_fail": (2, "{}"),
    "fuse_fail_at": (3, "{}"),
    "fuse_complain": (2, "{}"),
    "fuse_report": (3, "{}"),
    "fuse_later": (2, "{} part of the language but cannot be run yet"),
    "fuse_complain_call": (3, "{}"),
    "complain_here": (2, "{}"),
    "fuse_syntax_error": (3, "{}"),
    "fuse_expected": (1, "expected {}, found"),
    "fuse_require": (2, "expected {}, found"),
    "fuse_close_bracket": (3, "expected {}, found"),
    "fuse_parse_name": (3, "expected {}, found"),
    "fail_syntax": (1, "{} was expected"),
    "fuse_document_fail": (3, "{}"),
    "fuse_document_fail_key": (3, "{}"),
    "refuse_dtype": (2, "{}"),
    "refuse_set": (1, "{}"),  # io/hdf5_look.c
    "fuse_weight_complain": (2, "{}"),
    "fail_later": (1, "integer overflow in {}"),
    "make_bad": (4, "{}"),
    "FAIL": (0, "{}"),  # io/zip_directory.c
    "broken": (1, "{}"),  # src/ir/verify.c
    "fail": (1, "{}"),  # launcher/options.c
    "complain": (0, "{}"),  # launcher/main.c
    "fprintf": (1, "{}"),  # launcher: to stderr, beginning with error:
}
MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\(.*?(?<!\\)$", re.MULTILINE | re.DOTALL)
ONLY_IN = {"fail": "launcher/", "complain": "launcher/", "fprintf": "launcher/"}
CALL = re.compile(r"\b(" + "|".join(REPORTERS) + r")\s*\(")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
CONVERSION = re.compile(r"%(?:%|[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j|t)?[a-zA-Z])")

Site = namedtuple("Site", "file line status format expression")


def without_comments(text):
    """The text with comments and the contents of preprocessor lines blanked; lines keep their numbers."""
    pattern = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
    text = pattern.sub(lambda m: m.group(0) if m.group(0)[0] in "\"'" else re.sub(r"[^\n]", " ", m.group(0)), text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.MULTILINE)


def arguments(text, at):
    """The arguments of a call whose '(' ends before `at`."""
    found, begin, depth = [], at, 0
    while True:
        character = text[at]
        if character in "\"'":
            at += 1
            while text[at] != character:
                at += 2 if text[at] == "\\" else 1
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            if depth == 0:
                return found + [text[begin:at].strip()]
            depth -= 1
        elif character == "," and depth == 0:
            found.append(text[begin:at].strip())
            begin = at + 1
        at += 1


def alternatives(expression):
    """The formats that an expression can be: a literal, one of several after '?', or made by fuse_arena_printf."""
    expression = re.sub(r'"\s*PRI[a-z]+\d+(?:\s*(?="))?', 'd"', expression)
    pieces = re.split(r'("(?:[^"\\]|\\.)*")', expression)
    joined = ""
    for k, piece in enumerate(pieces):  # adjacent literals are one
        if k % 2 and joined.rstrip().endswith('"') and not pieces[k - 1].strip():
            joined = joined.rstrip()[:-1] + piece[1:]
        else:
            joined += piece
    expression = joined
    made = re.finditer(r"\bfuse_arena_printf\s*\(", expression)
    formats = []
    for call in made:
        formats += alternatives(arguments(expression, call.end())[1])
    if formats:
        return formats
    literals = [bytes(text, "utf-8").decode("unicode_escape") if "\\" in text else text
                for text in LITERAL.findall(expression)]
    plain = re.fullmatch(r"\s*" + LITERAL.pattern + r"\s*", expression)
    return literals if plain or "?" in expression else []


def read_sites(root):
    sites = []
    for folder in ("src", "io", "launcher"):
        for path, _, names in sorted(os.walk(os.path.join(root, folder))):
            for name in sorted(names):
                if name.endswith(".c"):
                    sites += read_file(root, os.path.relpath(os.path.join(path, name), root))
    return sites


def read_file(root, name):
    with open(os.path.join(root, name), encoding="utf-8") as file:
        text = file.read()
    found = [Site(name, 0, "", None, f"macro {m.group(1)} reports errors: enter it in REPORTERS of messages.py")
             for m in MACRO.finditer(text) if CALL.search(m.group(0)) and m.group(1) not in REPORTERS]
    text = without_comments(text)
    for match in CALL.finditer(text):
        function = match.group(1)
        if not name.startswith(ONLY_IN.get(function, "")):
            continue
        given = arguments(text, match.end())
        place, around = REPORTERS[function]
        if len(given) <= place or re.match(r"(?:const )?(?:struct|char|bool|enum|int|void) ?[\w*]", given[0]):
            continue  # its definition
        if function == "fprintf" and (given[0] != "stderr" or "error: " not in given[1]):
            continue
        if re.search(r"SEVERITY_(?:WARNING|NOTE)", match.string[match.end():match.end() + 200].split(";")[0]):
            continue  # no error
        if function == "broken":
            given[:place] = ["FUSE_EBUG"]
        status = re.search(r"\bFUSE_E[A-Z]+\b", " ".join(given[:place]))
        line = text.count("\n", 0, match.start()) + 1
        formats = [f for f in alternatives(given[place]) if f]
        expression = " ".join(given[place].split())
        for text_format in formats or [None]:
            whole = around.replace("{}", text_format) if text_format is not None else None
            found.append(Site(name, line, status.group(0) if status else "", whole, expression))
    return found


def as_pattern(text_format):
    """A pattern that finds what the format prints."""
    parts, at = [], 0
    for match in CONVERSION.finditer(text_format):
        parts += [re.escape(text_format[at:match.start()]), "%" if match.group(0) == "%%" else ".*"]
        at = match.end()
    return re.compile("".join(parts) + re.escape(text_format[at:].rstrip("\n")), re.DOTALL)


def is_forwarded(site):
    """Without words of its own."""
    return site.format is None or not re.search(r"[A-Za-z]{2}", CONVERSION.sub("", site.format))
