"""Strings."""
"a second string, which is no docstring"
f"nor is {1}"
__all__ = ("plain", "NESTED", "joined")
x, y, width, prec, name = 1.5, "y", 10, 3, "n"
plain = "a" 'b' """c""" '''d'''
MIXED = "a" u"b" r"\c" f"{x}" rf"\d{y}" R"\e" fR"\f{y}\{x}" U"g" F'{"h"}' ""
ONLY_F = f"no field"
EMPTY = f""
EMPTIES = f"" "" f''
BRACES = f"{{}}" f"{{{x}}}" f"{{{{{x}}}}}" "{}"
CONVERTED = f"{x!r}{x!s}{x!a}{ x !r}{ (x) !s:}" if 0 else f"{x!r:>{width}}{x!s:^{width}.{prec}}{x!a:{'<'}{width}}"
SPEC = f"{x:}{x!r:}{x:{''}}{x:{width}}{x:{width}.{prec}f}{x:.{prec}}{x:a{width}b{prec}c}{x:{'{'}>10}"
SPEC_TEXT = f"{x:%H:%M:%S}{x::>10}{x:!<10}{x:=+10}{x:#x}{x:\x41<5}{x:\N{DIGIT ONE}0}"
DEBUG = f"{x=}{x = }{ x=}{x =!r}{x=:>10}{x = !s:^{width}}{x+1=}{(x,  y)=}{x ==1}{x!=1}{x<=1}{x>=1}"
QUOTED = f'{"a" "b"}' f"{'c'}" f'''{"""d"""}''' f"{'''e'''}"
NESTED = f"""{f'''{f'{f"{x}"}'}'''}{[f'{i}' for i in "ab"]}{ {'k': f"{y}"}['k'] }{(lambda a: f'{a}')(1)}"""
LAMBDA = f"{(lambda v: v * 2)(3)}{(yes := 5)}{yes:=5}"
LINES = f"""
first {x
+ 1} second {
    globals()
    } third {x:
}
{y!r:
>10} { y = } {"a"
"b"}\
 continued {x}
"""
ESCAPED = f"\n{x}\t\\{y}\x00\u1234\U0001F600\N{GREEK SMALL LETTER ALPHA}\101\0{{\}}" if 0 else "\
joined"
RAW = rf"\N{x}\{y}\x{x:\d}" if 0 else fr'\{{{x}\}}'
INVALID = "\d\ \." f"\w{x}\%", b"\q"
BYTES = b"a" rb"\b" Rb'\c' BR"""\d""" bR'' b"\x00\xff\n"
SURROGATES = "\ud800\udfff" f"\ud800{x}\udc00"
ASTRAL = "😀 ﬀ Å é" f"😀{x}ﬀ" "\N{LATIN SMALL LIGATURE FF}"
PERCENT = "%s %(a)s %%" % {"a": 1} + "{0} {a!r:>{w}}".format(1, a=2, w=3)
JOINED = ("one "
          f"two {x} "  # with a comment
          r"three\n"

          "four") + \
    "five"
STARRED = f"{*(1, 2), 3}{*'ab',}"
YIELDING = lambda: f"{(yield)}{(yield x)}"
TERNARY = f"{x if y else 'z'}{not x}{x or y and name}{-x}{~1}{x[0:1] if 0 else x}{ {1, 2} }{ {**{}} }"
CALL = f"{plain.upper()}{print('a', end='')}{dict(a=1)['a']}{[*'ab'][::2]}{'a' 'b' 'c'[0]}"
def joined(): "doc" f"{x}"
def documented(): "doc" "umented"; return f"{joined.__name__}"
def raw_doc(): r"""\d"""
def bytes_first(): b"no doc"; return 1
def f_first():
    f"no doc {x}"
async def later(): f"{await joined()!r}{[i async for i in y]}"
def spec(x: f"{width}" = f"{prec!r}", *a: "text" f"{x}", **k: "a" "b") -> f"{1}": return f"{x:{a}{k}}"
class Doc: "doc"; __doc__ += f"{x}"
class Indented:
    """
        Indented
      oddly,	with tabs
    and lines.
    """
    """another"""
    def method(self):
        """Line.

            Deeper.
        Back.
        """
        return self.__doc__, Indented.method.__doc__
