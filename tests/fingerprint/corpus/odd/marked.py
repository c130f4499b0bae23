"""With a mark of its byte order, form feeds, and no last newline."""

X = 1
def f():
    return X
 
if X:
	# tab
        Y = 1
class C:
    pass
    # end