def crlf():
    """A docstring
    of lines."""
    return """one
two""", f"""{crlf}
three""", "a\
b"
X = 1


class Y: pass
