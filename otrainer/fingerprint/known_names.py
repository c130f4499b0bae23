"""Names that are known: those that Python itself defines, and what of other packages has no lasting effect."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Those of any Python from 3.11 to 3.14, and what every module has, however Python was started. What `site`, a debugger
# or a shell adds is not among them.
BUILTIN_NAMES = words(
    """
    ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError BrokenPipeError
    BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError
    ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning EnvironmentError Exception
    ExceptionGroup False FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError
    ImportError ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError
    KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError None NotADirectoryError NotImplemented
    NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError
    PythonFinalizationError RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning
    StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError True
    TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError
    UnicodeWarning UserWarning ValueError Warning WindowsError ZeroDivisionError __build_class__ __debug__ __doc__
    __import__ __loader__ __name__ __package__ __spec__ abs aiter all anext any ascii bin bool breakpoint
    bytearray bytes callable chr classmethod compile complex delattr dict dir divmod enumerate eval exec filter
    float format frozenset getattr globals hasattr hash hex id input int isinstance issubclass iter len list
    locals map max memoryview min next object oct open ord pow print property range repr reversed round set
    setattr slice sorted staticmethod str sum super tuple type vars zip
    """
)
# Calls that only make a value of their arguments.
PURE_CALLS = words(
    """
    builtins.abs builtins.bool builtins.bytes builtins.chr builtins.classmethod builtins.complex builtins.dict
    builtins.enumerate builtins.float builtins.frozenset builtins.int builtins.isinstance builtins.len
    builtins.list builtins.max builtins.min builtins.object builtins.ord builtins.property builtins.range
    builtins.reversed builtins.round builtins.set builtins.slice builtins.sorted builtins.staticmethod
    builtins.str builtins.sum builtins.super builtins.tuple builtins.type builtins.zip collections.Counter
    collections.OrderedDict collections.defaultdict collections.deque collections.namedtuple
    contextvars.ContextVar dataclasses.field datetime.date datetime.timedelta decimal.Decimal fractions.Fraction
    functools.partial logging.getLogger operator.attrgetter operator.itemgetter operator.methodcaller pathlib.Path
    pathlib.PurePath re.compile threading.Lock threading.RLock threading.local types.MappingProxyType
    types.SimpleNamespace typing.NamedTuple typing.NewType typing.ParamSpec typing.TypeVar typing.TypeVarTuple
    typing.TypedDict typing.cast
    """
)
# Decorators that neither call what they decorate nor tell anybody else of it.
PURE_DECORATORS = words(
    """
    abc.abstractmethod abc.abstractproperty builtins.classmethod builtins.property builtins.staticmethod
    contextlib.asynccontextmanager contextlib.contextmanager dataclasses.dataclass enum.unique functools.cache
    functools.cached_property functools.lru_cache functools.singledispatch functools.singledispatchmethod
    functools.total_ordering functools.wraps torch.enable_grad torch.inference_mode torch.jit.export
    torch.jit.ignore torch.jit.unused torch.no_grad typing.final typing.no_type_check typing.overload
    typing.override typing.runtime_checkable
    """
)
# Packages whose attributes may be read, and whose classes take subclasses, without a lasting effect outside of these.
KNOWN_PACKAGES = words(
    """
    PIL abc argparse array ast asyncio base64 bisect builtins calendar codecs collections concurrent configparser
    contextlib contextvars copy csv ctypes dataclasses datetime decimal dis enum errno fnmatch fractions functools
    glob graphlib gzip hashlib heapq html http inspect io itertools json keyword locale logging math
    multiprocessing numbers numpy operator os pandas pathlib pickle platform pprint queue random re scipy secrets
    shutil signal sklearn socket sqlite3 statistics string struct subprocess sys tempfile textwrap threading time
    token tokenize torch torchaudio torchmetrics torchvision traceback types typing typing_extensions unicodedata
    unittest urllib uuid warnings weakref xml zipfile zlib
    """
)
