# -*- coding: utf-8 -*-
# a name is what it comes to: the ligatures, the full widths and the styled letters below are plain ones
ﬁnal = 1
ｆｕｌｌ = ﬁnal
𝔘𝔫𝔦 = ｆｕｌｌ
ªº = 𝔘𝔫𝔦
Ångström = "Å"
Ångström = "Å"
é = é = 1
µ = μ = 2
ſharp = 3
名前 = Имя = ᚠ = 4
x_ⅷ = 5
def ﬀ(ﬁ=final, *ﬂ, ﬃ: ſharp = full, **K): return ﬁ, ﬂ, ﬃ, ﬁnal.ﬁeld, ﬀ(ﬃ=1)
class ℌ(metaclass=𝓽ype): ℯ = "ﬁ"; __ﬁ = ℯ
import ﬁle as ﬁled, ｏｓ.ｐａｔｈ
from ｊｓｏｎ import ｌｏａｄｓ as ｌ
def 外(): nonlocal_ = 1; global ﬁnal; ﬁnal = nonlocal_
match ﬁnal:
    case {"ﬁ": ﬁ, **ﬂ}: pass
    case ℌ(ℯ=e): pass
try: pass
except E as ﬁ: pass
_ = __ = ___ = 0
match = case = type = _ = soft = 1
match(match)
match[case] = type(type)
match, case
match -1
match * case
type = type
type.x = case.y = 1
print(match) ; exec = 1
async_ = await_ = 2
