# What type checkers and editors see of the package, which loads a name when it is asked for: nbs/91_package.ipynb.
# Written by hand: a chapter's module has a line here. Constants come with it; in three modules they share a name.
# mypy: disable-error-code="assignment"
# ruff: noqa: F403
from .bench import *
from .data import *
from .decoding import *
from .explorer import *
from .files import *
from .forecast import *
from .fused import *
from .gradcheck import *
from .gru import *
from .init import *
from .jit import *
from .kernels import *
from .layers import *
from .losses import *
from .lstm import *
from .networks import *
from .numerics import *
from .optim import *
from .outputs import *
from .practice import *
from .problems import *
from .recurrent import *
from .rnn import *
from .schedule import *
from .tasks import *
from .text import *
from .train import *
from .viz import *

__version__: str
